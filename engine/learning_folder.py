"""The folder `learning/` beside an adapter's files, in a base that was tuned, and in the folder of a run that isn't
over: how it was learnt. Read without a library for tensors.

`curve.json` has the losses, `curve.png` shows them; while a run goes on they are the lines of `curve.jsonl`.
`steps/<step>` are adapters as they were at steps that were kept, `previews/<step>.mp4` and `.png` videos of them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from engine.curves import Curves

LEARNING = "learning"
STEPS, PREVIEWS, CURVE, LINES, PLOT = "steps", "previews", "curve.json", "curve.jsonl", "curve.png"


def read_curves(folder: Path) -> dict[str, dict[str, Any]]:
    """The losses of each part of an adapter's learning, or of a run's up to its last snapshot: `loss` and
    `held_out_loss` as pairs of step and loss, `effect` or None. Nothing where none were noted, as of an imported
    adapter, or where they can't be read."""
    try:
        lines = folder / LEARNING / LINES
        if lines.exists():
            noted: dict[str, dict[str, Any]] = Curves(lines).document()["parts"]
            return noted
        parts: dict[str, dict[str, Any]] = json.loads((folder / LEARNING / CURVE).read_text(encoding="utf-8"))["parts"]
    except (OSError, ValueError, KeyError, TypeError):
        return {}
    return parts


def last_losses(curves: Mapping[str, Mapping[str, Any]]) -> tuple[dict[int, float], dict[int, float]]:
    """The losses of the last part of `read_curves` by step, and the held-out ones, of those steps at which they were
    measured; none where nothing was noted."""
    if not curves:
        return {}, {}
    last = list(curves.values())[-1]
    return dict(last["loss"]), dict(last["held_out_loss"])


def held_out_at_end(folder: Path) -> float | None:
    """The held-out loss of an adapter as it is; None where it wasn't measured."""
    _, held_out = last_losses(read_curves(folder))
    return next(reversed(held_out.values()), None)


def previews_in(folder: Path) -> list[Path]:
    """The videos that were made while an adapter was learnt, in the order of their steps."""
    found = (folder / LEARNING / PREVIEWS).glob("*.mp4")
    return sorted((video for video in found if video.stem.isdigit()), key=lambda video: int(video.stem))
