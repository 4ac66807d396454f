"""A suite's figures in the form of the paper's tables, and where they agree with what the paper says of its own.

    python -m benchmarks.paper_tables SUITE_FOLDER

Writes `tables.md`, `cells.csv` (a row a cell) and `settings.json` (each method's, as learnt) below `--out`. A suite
that is still running can be told of; what is missing is counted.
"""

from __future__ import annotations

import argparse
import json
import shutil
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from dreamvideo_cli.jobs.suite.folder import CELLS
from engine.evaluation.suites.results import CellAdapter, CellResult, made, read_results, stored_identities
from engine.evaluation.suites.step_tables import step_tables
from engine.evaluation.suites.tables import FOUR, Figure, Table, TableRow, overview, paper_tables, title_of
from engine.methods.common import Kind
from engine.methods.table import method_named
from engine.settings import as_values

_LOWER, _HIGHER = -1, 1
_ALL_LOWER = dict.fromkeys(FOUR, _LOWER)
CLAIMS: dict[str, dict[str, dict[str, int]]] = {
    "1": dict.fromkeys(("ModelScopeT2V", "LoRA"), dict.fromkeys(("clip_t", "clip_i", "dino_i"), _LOWER)),
    "2": {"Textual Inversion": _ALL_LOWER, "Dreamix": dict.fromkeys(("clip_t", "dino_i"), _LOWER)},
    "3": {"ModelScopeT2V": dict.fromkeys(("clip_t", "temporal_consistency"), _LOWER)},
    "5": {
        "w/o textual identity": _ALL_LOWER,
        "w/o appearance guidance": _ALL_LOWER,
        "w/o motion adapter": {
            "clip_t": _LOWER, "clip_i": _HIGHER, "dino_i": _HIGHER, "temporal_consistency": _LOWER,
        },
    },
    "A1": {"Custom Diffusion": _ALL_LOWER},
    "A4": {"LoRA": _ALL_LOWER},
    "A5": dict.fromkeys(
        ("Serial, all layers", "Parallel, attention", "Parallel, feed-forward"),
        dict.fromkeys(("clip_t", "temporal_consistency"), _LOWER),
    ),
}  # fmt: skip
"""By table and row: how a metric's mean stands to the table's last row, DreamVideo's (in A4 the adapter's), in the
paper's words: section 4.2 (tables 1 to 3), 4.3 (5), appendices B.2 (A1), C.2 (A4) and C.3
(A5). What it calls comparable is left out."""
_SHOWN = (
    "optimizer", "learning_rate", "steps", "batch_size", "adapter_learning_rate", "adapter_steps",
    "token_learning_rate", "token_steps", "learning_rate_decay", "noise_bias", "shift", "p_zero",
)  # fmt: skip


@dataclass(frozen=True)
class Verdict:
    """What the paper says of a row and a metric, and what was found."""

    table: str
    row: str
    metric: str
    expected: int
    figure: Figure

    @property
    def text(self) -> str:
        difference = self.figure.difference
        assert difference is not None
        way = "as in the paper" if difference.mean * self.expected > 0 else "the other way"
        return way if self.figure.differs else f"{way}, perhaps by chance"


def main() -> None:
    """Write the tables of the suite that is asked for."""
    options = _options()
    results = read_results(options.folder)
    options.out.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(options.folder / CELLS, options.out / CELLS)
    settings = _settings(results)
    (options.out / "settings.json").write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")
    expected = len(stored_identities(options.folder) or results)
    (options.out / "tables.md").write_text("\n".join(_page(results, expected)) + "\n", encoding="utf-8")


def verdicts(tables: Iterable[Table]) -> Iterator[Verdict]:
    """What of the paper's claims these tables can speak to."""
    for table in tables:
        for row in table.rows:
            for metric, expected in CLAIMS.get(table.number, {}).get(row.title, {}).items():
                figure = row.figures.get(metric)
                if figure is not None and figure.difference is not None:
                    yield Verdict(table.number, row.title, metric, expected, figure)


