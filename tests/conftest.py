"""What all tests need of the process that they run in."""

from __future__ import annotations

import gc
import signal


def pytest_configure() -> None:
    """Let Ctrl-C reach what tests start, also where the tests themselves run in a script's background, which ignores
    it and would hand that on."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    gc.disable()


def pytest_collection_finish() -> None:
    """Free the collector from looking again and again through all that was loaded, which stays to the end."""
    gc.freeze()
    gc.enable()
