"""`adapter.json`: an adapter's whole row and its sources, enough to rebuild both."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from registry.blobs import DOCUMENT
from registry.errors import DamagedAdapterError, InvalidNameError, NewerRegistryError
from registry.names import check_name
from registry.records import Adapter, Source
from registry.validation import check_json, check_row

FORMAT = 1

Describe = Callable[[dict[str, Any]], None]
"""May add keys of its own to an adapter's document before it is written. The row's keys stay as they are."""


def write(
    folder: Path, adapter: Adapter, sources: Sequence[Source], describe: Describe | None
) -> tuple[Adapter, list[Source]]:
    """Write `folder/adapter.json`, and give back the adapter and sources just as it holds them.

    Raises ValueError for a number that JSON doesn't have (NaN, infinity).
    """
    own = {"format": FORMAT, **asdict(adapter), "sources": [_plain(source) for source in sources]}
    text = _dump(own)
    if describe is not None:
        extended = json.loads(text)
        describe(extended)
        text = _dump({**own, **{key: value for key, value in extended.items() if key not in own}})
    (folder / DOCUMENT).write_text(text, encoding="utf-8")
    return _read(folder, text)


def readdress(folder: Path, name: str, version: int) -> tuple[Adapter, list[Source]]:
    """Make `folder/adapter.json` say another name and version; all else in it stays.

    Raises DamagedAdapterError and NewerRegistryError.
    """
    read(folder)
    file = folder / DOCUMENT
    document = json.loads(file.read_text(encoding="utf-8"))
    text = _dump({**document, "name": name, "version": version})
    file.write_text(text, encoding="utf-8")
    return _read(folder, text)


def read(folder: Path) -> tuple[Adapter, list[Source]]:
    """Read `folder/adapter.json`. Raises DamagedAdapterError and NewerRegistryError."""
    file = folder / DOCUMENT
    try:
        text = file.read_text(encoding="utf-8")
    except (FileNotFoundError, NotADirectoryError):
        raise DamagedAdapterError(
            f"{folder} holds no {DOCUMENT}, so dv didn't publish an adapter there. Give an adapter's folder."
        ) from None
    except UnicodeDecodeError as error:
        raise _damaged(file, str(error)) from error
    return _read(folder, text)


def _read(folder: Path, text: str) -> tuple[Adapter, list[Source]]:
    from pydantic import TypeAdapter, ValidationError

    file = folder / DOCUMENT
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise _damaged(file, str(error)) from error
    if not isinstance(document, dict):
        raise _damaged(file, "it is no JSON object")
    written = document.get("format")
    if isinstance(written, int) and written > FORMAT:
        raise NewerRegistryError(
            f"{file} was written by a newer dv: its format is {written}, and this dv knows up to {FORMAT}. Update dv."
        )
    if written != FORMAT:
        raise _damaged(file, f"its format is {written!r}")
    try:
        adapter = TypeAdapter(Adapter).validate_python(document)
        sources = TypeAdapter(list[Source]).validate_python(document.get("sources"))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "sources"
        raise _damaged(file, f"{where}: {first['msg']}") from error
    try:
        check_name(adapter.name)
        check_json(document)
        for row in (adapter, *sources):
            check_row(vars(row))
    except (InvalidNameError, ValueError) as error:
        raise _damaged(file, str(error)) from error
    return adapter, sources


def _damaged(file: Path, flaw: str) -> DamagedAdapterError:
    return DamagedAdapterError(f"{file} is damaged ({flaw}). Put a whole copy in its place, or learn the adapter anew.")


def _plain(source: Source) -> dict[str, Any]:
    # A file's name may hold bytes that are no text in any encoding; SQLite and JSON take only text.
    return {**asdict(source), "path": source.path.encode("utf-8", "backslashreplace").decode()}


def _dump(document: dict[str, Any]) -> str:
    return json.dumps(document, indent=2, allow_nan=False) + "\n"