def _page(results: list[CellResult], expected: int) -> Iterator[str]:
    tables = paper_tables(results)
    videos, bases = made(results), {result.base_fingerprint[:12] for result in results}
    yield "# The paper's tables on the embedded base\n"
    base = ", ".join(bases)
    yield f"Written by `benchmarks/paper_tables.py` from {len(videos)} of {expected} cells; base `{base}`.\n"
    yield (
        "Means with 95% intervals; subjects and motions are resampled ([how](../../report.md#the-tables)). In brackets "
        "the difference to the last row over the cells that both have; in bold where its interval holds no zero."
    )
    for table in tables:
        yield f"\n## Table {table.number}. {table.caption}\n"
        yield from _table(table)
    yield "\n## Where they agree with the paper\n"
    yield "| table | row | metric | the paper says | difference | found |\n| --- | --- | --- | --- | --- | --- |"
    for found in verdicts(tables):
        said = "higher" if found.expected == _HIGHER else "lower"
        yield (
            f"| {found.table} | {found.row} | {title_of(found.metric)} | {said} | {_difference(found.figure)} "
            f"| {found.text} |"
        )
    for table in (*overview(results), *step_tables(results)):
        yield f"\n## {table.caption}\n"
        yield from _table(table)
    yield "\n## Settings\n"
    yield "The paper's beside those that were learnt with; the same where one is given.\n"
    yield from _settings_table(results)


def _table(table: Table) -> Iterator[str]:
    titles = ["", *map(title_of, table.metrics), *(["parameters"] if table.with_parameters else []), "videos"]
    yield "| " + " | ".join(titles) + " |"
    yield "|" + " --- |" * len(titles)
    for row in table.rows:
        values = [_mean(row, metric) for metric in table.metrics]
        counts = [f"{row.parameters:,}" if row.parameters else "0"] if table.with_parameters else []
        yield "| " + " | ".join([row.title, *values, *counts, str(row.videos)]) + " |"


def _mean(row: TableRow, metric: str) -> str:
    figure = row.figures[metric]
    if figure is None:
        return ""
    text = f"{figure.interval.mean:.3f}, {figure.interval.low:.3f} to {figure.interval.high:.3f}"
    return f"{text} ({_difference(figure)})" if figure.difference is not None else text


def _difference(figure: Figure) -> str:
    assert figure.difference is not None
    return f"**{figure.difference.mean:+.3f}**" if figure.differs else f"{figure.difference.mean:+.3f}"


def _parts(results: Iterable[CellResult]) -> dict[tuple[Kind, str], CellAdapter]:
    """A part of each kind and method that adapters were learnt by."""
    found: dict[tuple[Kind, str], CellAdapter] = {}
    for result in results:
        for kind, part in result.parts.items():
            found.setdefault((kind, part.method), part)
    return found


def _settings(results: Iterable[CellResult]) -> dict[str, Mapping[str, object]]:
    return {f"{kind}/{method}": part.settings for (kind, method), part in _parts(results).items()}


def _settings_table(results: Iterable[CellResult]) -> Iterator[str]:
    yield "| learnt | by | " + " | ".join(f"`{name}`" for name in _SHOWN) + " |"
    yield "|" + " --- |" * (len(_SHOWN) + 2)
    for (kind, name), part in _parts(results).items():
        papers = as_values(method_named(kind, name).settings(3))
        cells = []
        for setting in _SHOWN:
            theirs, here = papers.get(setting), part.settings.get(setting, {}).get("value")
            cells.append("" if here is None else f"{here}" if here == theirs else f"{theirs} -> {here}")
        yield f"| {kind} | {name} | " + " | ".join(cells) + " |"


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="the folder of a suite that `dv suite run` made")
    parser.add_argument(
        "--out", type=Path, default=Path("docs") / "embedded-base" / "tables",
        help="where they are written (default: %(default)s)",
    )  # fmt: skip
    return parser.parse_args()


if __name__ == "__main__":
    main()
