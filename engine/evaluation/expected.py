"""What a video is measured against, and by whom in the paper."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

PAPER_CLIP, PAPER_DINO = "openai/clip-vit-base-patch32", "facebook/dino-vits16"
"""The paper's judges: CLIP ViT-B/32 and DINO ViT-S/16."""


@dataclass(frozen=True)
class ReferenceClip:
    """A clip of the expected motion; `start` and `end` in seconds, a folder of frames with its rate."""

    path: Path
    start: float = 0.0
    end: float | None = None
    source_fps: float | None = None


@dataclass(frozen=True)
class Expected:
    """What a video is measured against; what isn't given isn't measured.

    `text` is the prompt with the subject's class word for the pseudo-word, `references` are pictures. `individual` is
    the name of the subject, where it is one of the embedded base's world (`engine.world.individuals.individual_named`).
    """

    text: str | None = None
    references: tuple[Path, ...] = ()
    clips: tuple[ReferenceClip, ...] = ()
    individual: str | None = None
