"""Where `dv` starts, and `python -m dreamvideo_cli`: Ctrl-C is heard from here on, while the rest still loads."""

from __future__ import annotations

import sys

from dreamvideo_cli.terminal.exit_codes import ExitCode


def start() -> None:
    """Load `dv`, run it with the process's arguments, and exit."""
    try:
        from dreamvideo_cli.main import main
    except KeyboardInterrupt:
        sys.exit(ExitCode.INTERRUPTED)
    main()


if __name__ == "__main__":
    start()
