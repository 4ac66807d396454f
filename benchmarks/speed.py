"""How fast dv learns and composes beside plain implementations, on equal weights and inputs, and whether they agree.

    python -m benchmarks.speed --work /tmp/speed --out docs/speed.json --plot docs/speed.svg
    python -m benchmarks.speed --work /tmp/speed --sizes modelscope --device cuda --dtype bf16

Jobs and peers:

- `token`: a step of textual inversion; beside diffusers' way (the whole vocabulary is trained, the others put back).
- `identity`, `motion`: a step of an adapter; beside `plain`, a loop that encodes latents and text at every step, and
  `authors`, the same with activations recomputed and, for a motion, the image encoder run at every step.
- `compose`: a denoising step with guidance and both adapters; beside diffusers' own pipeline without any, and dv bare.

Each measurement is a process of its own, all of a job in turn, round after round; a ratio is the median over rounds of
a peer's time over dv's of the same round, with the least and the largest beside it. First losses and gradients of the
adapters are compared with the plain implementation's, and a bare video with the pipeline's. The sizes `half` and
`modelscope` have random weights. Operations (of matrix products, convolutions, attention) are counted while a step is
taken. A peer's over dv's are what the ratio of times would be if an operation took both as long; dv's a second, as a
part of a matrix product's measured in the same process, are what its step leaves of the bound that arithmetic sets.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from benchmarks.speed_peers import AGREEMENTS, DTYPES, PEERS, Case, measured, operations
from engine.estimating import matrix_rate

SIZES = {"embedded": (64, 8), "half": (256, 4), "modelscope": (256, 16)}
"""The side of a video in pixels, and its frames."""
_COUNTED = 0
"""Steps that are measured where operations are counted instead."""


def child(options: argparse.Namespace, size: str, job: str, peer: str = "", steps: int = 0) -> dict[str, Any]:
    """One measurement, or comparison, in a process of its own: this one stays small, as a child's peak begins at its
    parent's."""
    told = [sys.executable, "-m", "benchmarks.speed", *_common(options), "--one", size, job, peer, str(steps)]
    done = subprocess.run(told, check=True, capture_output=True, text=True)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def rows(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """A row for each size, job and peer."""
    for size in options.sizes:
        steps = options.steps or (8 if size == "embedded" else 2)
        for job in options.jobs:
            found: dict[str, list[dict[str, Any]]] = {peer: [] for peer in PEERS[job]}
            for number in range(options.rounds):
                order = list(found) if number % 2 == 0 else list(reversed(found))
                for peer in order:
                    found[peer].append(child(options, size, job, peer, steps))
                    print(size, job, peer, found[peer][-1], file=sys.stderr, flush=True)
            counted = {peer: child(options, size, job, peer, _COUNTED)["operations"] for peer in found}
            for peer, theirs in found.items():
                times = [other["seconds"] / own["seconds"] for own, other in zip(found["dv"], theirs, strict=True)]
                shares = [counted[peer] / one["seconds"] / one["rate"] for one in theirs]
                yield {
                    "size": size, "job": job, "peer": peer,
                    "seconds_a_step": round(statistics.median(one["seconds"] for one in theirs), 4),
                    "time_over_dv": [round(x, 3) for x in (statistics.median(times), min(times), max(times))],
                    "operations": counted[peer],
                    "operations_over_dv": round(counted[peer] / counted["dv"], 3),
                    "share_of_rate": round(statistics.median(shares), 3),
                    "peak_gib": round(statistics.median(one["peak_gib"] for one in theirs), 2),
                }  # fmt: skip


def table(report: dict[str, Any]) -> str:
    """The rows as Markdown."""
    lines = [
        "| size | job | who | s a step | time over dv's | operations over dv's | of the matrix rate | peak, GiB |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for row in report["rows"]:
        middle, least, most = row["time_over_dv"]
        cells = [row["size"], row["job"], row["peer"], f"{row['seconds_a_step']:.3f}"]
        if row["peer"] == "dv":
            cells += ["", f"({row['operations'] / 1e9:.3g} G)"]
        else:
            cells += [f"{middle:.2f} ({least:.2f} to {most:.2f})", f"{row['operations_over_dv']:.2f}"]
        cells += [f"{row['share_of_rate']:.0%}", f"{row['peak_gib']:.2f}"]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def draw(report: dict[str, Any], file: Path) -> None:
    """The peers' times over dv's, a panel for each size."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    peers = [row for row in report["rows"] if row["peer"] != "dv"]
    sizes = list(dict.fromkeys(row["size"] for row in peers))
    with mpl.rc_context({"svg.hashsalt": "dv", "svg.fonttype": "none", "font.size": 9}):
        figure = Figure(figsize=(4.2 * len(sizes), 2.8), layout="constrained")
        for panel, size in zip(figure.subplots(1, len(sizes), squeeze=False)[0], sizes, strict=True):
            mine = [row for row in peers if row["size"] == size]
            middles = [row["time_over_dv"][0] for row in mine]
            whiskers = [[m - row["time_over_dv"][1] for m, row in zip(middles, mine, strict=True)],
                        [row["time_over_dv"][2] - m for m, row in zip(middles, mine, strict=True)]]  # fmt: skip
            panel.barh([f"{row['job']}: {row['peer']}" for row in mine], middles, xerr=whiskers, color="#4878a8")
            panel.axvline(1, color="#404040", linewidth=1)
            panel.set_title(size)
            panel.set_xlabel("a step's time over dv's")
            panel.spines[["top", "right"]].set_visible(False)
            panel.invert_yaxis()
        figure.savefig(file, metadata={"Date": None} if file.suffix == ".svg" else None)


def main() -> None:
    """Compare, measure, write."""
    options = _options()
    if options.one:
        size, job, peer, steps = options.one
        case = Case(options.work, size, *SIZES[size], options.device, options.dtype)
        if job == "agreement":
            print(json.dumps({name: agree(case) for name, agree in AGREEMENTS.items()}))
            return
        if int(steps) == _COUNTED:
            print(json.dumps({"operations": operations(case, job, peer)}))
            return
        found = {"seconds": statistics.median(measured(case, job, peer, int(steps))), "peak_gib": _peak(options.device)}
        print(json.dumps(found | {"rate": matrix_rate(torch.device(options.device), DTYPES[options.dtype])}))
        return
    agreement = {size: child(options, size, "agreement") for size in options.sizes}
    print(json.dumps(agreement), file=sys.stderr, flush=True)
    report = {
        "device": _device(options.device),
        "dtype": options.dtype,
        "threads": torch.get_num_threads(),
        "rounds": options.rounds,
        "relative_difference_to_plain": agreement,
        "rows": list(rows(options)),
    }
    print(table(report))
    if options.out is not None:
        options.out.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    if options.plot is not None:
        draw(report, options.plot)


def _peak(device: str) -> float:
    if device == "cuda":
        return torch.cuda.max_memory_reserved() / 2**30
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def _device(device: str) -> str:
    if device == "cuda":
        return str(torch.cuda.get_device_name())
    names = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    return f"{names[0].split(':')[1].strip()}, {len(names)} processors" if names else "a processor"


def _common(options: argparse.Namespace) -> list[str]:
    return ["--work", str(options.work), "--device", options.device, "--dtype", options.dtype]


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="where bases with random weights are kept")
    parser.add_argument("--sizes", nargs="+", choices=list(SIZES), default=["embedded", "half"])
    parser.add_argument("--jobs", nargs="+", choices=list(PEERS), default=list(PEERS))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, help="steps of a measurement (embedded 8, others 2)")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--dtype", choices=["fp32", "bf16"], default="fp32")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--plot", type=Path)
    parser.add_argument("--one", nargs=4, metavar=("SIZE", "JOB", "PEER", "STEPS"), help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    main()
