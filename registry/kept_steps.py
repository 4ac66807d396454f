"""Steps of an adapter that were kept while it was learnt: `learning/steps/<step>` in its folder.

The adapter's hash doesn't cover them, so that it is the same adapter with and without them, and they can go alone.
Each has a hash of its own, in its `step.json`.
"""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass
from pathlib import Path

from registry.blobs import LEARNING, STEP_DOCUMENT, Blobs, measure
from registry.errors import DamagedAdapterError, UnknownNameError
from registry.records import Adapter, AdapterAtStep
from registry.validation import check_row

FORMAT = 1
STEPS = f"{LEARNING}/steps"
_NUMBER = re.compile("[1-9][0-9]{0,8}")


@dataclass(frozen=True)
class _Document:
    """What `step.json` says: the losses at the step, and what the folder's files must be."""

    loss: float
    held_out_loss: float | None
    file_hash: str
    size: int


def describe(folder: Path, *, loss: float, held_out_loss: float | None) -> None:
    """Write `step.json` into the folder of a step, whose files are all there."""
    document = _Document(loss, held_out_loss, *measure(folder))
    text = json.dumps({"format": FORMAT, **asdict(document)}, indent=2, allow_nan=False)
    (folder / STEP_DOCUMENT).write_text(text + "\n", encoding="utf-8")


def folders(folder: Path) -> list[tuple[int, Path]]:
    """The steps that lie in an adapter's folder, in order, each with its own folder."""
    try:
        entries = list((folder / STEPS).iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return []
    return sorted((int(entry.name), entry) for entry in entries if _NUMBER.fullmatch(entry.name) and entry.is_dir())


def read(adapter: Adapter, step: int, folder: Path) -> AdapterAtStep:
    """An adapter as it was at a step that lies in `folder`. Raises DamagedAdapterError."""
    from pydantic import TypeAdapter, ValidationError

    try:
        text = (folder / STEP_DOCUMENT).read_text(encoding="utf-8")
        told = TypeAdapter(_Document).validate_json(text)
        check_row(asdict(told))
    except (OSError, ValidationError, ValueError) as error:
        raise DamagedAdapterError(
            f"The kept step {adapter.id}:{step} is damaged ({error}). Take it away with: dv rm {adapter.id}:{step}"
        ) from error
    about = {**asdict(adapter), "file_hash": told.file_hash, "size": told.size, "final_loss": told.loss}
    return AdapterAtStep(**about, step=step, held_out_loss=told.held_out_loss)


def readable(blobs: Blobs, adapter: Adapter) -> list[AdapterAtStep]:
    """The kept steps of an adapter, in order; a damaged one is left out."""
    found = []
    for step, folder in folders(blobs.folder(adapter.name, adapter.version)):
        try:
            found.append(read(adapter, step, folder))
        except DamagedAdapterError:
            continue
    return found


def found(blobs: Blobs, adapter: Adapter, step: int) -> AdapterAtStep:
    """The kept step that somebody names. Raises UnknownNameError, DamagedAdapterError."""
    there = dict(folders(blobs.folder(adapter.name, adapter.version)))
    if step in there:
        return read(adapter, step, there[step])
    kept = f"kept are {', '.join(map(str, there))}" if there else "none were kept: learn it with `keep_every`"
    raise UnknownNameError(f"There is no step {step} of {adapter.id}: {kept}.")


def flaw(adapter: Adapter, step: int, folder: Path) -> str | None:
    """What is wrong with a kept step; None where it is what it was."""
    try:
        kept = read(adapter, step, folder)
        if measure(folder) == (kept.file_hash, kept.size):
            return None
    except (DamagedAdapterError, OSError, ValueError) as error:
        return str(error)
    return f"the files of its kept step {step} aren't those that were published"
