"""The `dv` command: parses, asks the engine and the registry, shows. No tensors, no SQL."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

DISTRIBUTION = "dreamvideo-cli"


def version_of(distribution: str) -> str | None:
    """The installed version of a distribution, None where it isn't installed."""
    try:
        return version(distribution)
    except PackageNotFoundError:
        return None


__version__ = version_of(DISTRIBUTION) or "0 (not installed)"
