"""Losses of every step, noted while a run learns, so that one that goes on has them all."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.files import written_aside

if TYPE_CHECKING:
    from engine.held_out import Effect

FORMAT = 1


@dataclass
class PartCurve:
    """Losses by step, of which 0 is before the first. The held-out ones are those that were measured."""

    losses: dict[int, float] = field(default_factory=dict)
    held_out: dict[int, float] = field(default_factory=dict)
    effect: Effect | None = None


class Curves:
    """The curves of a run's parts, kept in a file of lines `[part, step, loss, held-out loss or null]`.

    Of a step that is made again, as after a kill, the later line counts; a line torn by the kill doesn't.
    """

    def __init__(self, file: Path) -> None:
        self._file, self._lines = file, list[str]()
        self.parts: dict[str, PartCurve] = {}
        if file.exists():
            for line in file.read_text(encoding="utf-8").splitlines():
                try:
                    part, step, loss, held_out = json.loads(line)
                except ValueError:
                    continue
                self._put(part, step, loss, held_out)

    def add(self, part: str, step: int, loss: float, held_out: float | None) -> None:
        """Note a step."""
        loss, held_out = _short(loss), None if held_out is None else _short(held_out)
        self._put(part, step, loss, held_out)
        self._lines.append(json.dumps([part, step, loss, held_out]))

    def flush(self) -> None:
        """Write down what was noted."""
        if self._lines:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            with self._file.open("a", encoding="utf-8") as opened:
                opened.write("".join(f"{line}\n" for line in self._lines))
            self._lines = []

    def end(self, part: str, steps: int, effect: Effect) -> None:
        """Note what a part came to: its first and last held-out loss are those without and with what it learnt."""
        curve = self.parts.setdefault(part, PartCurve())
        curve.effect = effect
        curve.held_out |= {0: effect.loss_without, steps: effect.loss}

    def write(self, file: Path) -> None:
        """Write all of it as one JSON document, the same bytes for the same run."""
        with written_aside(file) as partial:
            partial.write_text(json.dumps(self.document(), indent=1) + "\n", encoding="utf-8")

    def document(self) -> dict[str, Any]:
        """The curves as plain values."""
        return {"format": FORMAT, "parts": {name: _plain(curve) for name, curve in self.parts.items()}}

    def _put(self, part: str, step: int, loss: float, held_out: float | None) -> None:
        curve = self.parts.setdefault(part, PartCurve())
        curve.losses[step] = loss
        if held_out is not None:
            curve.held_out[step] = held_out


def _plain(curve: PartCurve) -> dict[str, Any]:
    effect: Mapping[str, float] = asdict(curve.effect) if curve.effect is not None else {}
    return {
        "loss": [list(point) for point in sorted(curve.losses.items())],
        "held_out_loss": [[step, _short(loss)] for step, loss in sorted(curve.held_out.items())],
        "effect": {name: _short(value) for name, value in effect.items()} or None,
    }


def _short(value: float) -> float:
    return float(f"{value:.6g}")
