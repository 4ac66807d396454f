"""Where trials of settings are kept: one file a base, a table for each thing that is chosen."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.figures.bench import Bench
from engine.files import written_aside


def add_out(parser: argparse.ArgumentParser) -> None:
    """The option that names the file."""
    parser.add_argument(
        "--out", type=Path, default=Path("docs") / "embedded-base" / "settings.json",
        help="where the trials are kept (default: %(default)s)",
    )  # fmt: skip


def write_trials(path: Path, bench: Bench, table: str, trials: Mapping[str, object]) -> None:
    """Keep trials, by what each is, in a table of the file at `path`; those on another base go."""
    kept: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    if kept.get("base") != bench.fingerprint:
        kept = {"base": bench.fingerprint}
    kept[table] = kept.get(table, {}) | dict(trials)
    path.parent.mkdir(parents=True, exist_ok=True)
    with written_aside(path) as partial:
        partial.write_text(json.dumps(kept, indent=2) + "\n", encoding="utf-8")
