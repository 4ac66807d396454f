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
    plain = {name: value_text(value) for name, value in record.items() if not isinstance(value, Mapping)}
    sections: list[tuple[str, dict[str, object]]] = [("", dict(plain))]
    for name, value in record.items():
        if isinstance(value, Mapping):
            sections.append((name.replace("_", " "), {key: value_text(inner) for key, inner in value.items()}))
    Out(json=json).page(sections, record)
