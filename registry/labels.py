"""Tags and a note on an adapter: rows to ask, and `labels.json` in the adapter's folder to rebuild them from."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path

from sqlmodel import Session, col, select

from registry import rows
from registry.blobs import DOCUMENT, LABELS, Blobs, sync, sync_folder
from registry.errors import DamagedAdapterError, InvalidNameError, NewerRegistryError
from registry.names import check_name
from registry.records import Adapter, Labels
from registry.tables import AdapterRow, TagRow
from registry.validation import check_json, check_row

FORMAT = 1
LONGEST_NOTE = 10_000


def check_tag(tag: str) -> str:
    """Give `tag` in Unicode's composed form, or raise InvalidNameError: a tag is written as a name is."""
    try:
        return check_name(tag)
    except InvalidNameError as error:
        raise InvalidNameError(str(error).replace("be a name", "be a tag").replace("A name has", "A tag has")) from None


def check_note(note: str) -> str | None:
    """Give `note` without the space around it, None where nothing is left. Raises InvalidNameError."""
    note = note.strip()
    try:
        check_json(note)
        check_row({"note": note})
    except ValueError:
        raise InvalidNameError("the note has bytes that aren't text, so it can't be stored. Write it anew.") from None
    if len(note) > LONGEST_NOTE:
        raise InvalidNameError(
            f"the note has {len(note):,} characters, and {LONGEST_NOTE:,} are allowed. Write less, or a file of yours."
        )
    return note or None


def of_all(session: Session) -> dict[str, Labels]:
    """Give the labels of every adapter that has any, by the adapter's id (`chowchow@2`)."""
    tags: dict[int, list[str]] = {}
    for row in session.exec(select(TagRow)):
        tags.setdefault(row.adapter_id, []).append(row.tag)
    labelled = col(AdapterRow.note).is_not(None) | col(AdapterRow.id).in_(select(TagRow.adapter_id))
    query = select(AdapterRow.id, AdapterRow.name, AdapterRow.version, AdapterRow.note).where(labelled)
    return {
        f"{name}@{version}": Labels(_in_order(tags.get(id or 0, [])), note)
        for id, name, version, note in session.exec(query)
    }


def of_one(session: Session, adapter: Adapter) -> Labels:
    """Give an adapter's labels. Raises UnknownNameError."""
    row = rows.row_of(session, adapter)
    # Sorted here: a server's order of letters is that of its language.
    return Labels(_in_order(list(session.exec(select(TagRow.tag).where(TagRow.adapter_id == row.id)))), row.note)


def store(session: Session, adapter: Adapter, labels: Labels) -> None:
    """Make the rows say `labels`. Raises UnknownNameError."""
    row = rows.row_of(session, adapter)
    assert row.id is not None
    row.note = labels.note
    session.add(row)
    for old in session.exec(select(TagRow).where(TagRow.adapter_id == row.id)):
        session.delete(old)
    session.flush()
    session.add_all(TagRow(adapter_id=row.id, tag=tag) for tag in labels.tags)
    session.flush()


def write(blobs: Blobs, folder: Path, labels: Labels) -> None:
    """Replace `folder/labels.json`: whole or not at all, on the disk when this returns.

    Raises DamagedAdapterError where the adapter's folder isn't there.
    """
    # Not beside its target: a file that a kill leaves there would count as one of the adapter's.
    staged = blobs.new_staging()
    try:
        (staged / LABELS).write_text(_text(labels), encoding="utf-8")
        sync(staged)
        if not (folder / DOCUMENT).exists():
            raise DamagedAdapterError(f"{folder} is gone, so nothing can be noted there. See: dv verify")
        os.replace(staged / LABELS, folder / LABELS)
        sync_folder(folder)
    finally:
        blobs.discard(staged)


def read(folder: Path) -> Labels:
    """Read `folder/labels.json`; without one there are no labels. Raises DamagedAdapterError, NewerRegistryError."""
    file = folder / LABELS
    try:
        document = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return Labels()
    except (ValueError, RecursionError) as error:
        raise _damaged(file, str(error)) from error
    if not isinstance(document, dict):
        raise _damaged(file, "it is no JSON object")
    written = document.get("format")
    if isinstance(written, int) and written > FORMAT:
        raise NewerRegistryError(f"{file} was written by a newer dv (format {written}). Update dv.")
    tags, note = document.get("tags"), document.get("note")
    if written != FORMAT or not isinstance(tags, list) or not isinstance(note, str | None):
        raise _damaged(file, "it doesn't hold tags and a note")
    try:
        return Labels(_in_order([check_tag(str(tag)) for tag in tags]), None if note is None else check_note(note))
    except InvalidNameError as error:
        raise _damaged(file, str(error)) from error


def with_tags(labels: Labels, tags: Sequence[str]) -> Labels:
    """Give `labels` with `tags` as well. Raises InvalidNameError."""
    return Labels(_in_order([*labels.tags, *map(check_tag, tags)]), labels.note)


def without_tags(labels: Labels, tags: Sequence[str]) -> Labels:
    """Give `labels` without `tags`. Raises InvalidNameError."""
    dropped = {check_tag(tag) for tag in tags}
    return Labels(tuple(tag for tag in labels.tags if tag not in dropped), labels.note)


def _in_order(tags: Sequence[str]) -> tuple[str, ...]:
    return tuple(sorted(set(tags)))


def _text(labels: Labels) -> str:
    return json.dumps({"format": FORMAT, "tags": labels.tags, "note": labels.note}, indent=2) + "\n"


def _damaged(file: Path, flaw: str) -> DamagedAdapterError:
    return DamagedAdapterError(f"{file} is damaged ({flaw}). Delete it, and tag and note the adapter anew.")
