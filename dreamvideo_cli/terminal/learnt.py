"""How something was learnt, or is being: losses, kept steps, previews, the curve."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dreamvideo_cli.wording import bytes_text, count_text
from engine.learning_folder import LEARNING, PLOT, last_losses, previews_in, read_curves

if TYPE_CHECKING:
    from registry import AdapterAtStep

Section = tuple[str, dict[str, object]]


@dataclass(frozen=True)
class ShownLearning:
    """What the folder of an adapter or of a run tells of its learning: curves by part, and what was kept and shown on
    the way. `kept` are rows of `step_row`."""

    folder: Path
    curves: Mapping[str, Mapping[str, Any]]
    kept: Sequence[Mapping[str, Any]]
    previews: Sequence[Path]

    def data(self) -> dict[str, Any]:
        """The same as plain values."""
        previews = [str(video) for video in self.previews]
        return {"learning": self.curves, "kept_steps": list(self.kept), "previews": previews}

    def sections(self) -> list[Section]:
        """The same for a person; nothing where nothing was noted."""
        about: dict[str, object] = {part: _measured(curve) for part, curve in self.curves.items()}
        plot = self.folder / LEARNING / PLOT
        if plot.exists():
            about["Curve"] = str(plot)
        about |= {"Previews": f"{self.previews[0].parent} ({len(self.previews)})"} if self.previews else {}
        kept: dict[str, object] = {row["id"] or f"step {row['step']}": _kept_text(row) for row in self.kept}
        return [(title, values) for title, values in (("Learning", about), ("Kept steps", kept)) if values]


def shown_learning(folder: Path, kept: Sequence[Mapping[str, Any]]) -> ShownLearning:
    """What lies in an adapter's folder, of which these steps are kept."""
    return ShownLearning(folder, read_curves(folder), kept, previews_in(folder))


def shown_run(folder: Path) -> ShownLearning:
    """What lies in the folder of a run that isn't over, or was stopped."""
    from registry.kept_steps import folders

    curves = read_curves(folder)
    losses, held_out = last_losses(curves)
    kept = [
        {"id": None, "step": step, "loss": losses.get(step), "held_out_loss": held_out.get(step)}
        for step, _ in folders(folder)
    ]  # fmt: skip
    return ShownLearning(folder, curves, kept, previews_in(folder))


def step_row(step: AdapterAtStep) -> dict[str, Any]:
    """A kept step as plain values."""
    return {"id": step.id, "step": step.step, "loss": step.final_loss, "held_out_loss": step.held_out_loss,
            "bytes": step.size, "sha256": step.file_hash}  # fmt: skip


def _measured(curve: Mapping[str, Any]) -> str:
    """The held-out loss of a part, before its first step, where it was least, and after its last."""
    losses = f"{count_text(len(curve['loss']), 'step')}"
    measured = [(int(step), float(loss)) for step, loss in curve["held_out_loss"]]
    if not measured:
        return losses
    least, at = min((loss, step) for step, loss in measured)
    text = f"{losses}, held-out loss {measured[0][1]:.4g} to {measured[-1][1]:.4g}"
    if at not in (measured[0][0], measured[-1][0]):
        text += f", least at step {at:,}: {least:.4g}"
    effect = curve.get("effect")
    return text + (f"; the prediction moves by {effect['prediction_change']:.2%}" if effect else "")


def _kept_text(row: Mapping[str, Any]) -> str:
    losses = [f"{name} {row[key]:.4g}" for name, key in (("loss", "loss"), ("held-out loss", "held_out_loss"))
              if row[key] is not None]  # fmt: skip
    return ", ".join([*losses, *([bytes_text(row["bytes"])] if "bytes" in row else [])]) or "kept"
