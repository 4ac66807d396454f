"""Measures what a list and a tab press cost with 10,000 adapters, as multiples of `python -c "import typer"`.

    python -m benchmarks.registry_speed --json speed.json

The registry is made with rows alone: neither a list nor a completion looks at the adapters' files. Commands are run
one after another, round by round, so that whatever else the machine does meets all of them alike; each figure is
the median of its rounds, as wall-clock time and as processor time. A list is run on a terminal, as it shows a page
there. With `--at-most 4` it ends with exit code 1 where a list or a completion took more than four times as long.
"""

from __future__ import annotations

import argparse
import json
import os
import pty
import resource
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from registry import Adapter, Kind, Labels, Registry
from registry import labels as labelling
from registry import rows as adapter_rows

NAMES, VERSIONS = 2_500, 4
PLAIN = "import typer"
COMMANDS: dict[str, tuple[str, ...]] = {
    PLAIN: ("-c", "import typer"),
    "dv --version": ("-m", "dreamvideo_cli", "--version"),
    "dv list (first page)": ("-m", "dreamvideo_cli", "list"),
    "completion of dv show subject-01": ("-m", "dreamvideo_cli"),
    "completion of dv compose x --subject subject-01": ("-m", "dreamvideo_cli"),
}  # fmt: skip
PROMISED = tuple(name for name in COMMANDS if "first page" in name or "completion" in name)


@dataclass
class Times:
    """Seconds of one command, round by round."""

    wall: list[float] = field(default_factory=list)
    processor: list[float] = field(default_factory=list)


def fill(home: Path) -> int:
    """Make a registry, and give how many adapters it has: two kinds, several versions, every tenth tagged."""
    with Registry.open(home) as registry, registry._database.writing() as session:
        for number in range(NAMES):
            kind: Kind = "motion" if number % 2 else "subject"
            name = f"{kind}-{number // 2:04}"
            for version in range(1, VERSIONS + 1):
                adapter = some_adapter(kind, name, version, number)
                adapter_rows.reserve(session, name, adapter.kind, version)
                adapter_rows.insert(session, adapter, [])
                if (number * VERSIONS + version) % 10 == 0:
                    labelling.store(session, adapter, Labels(("best",), "a note"))
    return NAMES * VERSIONS


def some_adapter(kind: Kind, name: str, version: int, number: int) -> Adapter:
    """A row as large as a real one's."""
    settings = {f"setting_{each}": each * 0.001 for each in range(30)}
    return Adapter(
        kind=kind, name=name, version=version, base_fingerprint="f" * 64, base_name=f"base-{number % 7}",
        method="dreamvideo", hyperparameters=settings, origins=dict.fromkeys(settings, "paper"), seed=number,
        device="cpu", dtype="fp32", library_versions={"torch": "2.13.0", "diffusers": "0.42.1"},
        started_at="2026-01-01T10:00:00+00:00", ended_at="2026-01-01T11:00:00+00:00", steps=3000 + number,
        final_loss=0.125, dv_version="0.1.0", class_word="dog", file_hash=f"{number:032x}{version:032x}",
        size=1_000_000 + number * 37 % 9001,
    )  # fmt: skip


def environment(home: Path, bytecode: Path, command: str) -> dict[str, str]:
    """What each command is run in: with its bytecode kept, as an installed one has it."""
    settings = {**os.environ, "DV_HOME": str(home), "PYTHONPYCACHEPREFIX": str(bytecode), "TERM": "xterm"}
    for own in ("PYTHONDONTWRITEBYTECODE", "DV_REGISTRY_URL"):
        settings.pop(own, None)
    if command.startswith("completion of "):
        line = command.removeprefix("completion of ")
        settings |= {
            "_DV_COMPLETE": "complete_fish", "_TYPER_COMPLETE_FISH_ACTION": "get-args", "_TYPER_COMPLETE_ARGS": line,
        }  # fmt: skip
    return settings


def measure(arguments: Sequence[str], settings: dict[str, str], *, terminal: bool) -> tuple[float, float]:
    """Run Python once, and give the seconds that it took, on the clock and of the processor."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    began = time.perf_counter()
    if terminal:
        output, ours = pty.openpty()[::-1]
        reader = threading.Thread(target=drain, args=(ours,))
        reader.start()
    else:
        output = os.open(os.devnull, os.O_WRONLY)
    subprocess.run([sys.executable, *arguments], env=settings, stdout=output, stderr=subprocess.DEVNULL, check=True)
    os.close(output)
    took = time.perf_counter() - began
    if terminal:
        reader.join()
        os.close(ours)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return took, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def drain(terminal: int) -> None:
    """Read what is written to a terminal until nobody has it open any more."""
    try:
        while os.read(terminal, 65536):
            pass
    except OSError:
        return


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=11, help="how often each command is run")
    parser.add_argument("--at-most", type=float, metavar="N", help="fail where a list's page or a completion is slower")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there as well")
    options = parser.parse_args()
    times = {name: Times() for name in COMMANDS}
    with tempfile.TemporaryDirectory(prefix="dv-speed-") as folder:
        home, bytecode = Path(folder) / "home", Path(folder) / "bytecode"
        count = fill(home)
        # The first round, which writes bytecode, counts for nothing.
        for number in range(options.rounds + 1):
            for name, arguments in COMMANDS.items():
                took = measure(arguments, environment(home, bytecode, name), terminal="first page" in name)
                if number:
                    times[name].wall.append(took[0])
                    times[name].processor.append(took[1])
    figures = {name: figures_of(own, times[PLAIN]) for name, own in times.items()}
    print(f"{count:,} adapters, medians of {options.rounds} rounds\n")
    print(f"{'':50} {'wall':>9} {'times':>6} {'processor':>10} {'times':>6}")
    for name, own in figures.items():
        print(
            f"{name:50} {own['wall_s'] * 1000:6.0f} ms {own['wall_ratio']:6.2f} "
            f"{own['processor_s'] * 1000:7.0f} ms {own['processor_ratio']:6.2f}"
        )
    if options.json is not None:
        options.json.write_text(
            json.dumps({"adapters": count, "rounds": options.rounds, "commands": figures}, indent=2)
        )
    slow = [name for name in PROMISED if options.at_most is not None and figures[name]["wall_ratio"] > options.at_most]
    if slow:
        raise SystemExit(f"slower than {options.at_most} times {PLAIN!r}: {', '.join(slow)}")


def figures_of(own: Times, plain: Times) -> dict[str, float]:
    """Medians, and how many times the plain import's they are."""
    wall, processor = statistics.median(own.wall), statistics.median(own.processor)
    return {
        "wall_s": wall,
        "wall_ratio": wall / statistics.median(plain.wall),
        "processor_s": processor,
        "processor_ratio": processor / statistics.median(plain.processor),
    }


if __name__ == "__main__":
    main()
