"""What `dv history` will tell of a video."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dreamvideo_cli.jobs.events import OnEvent, Warned

if TYPE_CHECKING:
    from registry import Registry


def remember(path: Path, record: Mapping[str, Any], registry: Registry, on_event: OnEvent) -> None:
    """Note a video that was just made. One that can't be noted is there all the same: a warning has to do."""
    from engine.data.files import sha256_of
    from registry import NewComposition, RegistryError

    made = NewComposition(
        path=str(path.absolute()), sha256=sha256_of(path), bytes=path.stat().st_size, record=dict(record)
    )
    try:
        registry.compositions.add(made)
    except RegistryError as error:
        on_event(Warned(f"{path} is made, but not in the history: {error}"))
