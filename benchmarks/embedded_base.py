"""The figures of the embedded base, or of another base that was pretrained on the same world.

    python -m benchmarks.embedded_base --figures --out docs/embedded-base

Measures what `--out` does not hold yet, prints a table, and writes figures.json, a page and contact sheets there.
On two CPU cores the whole takes some hours; it may be stopped at any time and goes on where it was.
"""

from __future__ import annotations

import argparse
import json
import platform
from collections.abc import Callable
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from benchmarks.figures.bench import QUICK, Bench, Figure, FigureRow, Scale, add_options, as_plain, location_of, say
from benchmarks.figures.customizing import both_together, learning_time, new_motion, new_subject
from benchmarks.figures.text import autoencoder_keeps_individuals, text_is_followed
from engine.files import written_aside
from engine.settings import as_values

FIGURES: dict[str, Callable[[Bench], Figure]] = {
    "1": text_is_followed,
    "2": autoencoder_keeps_individuals,
    "3": new_subject,
    "4": learning_time,
    "5": new_motion,
    "6": both_together,
}

_VERDICTS = {True: "met", False: "NOT MET", None: ""}


def main() -> None:
    """Measure the figures asked for and print them."""
    options = _options()
    scale = QUICK if options.quick else Scale(clips=options.clips)
    bench = Bench(location_of(options.base), scale, options.out, options.work, options.device)
    store = options.out / "figures.json"
    bench.figures = _kept(store, bench, scale)
    checked = bench.readers.check(scale.check_clips)
    for number in options.figures:
        if number not in bench.figures:
            say(f"figure {number}")
            bench.figures[number] = FIGURES[number](bench)
            _keep(store, bench, checked.values())
            _write_page(options.out / "README.md", bench, checked.values())
    print(_table(bench, checked.values()), end="")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_options(parser)
    parser.add_argument(
        "--figures", type=_numbers, nargs="?", const=list(FIGURES), required=True, metavar="1,2,...",
        help="the figures to measure (no numbers: all)",
    )  # fmt: skip
    parser.add_argument("--clips", type=int, default=Scale().clips, help="clips of figure 1 (default: %(default)s)")
    parser.add_argument("--quick", action="store_true", help="few clips, subjects and motions: for trying things out")
    parser.add_argument(
        "--out", type=Path, default=Path("docs") / "embedded-base",
        help="where figures.json and the sheets are written (default: %(default)s)",
    )  # fmt: skip
    options = parser.parse_args()
    if options.clips < 1:
        parser.error("--clips must be at least 1")
    return options


def _numbers(text: str) -> list[str]:
    numbers = text.split(",")
    if unknown := [n for n in numbers if n not in FIGURES]:
        raise argparse.ArgumentTypeError(f"there is no figure {', '.join(unknown)}: choose from {','.join(FIGURES)}")
    return numbers


def _identity(bench: Bench, scale: Scale) -> dict[str, Any]:
    """What two runs must share for their figures to stand in one file."""
    return {"fingerprint": bench.fingerprint, "scale": asdict(scale), "compose": as_values(bench.config)}


def _kept(store: Path, bench: Bench, scale: Scale) -> dict[str, Figure]:
    """The figures measured before on this base at this scale."""
    if not store.exists():
        return {}
    content = json.loads(store.read_text(encoding="utf-8"))
    if content["identity"] != json.loads(json.dumps(_identity(bench, scale))):
        say(f"{store} is of another base, scale or setting: all of its figures are measured anew")
        return {}
    return {
        number: Figure(f["title"], [FigureRow(**row) for row in f["rows"]], f["details"], f["sheets"])
        for number, f in content["figures"].items()
    }


def _keep(store: Path, bench: Bench, checked: dict[str, float]) -> None:
    content = {
        "identity": _identity(bench, bench.scale),
        "base": bench.location.name,
        "machine": {
            "processor": platform.machine(),
            "threads": torch.get_num_threads(),
            "device": bench.device or ("cuda" if torch.cuda.is_available() else "cpu"),
            "torch": version("torch"),
            "diffusers": version("diffusers"),
        },
        "readers": checked,
        "figures": {number: as_plain(bench.figures[number]) for number in sorted(bench.figures)},
    }
    with written_aside(store) as partial:
        partial.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def _write_page(page: Path, bench: Bench, checked: dict[str, float]) -> None:
    """The same as Markdown, sheets included: what docs/embedded-base.md points at."""
    lines = ["# The embedded base in figures", ""]
    lines += [f"Written by `python -m benchmarks.embedded_base --figures`; base `{bench.fingerprint[:12]}`.", ""]
    lines += ["## Readers, on rendered clips that training never saw", "", "| what | value |", "| --- | --- |"]
    lines += [f"| {name.replace('_', ' ')} | {value:.4f} |" for name, value in checked.items()]
    for number, figure in sorted(bench.figures.items()):
        lines += ["", f"## {number}. {figure.title}", "", "| what | value | target | |", "| --- | --- | --- | --- |"]
        lines += [f"| {r.what} | {r.value:.3f} | {r.target} | {_VERDICTS[r.met]} |" for r in figure.rows]
        for sheet in figure.sheets:
            lines += ["", f"![{sheet.removesuffix('.webp')}]({sheet})"]
    with written_aside(page) as partial:
        partial.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _table(bench: Bench, checked: dict[str, float]) -> str:
    lines = [f"base {bench.location.name} ({bench.fingerprint[:12]})"]
    if bench.scale == QUICK:
        lines.append("QUICK: few clips, subjects and motions; not the figures to report")
    lines.append("readers on rendered clips that training never saw:")
    lines += [f"    {name.replace('_', ' '):<64}{value:>9.4f}" for name, value in checked.items()]
    for number, figure in sorted(bench.figures.items()):
        lines.append(f"\n{number}. {figure.title}")
        for row in figure.rows:
            lines.append(f"    {row.what:<64}{row.value:>9.3f}  {row.target:<28}{_VERDICTS[row.met]}".rstrip())
        lines += [f"    {bench.out / sheet}" for sheet in figure.sheets]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
