"""A batch's manifest: one line a row, on how it went."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from engine.files import written_aside

if TYPE_CHECKING:
    from dreamvideo_cli.jobs.batch.planning import PlannedRow

MANIFEST = "manifest.jsonl"


def write_manifest(rows: Sequence[PlannedRow], folder: Path) -> None:
    """Write the manifest, whole or not at all."""
    with written_aside(folder / MANIFEST) as partial:
        partial.write_text("".join(json.dumps(row.data()) + "\n" for row in rows), encoding="utf-8")


def noted_hashes(folder: Path) -> dict[str, str]:
    """What an earlier run noted, by absolute path; nothing from a manifest that can't be read."""
    try:
        lines = [json.loads(line) for line in (folder / MANIFEST).read_text(encoding="utf-8").splitlines()]
        return {
            str(Path(result["path"]).absolute()): str(result["sha256"])
            for line in lines
            for result in line["results"]
            if result["sha256"]
        }
    except (OSError, ValueError, KeyError, TypeError):
        return {}
