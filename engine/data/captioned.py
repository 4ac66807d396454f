"""Many clips, each with its caption: a folder with text files beside the clips, or a table of paths and captions."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from engine.data.captions import caption_beside
from engine.data.files import files_in, folders_in, kind_of
from engine.errors import InputError

_TABLES = (".csv", ".jsonl")
_COLUMNS = ("path", "caption")
_SHOWN = 3


@dataclass(frozen=True)
class CaptionedFile:
    """A video, or a folder of numbered frames, and what it shows."""

    path: Path
    caption: str


def find_captioned(data: Path) -> list[CaptionedFile]:
    """The clips of a data set, none of them opened as a video yet.

    A folder is searched with all its sub-folders, in the order of their names; a sub-folder that holds pictures is a
    clip, but a picture of the same name as a clip beside it is left alone. In a CSV, whose first line names its
    columns, and in JSONL there are a `path`, from the table's folder, and a `caption` each. Raises InputError for what
    is missing: clips, captions, columns, files.
    """
    if data.is_dir():
        return _in_folder(data)
    if not data.exists():
        raise InputError(f"There is no file or folder {data}. Check the name.")
    if data.suffix.lower() not in _TABLES:
        raise InputError(
            f"{data} is no data set: give a folder of clips with a .txt beside each, or a .csv or .jsonl of path and "
            "caption."
        )
    rows = _csv_rows(data) if data.suffix.lower() == ".csv" else _jsonl_rows(data)
    found = [_entry(data, line, row) for line, row in rows]
    if not found:
        raise InputError(f"{data} lists no clip.")
    return found


def _in_folder(data: Path) -> list[CaptionedFile]:
    clips = list(_clips_below(data, root=True))
    if not clips:
        raise InputError(f"There is no clip in {data}, nor in its sub-folders: give a folder of videos.")
    captions = [caption_beside(clip) for clip in clips]
    missing = [clip for clip, caption in zip(clips, captions, strict=True) if caption is None]
    if missing:
        raise InputError(
            f"{len(missing)} of {len(clips)} clips in {data} have no caption: {_named(missing, data)}. Write what each "
            f"shows into a text file beside it, as {missing[0].stem}.txt, or give a .csv or .jsonl of path and caption."
        )
    return [CaptionedFile(clip, caption) for clip, caption in zip(clips, captions, strict=True) if caption is not None]


def _clips_below(folder: Path, *, root: bool = False) -> Iterator[Path]:
    kinds = {path: kind_of(path) for path in files_in(folder)}
    moving = [path for path, kind in kinds.items() if kind in ("video", "animation")]
    # A picture of a clip's own name is a preview of it.
    stems = {path.stem for path in moving}
    pictures = [path for path, kind in kinds.items() if kind == "picture" and path.stem not in stems]
    if pictures and (moving or root):
        raise InputError(
            f"The folder {folder} holds pictures ({pictures[0].name}), "
            + (
                f"and clips ({moving[0].name}). Move the pictures away."
                if moving
                else "so it is one clip, not many. Give the folder of such folders."
            )
        )
    if pictures:
        yield folder
    yield from moving
    for inner in folders_in(folder):
        yield from _clips_below(inner)


def _csv_rows(table: Path) -> Iterator[tuple[int, Mapping[str, object]]]:
    try:
        with table.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            columns = [name.strip() for name in reader.fieldnames or ()]
            lacking = [name for name in _COLUMNS if name not in columns]
            if lacking:
                raise InputError(
                    f"{table} has no column {' and no column '.join(lacking)}: its first line must name the columns "
                    f"path and caption, and says {', '.join(columns) or 'nothing'}."
                )
            reader.fieldnames = columns
            for row in reader:
                yield reader.line_num, row
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise _unreadable(table, error) from error


def _jsonl_rows(table: Path) -> Iterator[tuple[int, Mapping[str, object]]]:
    try:
        with table.open(encoding="utf-8-sig") as file:
            for number, line in enumerate(file, 1):
                if line.strip():
                    yield number, _json_row(table, number, line)
    except (OSError, UnicodeDecodeError) as error:
        raise _unreadable(table, error) from error


def _json_row(table: Path, number: int, line: str) -> Mapping[str, object]:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise InputError(f"Line {number} of {table} is not JSON: {error}.") from error
    lacking = [name for name in _COLUMNS if not isinstance(row, dict) or name not in row]
    if lacking:
        raise InputError(f"Line {number} of {table} has no {' and no '.join(lacking)}.")
    assert isinstance(row, dict)
    return row


def _entry(table: Path, line: int, row: Mapping[str, object]) -> CaptionedFile:
    values = {name: row[name] for name in _COLUMNS}
    for name, value in values.items():
        if not isinstance(value, str) or not value.strip():
            raise InputError(f"Line {line} of {table} has no text for {name}.")
    path = Path(os.path.abspath(table.parent / Path(str(values["path"]).strip()).expanduser()))
    try:
        there = path.exists()
    except ValueError:  # a NUL
        there = False
    if not there:
        raise InputError(f"Line {line} of {table} names {path}, which isn't there.")
    return CaptionedFile(path, str(values["caption"]).strip())


def _unreadable(table: Path, error: Exception) -> InputError:
    reason = "it is not UTF-8 text" if isinstance(error, UnicodeDecodeError) else str(error)
    return InputError(f"{table} can't be read: {reason}.")


def _named(paths: Sequence[Path], folder: Path) -> str:
    shown = ", ".join(str(path.relative_to(folder)) for path in paths[:_SHOWN])
    return shown + (f" and {len(paths) - _SHOWN} more" if len(paths) > _SHOWN else "")
