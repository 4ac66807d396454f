"""Why one piece of work of many failed."""

from __future__ import annotations

import errno

from engine.errors import EngineError
from registry.errors import RegistryError


def reason_of(error: Exception) -> str:
    """Why something failed, whatever it was: a memory that is full or a library's complaint concerns one piece too.

    Raises what stops all of them: that nobody reads any more what is printed.
    """
    if isinstance(error, OSError) and error.errno == errno.EPIPE:
        raise error
    if isinstance(error, EngineError | RegistryError | OSError):
        return str(error)
    return f"{type(error).__name__}: {error}".splitlines()[0]
