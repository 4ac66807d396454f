"""What a composition is made with: a list of applied adapters, each with a strength over the steps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from engine.evaluation.expected import ReferenceClip
from engine.methods.common import Kind
from engine.prompts import PLACEHOLDER


@dataclass(frozen=True)
class Strength:
    """An adapter's strength over the steps: `value` from the share `start` of them up to the share `stop`, else 0."""

    value: float = 1.0
    start: float = 0.0
    stop: float = 1.0

    def at(self, step: int, steps: int) -> float:
        """The strength in `step`, counted from 0, of `steps`."""
        return self.value if round(self.start * steps) <= step < round(self.stop * steps) else 0.0


@dataclass(frozen=True)
class AppliedAdapter:
    """An adapter in a composition: the folder of its files, and what it is there for.

    `token` is what prompts write for a subject. Without a `strength` of its own it has that of the composition's
    settings for its role. `clips` are those that a motion was learnt from, where a composition may start from one.
    """

    folder: Path
    role: Kind
    token: str = PLACEHOLDER
    strength: Strength | None = None
    clips: tuple[ReferenceClip, ...] = ()

    def record(self, strength: Strength) -> dict[str, object]:
        """What a video's record says of it, as plain values; who knows its hash adds that."""
        named: Mapping[str, object] = {"token": self.token} if self.role == "subject" else {}
        over = {"strength": strength.value, "start": strength.start, "stop": strength.stop}
        return {"role": self.role, "name": self.folder.name, **named, **over}
