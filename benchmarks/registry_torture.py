"""Kills `dv` with SIGKILL at random moments, and looks after each kill whether anything was lost.

    python -m benchmarks.registry_torture --kills 500

Each round starts one to three processes at once (learn, compose, rename, prune, import, tag), kills them at
moments spread over the time that such a job takes (one in five may end by itself, and tells how long that is now),
and then asks: is the database whole, does `dv verify` find nothing, is every adapter that was reported as finished
there with the right hash, is no run "running", and is no file without a row after `dv prune`? It ends with exit
code 1 at the first no, and leaves the registry there to look at. How far it is stands on stderr; `--minutes` ends it
earlier, with the report of what it did.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from registry import Registry
from registry.pruning import Limits
from registry.rebuilding import damage_of
from tests.rendering import MATERIAL

NAMES = ("ann", "bob", "cleo", "dora")
MODEL_JOBS = ("learn", "compose")
JOBS = ("rename", "prune", "import", "tag", *MODEL_JOBS)


Identity = tuple[str, str]
"""What of an adapter stays under every name: the hash of its files, and when its run began."""


class LostError(Exception):
    """A promise was broken."""


@dataclass
class Torture:
    """One registry, what it must still hold, and how the jobs went."""

    folder: Path
    dice: random.Random
    must_have: Counter[Identity] = field(default_factory=Counter)
    spans: dict[str, float] = field(default_factory=dict)
    ended: Counter[str] = field(default_factory=Counter)

    @property
    def home(self) -> Path:
        """The registry's folder."""
        return self.folder / "home"

    def dv(self, *arguments: str) -> subprocess.Popen[str]:
        """Start `dv`; what it says goes to a file, so that a full pipe can't stop it."""
        with (self.folder / "stderr.log").open("a") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "dreamvideo_cli", *arguments],
                cwd=self.folder,
                env={**os.environ, "DV_HOME": str(self.home), "OMP_NUM_THREADS": "1"},
                stdout=subprocess.DEVNULL,
                stderr=log,
                text=True,
            )

    def prepare(self, jobs: tuple[str, ...]) -> None:
        """Learn the first adapters, pack them, and find out how long each job takes undisturbed."""
        learn = ("subject", "learn", "first", str(MATERIAL / "rex"), "--class", "dog", "--quiet")
        if self.dv(*learn, "--token-steps", "1", "--adapter-steps", "1").wait() != 0:
            raise SystemExit(f"the first adapter can't be learnt: see {self.folder / 'stderr.log'}")
        with Registry.open(self.home) as registry:
            registry.export(self.folder / "first.dvpack", registry.adapters())
            for name in NAMES:
                registry.import_from(self.folder / "first.dvpack", name=name)
        for job in jobs:
            began = time.monotonic()
            self.start(job).wait()
            self.spans[job] = time.monotonic() - began
        self.look(finished=0)

    def start(self, job: str) -> subprocess.Popen[str]:
        """Start one job of a kind, on names drawn by chance."""
        commands: dict[str, Callable[[], tuple[str, ...]]] = {
            "learn": lambda: (
                "subject", "learn", self.dice.choice(NAMES), str(MATERIAL / "rex"), "--class", "dog", "--token-steps",
                "1", "--adapter-steps", "1", "--seed", str(self.dice.randrange(10**6)), "--restart",
            ),
            "compose": lambda: (
                "compose", "a * runs", "--subject", "first", "--steps", "1", "--size", "32x64", "--force", "-o",
                "video.mp4",
            ),
            "rename": lambda: ("rename", self.some_name(), f"{self.dice.choice(NAMES)}{self.dice.randrange(10**6)}"),
            "prune": lambda: ("prune", "--orphans", "--failed", "--snapshots", "--yes"),
            "import": lambda: ("import", "first.dvpack", "--as", f"new{self.dice.randrange(10**6)}"),
            "tag": lambda: ("tag", self.some_name(), f"tag{self.dice.randrange(100)}"),
        }  # fmt: skip
        return self.dv(*commands[job]())

    def some_name(self) -> str:
        """A name that there is."""
        with Registry.open(self.home) as registry:
            return self.dice.choice([adapter.name for adapter in registry.adapters() if adapter.name != "first"])

    def round(self, jobs: tuple[str, ...]) -> int:
        """Start some jobs at once, kill each at a moment of its own, look; give how many were really killed."""
        started = [(job, self.start(job)) for job in self.dice.choices(jobs, k=self.dice.randint(1, 3))]
        began = time.monotonic()
        moments = {
            process.pid: began + (60.0 if self.dice.random() < 0.2 else self.dice.random() * self.spans[job])
            for job, process in started
        }
        killed = finished = 0
        for job, process in sorted(started, key=lambda each: moments[each[1].pid]):
            try:
                code = process.wait(timeout=max(0.0, moments[process.pid] - time.monotonic()))
                if code == 0:
                    self.spans[job] = time.monotonic() - began
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGKILL)
                code = process.wait()
            killed += code == -signal.SIGKILL
            finished += code == 0 and job in ("learn", "import")
            self.ended[f"{job} {'killed' if code == -signal.SIGKILL else f'exit {code}'}"] += 1
            # Renamed, removed or learnt by another just now: a refusal (2) is an answer. A failure is not.
            if code not in (0, 2, -signal.SIGKILL):
                raise LostError(f"{job} failed with {code}: see {self.folder / 'stderr.log'}")
        self.look(finished)
        return killed

    def look(self, finished: int) -> None:
        """Raise `LostError` for any promise that is broken, then note what there is now.

        `finished` jobs said since the last look that they made an adapter.
        """
        damage = damage_of(self.home)
        if damage is not None:
            raise LostError(damage)
        with Registry.open(self.home) as registry:
            adapters = registry.adapters()
            for finding in registry.check(adapters):
                if finding.is_mismatch:
                    raise LostError(f"{finding.adapter.id}: {finding.detail}")
            there = Counter((adapter.file_hash, adapter.started_at) for adapter in adapters)
            if lost := self.must_have - there:
                raise LostError(f"adapters with these hashes: {lost}")
            if there.total() < self.must_have.total() + finished:
                raise LostError(f"{finished} jobs said that they made an adapter, and they aren't all there")
            if running := [run.id for run in registry.runs.all() if run.state == "running"]:
                raise LostError(f"runs {running} are dead and said to be running")
            plan = registry.pruner.plan(Limits(whats=frozenset({"orphan", "run"})))
            registry.pruner.carry_out(plan)
            if plan.unknown:
                raise LostError(f"unknown folders: {plan.unknown}")
            self.no_file_without_row(registry)
            self.must_have = there

    def no_file_without_row(self, registry: Registry) -> None:
        """Every file below `adapters/` and `logs/` must belong to a row."""
        folders = {registry.path(adapter) for adapter in registry.adapters()}
        logs = {registry.runs.log_of(run.id) for run in registry.runs.all()}
        for file in (path for path in (self.home / "adapters").rglob("*") if path.is_file()):
            if not folders & set(file.parents):
                raise LostError(f"{file} has no row")
        for log in self.home.glob("logs/*"):
            if log not in logs:
                raise LostError(f"{log} has no row")


