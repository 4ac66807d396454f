"""What adapters were learnt from, found again: the same files with the same contents."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from engine.data.files import sha256_of
from engine.errors import InputError
from engine.evaluation.expected import ReferenceClip
from engine.methods.dreamvideo import ComposeConfig

if TYPE_CHECKING:
    from registry import Adapter, Registry

_TRIMMING = ("start", "end", "source_fps")


def sources_of(adapter: Adapter, role: str, registry: Registry, instead: str) -> list[Path]:
    """The files of a role that an adapter learnt from. Raises `InputError` where one is gone or has other contents,
    which says what to do `instead` of putting it back."""
    sources = [source for source in registry.sources(adapter) if source.role == role]
    for source in sources:
        path = Path(source.path)
        lost = not path.exists()
        if lost or sha256_of(path) != source.sha256:
            raise InputError(
                f"{adapter.id} learnt from {path}, which {'is no longer there' if lost else 'has changed since'}.\n"
                f"Put it back, or {instead}."
            )
    return [Path(source.path) for source in sources]


def clips_of(motion: Adapter, registry: Registry, instead: str) -> tuple[ReferenceClip, ...]:
    """The clips that a motion was learnt from, as they were trimmed. Raises `InputError` as `sources_of`."""
    trimming = {name: motion.hyperparameters[name] for name in _TRIMMING if name in motion.hyperparameters}
    return tuple(ReferenceClip(path, **trimming) for path in sources_of(motion, "clip", registry, instead))


def clips_to_start_from(motion: Adapter | None, config: ComposeConfig, registry: Registry) -> tuple[ReferenceClip, ...]:
    """The motion's clips, but for those held out, where a composition's noise has a share of one; else none.

    Raises `InputError` where one is gone or has other contents, or none is known.
    """
    if motion is None or not config.motion_init:
        return ()
    clips = clips_of(motion, registry, "leave `motion_init` out")
    learnt = clips[: len(clips) - int(motion.hyperparameters.get("hold_out", 0))]
    if not learnt:
        raise InputError(
            f"`motion_init` is {config.motion_init:g}, and it isn't known which clips {motion.id} was learnt from: "
            "leave it out"
        )
    return learnt
