"""Versions of what is installed, for what a run notes of how it was made."""

from __future__ import annotations

DISTRIBUTION = "dreamvideo-cli"


def version_of(distribution: str) -> str | None:
    """The installed version of a distribution, None where it isn't installed."""
    # Imported late: a tab press, and most commands, need no version.
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(distribution)
    except PackageNotFoundError:
        return None


def version_of_dv() -> str:
    """The version of `dv` itself: it may run from its sources alone."""
    return version_of(DISTRIBUTION) or "0 (not installed)"
