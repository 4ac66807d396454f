"""The one place where errors become messages and exit codes."""

from __future__ import annotations

import errno

from dreamvideo_cli.terminal.exit_codes import ExitCode
from dreamvideo_cli.terminal.output import Out, show_error
from engine.errors import EngineError, JobError
from registry.errors import RegistryError, RegistryUnavailableError

# What a disk or its permissions refuse; any other OSError is a bug and stays a traceback.
_DISK_TROUBLE = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EPERM, errno.EROFS})
# What is wrong with a path that a user gave.
_NO_PATH = frozenset({errno.ENAMETOOLONG, errno.ENOTDIR, errno.ELOOP})


def shown(error: BaseException) -> ExitCode | None:
    """Show what stopped a command, and give the exit code; None for what is a bug, which nothing is shown of."""
    match error:
        case KeyboardInterrupt():
            return shown_stop(error)
        case JobError() | RegistryUnavailableError():
            show_error(str(error), _notes_of(error))
            return ExitCode.FAILED
        case EngineError() | RegistryError():
            show_error(str(error), _notes_of(error))
            return ExitCode.BAD_INPUT
        case BrokenPipeError():
            return ExitCode.FAILED
        case OSError():
            return _shown_of_system(error)
    return None


def shown_stop(stop: KeyboardInterrupt) -> ExitCode:
    """Show where Ctrl-C stopped a command and how to go on, and give the exit code."""
    for note in _notes_of(stop):
        Out().warn(note)
    return ExitCode.INTERRUPTED


def _shown_of_system(error: OSError) -> ExitCode | None:
    if error.errno not in _DISK_TROUBLE | _NO_PATH:
        return None
    wrong_path = error.errno in _NO_PATH
    where = f"{error.filename}: " if error.filename else ""
    way_out = "Check the name." if wrong_path else "Free some space, or allow writing there."
    show_error(f"{where}{error.strerror}. {way_out}", _notes_of(error))
    return ExitCode.BAD_INPUT if wrong_path else ExitCode.FAILED


def _notes_of(error: BaseException) -> list[str]:
    """What was added to an error on its way up (`add_note`): hints on what to do now."""
    return list(getattr(error, "__notes__", ()))
