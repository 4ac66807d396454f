"""What `dv` does, without a terminal: learn, compose, evaluate, batch, suite. Ties the engine to the registry.

The functions named here are the Python API of the whole tool. They are looked up when first used, so that importing
one job costs no other.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dreamvideo_cli.jobs.python import compose, learn_motion, learn_subject, list_adapters, run_batch, run_suite

__all__ = ["compose", "learn_motion", "learn_subject", "list_adapters", "run_batch", "run_suite"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module("dreamvideo_cli.jobs.python"), name)
