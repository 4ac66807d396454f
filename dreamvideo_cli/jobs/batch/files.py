"""Batch files: rows of compose jobs as CSV, JSONL or TOML, read into one form. Nothing is looked up here."""

from __future__ import annotations

import csv
import io
import json
import sys
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any, Literal, get_args

from engine.errors import InputError

Format = Literal["csv", "jsonl", "toml"]
FORMATS: tuple[Format, ...] = get_args(Format)
STDIN = "-"
_TABLES = ("defaults", "job", "grid")
_MOST_ROWS = 100_000


@dataclass(frozen=True)
class Row:
    """One job: its number from 1 on, and the values of its columns, named like compose's parameters."""

    number: int
    values: Mapping[str, object]


def read_rows(file: str, format: Format | None) -> list[Row]:
    """The rows of a batch file, or of stdin for `-`; a format that isn't given is the file's suffix.

    Raises `InputError` for a file that can't be read, and names the line that is wrong.
    """
    format = format or _format_of(file)
    try:
        # Newlines as they are: a CSV cell may hold some.
        text = (sys.stdin.buffer.read() if file == STDIN else Path(file).read_bytes()).decode("utf-8-sig")
    except OSError as error:
        raise InputError(f"the batch file {file} can't be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise InputError(f"the batch file {file} isn't UTF-8: byte {error.start} can't be read") from error
    rows: list[Row] = []
    for values in {"csv": _from_csv, "jsonl": _from_jsonl, "toml": _from_toml}[format](text):
        if len(rows) == _MOST_ROWS:
            raise InputError(f"the batch file {file} has more than {_MOST_ROWS:,} rows: split it")
        rows.append(Row(len(rows) + 1, values))
    if not rows:
        raise InputError(f"the batch file {file} has no rows")
    return rows


def _format_of(file: str) -> Format:
    suffix = Path(file).suffix.lower().removeprefix(".")
    for format in FORMATS:
        if suffix == format:
            return format
    if file == STDIN:
        raise InputError("rows from stdin need `format`: csv, jsonl or toml")
    raise InputError(f"{file} is no .csv, .jsonl or .toml: say what it is with `format`")


def column_name(text: str) -> str:
    """A column as a compose parameter's name: `Guidance-Scale` is `guidance_scale`."""
    return text.strip().lower().replace("-", "_")


def _named(values: Iterable[tuple[str, object]], where: str) -> dict[str, object]:
    named: dict[str, object] = {}
    for text, value in values:
        name = column_name(text)
        if name in named:
            raise InputError(f"{where} has the column {name} twice")
        named[name] = value
    return named


def _from_csv(text: str) -> Iterator[dict[str, object]]:
    """A header, then a row a job. An empty cell is a value that isn't given."""
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    header: list[str] | None = None
    try:
        for cells in reader:
            where = f"line {reader.line_num}"
            if not any(cell.strip() for cell in cells):
                continue
            if header is None:
                header = list(_named(((cell, None) for cell in cells), where))
            elif len(cells) > len(header):
                raise InputError(
                    f"{where} has {len(cells)} cells, the header has {len(header)}: quote commas in a cell"
                )
            else:
                # The last cells of a line may be left out.
                yield {name: cell.strip() for name, cell in zip(header, cells, strict=False) if cell.strip()}
    except csv.Error as error:
        raise InputError(f"line {reader.line_num} is no CSV: {error}") from error


def _from_jsonl(text: str) -> Iterator[dict[str, object]]:
    """An object a line. Null is a value that isn't given."""
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            pairs = json.loads(line, object_pairs_hook=_Pairs)
        except (ValueError, RecursionError) as error:
            raise InputError(f"line {number} is no JSON: {error}") from error
        if not isinstance(pairs, _Pairs):
            raise InputError(f"line {number} is no JSON object: write {{...}} with the columns' names and values")
        yield {name: value for name, value in _named(pairs, f"line {number}").items() if value is not None}


class _Pairs(list[tuple[str, Any]]):
    """A JSON object before repeated names are lost."""


def _from_toml(text: str) -> Iterator[dict[str, object]]:
    """`[[job]]` is a row; `[[grid]]` is one for every combination of its lists; `[defaults]` holds for all."""
    try:
        data = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"this is no TOML: {error}") from error
    if unknown := [name for name in data if name not in _TABLES]:
        raise InputError(f"{unknown[0]} is no part of a batch: write [[job]], [[grid]] or [defaults]")
    defaults = data.get("defaults", {})
    if not isinstance(defaults, dict):
        raise InputError("defaults must be a table: write [defaults] with one value a line")
    defaults = _named(defaults.items(), "[defaults]")
    for kind in ("job", "grid"):
        tables = data.get(kind, [])
        if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
            raise InputError(f"{kind} must be a list of tables: write [[{kind}]]")
        for number, table in enumerate(tables, start=1):
            values = _named(table.items(), f"[[{kind}]] {number}")
            for row in _combinations(values, number) if kind == "grid" else (values,):
                yield {**defaults, **row}


def _combinations(values: dict[str, object], number: int) -> Iterator[dict[str, object]]:
    """Every combination of a grid's lists; the last list changes first. No size is a list here: `"320x256"`."""
    axes = [value if isinstance(value, list) else [value] for value in values.values()]
    count = 1
    for name, axis in zip(values, axes, strict=True):
        if not axis:
            raise InputError(f"[[grid]] {number} has nothing in its list {name}")
        count *= len(axis)
    if count > _MOST_ROWS:
        raise InputError(f"[[grid]] {number} has {count:,} combinations: {_MOST_ROWS:,} are the most")
    for chosen in product(*axes):
        yield dict(zip(values, chosen, strict=True))