def tell(killed: int, rounds: int, torture: Torture) -> None:
    """One line of progress."""
    print(f"{killed} kills in {rounds} rounds, {torture.must_have.total()} adapters", file=sys.stderr, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=500, help="how many processes to kill")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="when to stop, however many were killed")
    parser.add_argument("--seed", type=int, default=0, help="of names, jobs and moments")
    parser.add_argument("--jobs", default=",".join(JOBS), help=f"which jobs, of {', '.join(JOBS)}")
    parser.add_argument("--work", type=Path, help="where to work, kept afterwards; else a folder that is removed")
    options = parser.parse_args()
    jobs = tuple(options.jobs.split(","))
    if unknown := set(jobs) - set(JOBS):
        parser.error(f"there is no job {', '.join(sorted(unknown))}")
    folder = (options.work or Path(tempfile.mkdtemp(prefix="dv-torture-"))).absolute()
    folder.mkdir(parents=True, exist_ok=True)
    torture = Torture(folder, random.Random(options.seed))
    began = time.monotonic()
    killed = rounds = 0
    try:
        torture.prepare(jobs)
        while killed < options.kills and time.monotonic() - began < 60 * options.minutes:
            killed += torture.round(jobs)
            rounds += 1
            tell(killed, rounds, torture)
    except LostError as error:
        print(f"BROKEN after {killed} kills: {error}\nThe registry is in {torture.home}.")
        raise SystemExit(1) from None
    report = {
        "kills": killed,
        "rounds": rounds,
        "adapters": torture.must_have.total(),
        "seconds": round(time.monotonic() - began),
        "jobs": dict(sorted(torture.ended.items())),
    }
    print(json.dumps(report, indent=2))
    if options.work is None:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
