"""`dv show`: all that is known of an adapter."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from dreamvideo_cli.terminal.learnt import shown_learning, step_row
from dreamvideo_cli.terminal.options import (
    AnyAdapterArgument,
    JsonOption,
)
from dreamvideo_cli.terminal.output import Out
from dreamvideo_cli.terminal.rows import adapter_data, label_data
from dreamvideo_cli.wording import age_text, bytes_text, count_text, duration_between, size_text, value_text

if TYPE_CHECKING:
    from registry import Adapter, Labels, Source


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
    learning = shown_learning(folder, [step_row(step) for step in steps])
    data = {**adapter_data(adapter, sources), **label_data(adapter, labels), "folder": str(folder), **learning.data()}
    sections = _sections(adapter, sources, labels, str(folder))
    Out(json=json).page([sections[0], *learning.sections(), *sections[1:]], data)


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
