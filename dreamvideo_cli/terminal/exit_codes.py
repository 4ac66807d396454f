"""How `dv` ends: the whole list."""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    """What a shell script can tell apart."""

    OK = 0
    FAILED = 1
    """A job that was set up well failed on the way."""
    BAD_INPUT = 2
    """What was asked for can't be done: a file, a name, a value."""
    INTERRUPTED = 130
    """Ctrl-C, as shells count it: 128 + SIGINT."""
