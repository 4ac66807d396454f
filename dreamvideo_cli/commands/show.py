"""`dv show`: all that is known of an adapter."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dreamvideo_cli.terminal.options import (
    AnyAdapterArgument,
    JsonOption,
)
from dreamvideo_cli.terminal.output import Out
from dreamvideo_cli.terminal.rows import adapter_data, label_data
from dreamvideo_cli.wording import age_text, bytes_text, count_text, duration_between, size_text, value_text
from engine.learning_folder import LEARNING, PLOT, previews_in, read_curves

if TYPE_CHECKING:
    from registry import Adapter, AdapterAtStep, Labels, Source


def show(name: AnyAdapterArgument, json: JsonOption = False) -> None:
    """Show all that is known of an adapter: tags and note, settings and where they came from, sources, hashes, how it
    was learnt, and which steps were kept.

    Example: dv show chowchow@2
    """
    from registry import AdapterAtStep, Registry

    with Registry.open() as registry:
        adapter = registry.find_at(name)
        sources = registry.sources(adapter)
        labels = registry.labels(adapter)
        folder = registry.path(adapter)
        steps = [] if isinstance(adapter, AdapterAtStep) else registry.kept_steps(adapter)
    learning = _Learning(read_curves(folder), steps, previews_in(folder))
    data = {**adapter_data(adapter, sources), **label_data(adapter, labels), "folder": str(folder), **learning.data()}
    sections = _sections(adapter, sources, labels, str(folder))
    Out(json=json).page([sections[0], *learning.sections(folder), *sections[1:]], data)


@dataclass(frozen=True)
class _Learning:
    """How an adapter was learnt: its curves by part, and what was kept and shown on the way."""

    curves: Mapping[str, Mapping[str, Any]]
    steps: Sequence[AdapterAtStep]
    previews: Sequence[Path]

    def data(self) -> dict[str, Any]:
        kept = [
            {"id": each.id, "step": each.step, "loss": each.final_loss, "held_out_loss": each.held_out_loss,
             "bytes": each.size, "sha256": each.file_hash}
            for each in self.steps
        ]  # fmt: skip
        return {"learning": self.curves, "kept_steps": kept, "previews": [str(video) for video in self.previews]}

    def sections(self, folder: Path) -> list[tuple[str, dict[str, object]]]:
        about: dict[str, object] = {part: _measured(curve) for part, curve in self.curves.items()}
        if self.curves:
            about["Curve"] = str(folder / LEARNING / PLOT)
        about |= {"Previews": f"{self.previews[0].parent} ({len(self.previews)})"} if self.previews else {}
        kept: dict[str, object] = {each.id: _step_text(each) for each in self.steps}
        return [(title, values) for title, values in (("Learning", about), ("Kept steps", kept)) if values]


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


def _step_text(step: AdapterAtStep) -> str:
    held_out = f", held-out loss {step.held_out_loss:.4g}" if step.held_out_loss is not None else ""
    return f"loss {step.final_loss:.4g}{held_out}, {bytes_text(step.size)}"


def _sections(
    adapter: Adapter, sources: Sequence[Source], labels: Labels, folder: str
) -> list[tuple[str, dict[str, object]]]:
    about: dict[str, object] = {
        "Kind": adapter.kind,
        "Tags": ", ".join(labels.tags) or None,
        "Note": labels.note,
        "Class": adapter.class_word,
        "Prompt": adapter.prompt,
        "Method": adapter.method,
        "Base": f"{adapter.base_name} ({adapter.base_fingerprint})",
        **_learning(adapter),
        "Made by": ", ".join(
            [f"dv {adapter.dv_version}", *(f"{k} {v}" for k, v in adapter.library_versions.items() if v)]
        ),
        "Folder": f"{folder} ({bytes_text(adapter.size)})",
        "SHA-256": adapter.file_hash,
    }
    settings: dict[str, object] = {
        name: _with_origin(value, adapter.origins.get(name)) for name, value in adapter.hyperparameters.items()
    }
    files: dict[str, object] = {
        source.path: f"{source.role}, {size_text((source.width, source.height))}, "
        f"{count_text(source.frames, 'frame')}, {bytes_text(source.bytes)}, {source.sha256[:12]}"
        for source in sources
    }
    known = {name: value for name, value in about.items() if value is not None}
    return [(adapter.id, known), ("Settings", settings), ("Sources", files)]


def _learning(adapter: Adapter) -> dict[str, object]:
    from dreamvideo_cli.jobs.publishing import is_of_unknown_learning

    if is_of_unknown_learning(adapter):
        return {"Steps": f"{adapter.steps:,}" if adapter.steps else None, "Imported": age_text(adapter.ended_at)}
    return {
        "Steps": f"{adapter.steps:,}, final loss {adapter.final_loss:.4f}",
        "Learnt": f"{age_text(adapter.ended_at)}, in {duration_between(adapter.started_at, adapter.ended_at)}",
        "Device": f"{adapter.device}, {adapter.dtype}",
    }


def _with_origin(value: Any, origin: str | None) -> str:
    return f"{value_text(value)}  ({origin})" if origin else value_text(value)
