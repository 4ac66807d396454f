"""`dv inspect`: how a video was made."""

from __future__ import annotations

from collections.abc import Mapping

from dreamvideo_cli.terminal.options import FileArgument, JsonOption
from dreamvideo_cli.terminal.output import Out
from dreamvideo_cli.wording import value_text


def inspect(file: FileArgument, json: JsonOption = False) -> None:
    """Show how a video or contact sheet was made: prompt, adapters, base, seed, settings.

    Example: dv inspect chowchow-is-playing-guitar-0.mp4
    """
    from engine.media.metadata import read_metadata

    record = read_metadata(file)
    adapters = record.get("adapters")
    parts = [(name, value) for name, value in record.items() if isinstance(value, Mapping)]
    if isinstance(adapters, list):
        parts += [(str(each.get("role")), each) for each in adapters if isinstance(each, Mapping)]
    lone = {name: value for name, value in record.items() if not isinstance(value, Mapping) and name != "adapters"}
    sections: list[tuple[str, dict[str, object]]] = [("", {name: value_text(value) for name, value in lone.items()})]
    for name, part in parts:
        values: dict[str, object] = {key: value_text(inner) for key, inner in part.items() if key != "role"}
        sections.append((name.replace("_", " "), values))
    Out(json=json).page(sections, record)
