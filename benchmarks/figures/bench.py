"""What all figures share: the base, the readers, and everything made before, kept on disk."""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from platformdirs import user_cache_path

from benchmarks.figures.asked import SEED, Asked, Frames, taught_by
from benchmarks.figures.readers.reading import Readers
from engine.bases.base import Base
from engine.bases.fingerprint import fingerprint
from engine.bases.load import load_base
from engine.bases.location import EMBEDDED, BaseLocation, inspect_base
from engine.composing import AppliedAdapter, Shot, compose_batch
from engine.files import written_aside
from engine.learning import Learned, learn_motion, learn_subject
from engine.media.sheets import contact_sheet, write_sheet
from engine.methods.common import Kind
from engine.methods.dreamvideo import ComposeConfig
from engine.methods.table import DEFAULT
from engine.planning import MotionPlan, SubjectPlan, plan_motion, plan_subject
from engine.settings import as_values, resolve
from engine.training import Progress
from engine.world import material
from engine.world.individuals import Individual

BATCH = 8


@dataclass(frozen=True)
class Learnt:
    """The adapters' folders that a clip is generated with; None is the bare base."""

    subject: Path | None = None
    motion: Path | None = None

    def applied(self) -> list[AppliedAdapter]:
        """The same as a composition takes them."""
        folders: dict[Kind, Path | None] = {"subject": self.subject, "motion": self.motion}
        return [AppliedAdapter(folder, role) for role, folder in folders.items() if folder is not None]


_Plan = TypeVar("_Plan", SubjectPlan, MotionPlan)


@dataclass(frozen=True)
class Scale:
    """How much is measured."""

    clips: int = 200
    subjects: int = 12
    motions: int = 3
    subject_prompts: int = 8
    motion_prompts: int = 8
    check_clips: int = 500


QUICK = Scale(clips=24, subjects=2, motions=1, subject_prompts=4, motion_prompts=2, check_clips=100)


@dataclass(frozen=True)
class FigureRow:
    """One line of the table: what was measured, its value, and the target where there is one."""

    what: str
    value: float
    target: str = ""
    met: bool | None = None


@dataclass(frozen=True)
class Figure:
    """A figure's rows, the details behind them, and the sheets that show it."""

    title: str
    rows: list[FigureRow]
    details: dict[str, Any] = field(default_factory=dict)
    sheets: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Taught:
    """An adapter that was learnt here: its folder and the seconds that took, encoding included."""

    folder: Path
    seconds: float


class Bench:
    """One base under measurement. What takes long (clips, adapters) lies in `work`, and is made once."""

    def __init__(self, location: BaseLocation, scale: Scale, out: Path, work: Path, device: str | None) -> None:
        self.location, self.scale, self.out, self.device = location, scale, out, device
        self.info = inspect_base(location)
        self.fingerprint = fingerprint(self.info)
        self.work = work / self.fingerprint[:12]
        self.config: ComposeConfig = resolve(ComposeConfig(), self.info.recommended.get("compose", {}), {}).config
        self.figures: dict[str, Figure] = {}

    @cached_property
    def readers(self) -> Readers:
        def told(name: str, progress: Progress) -> None:
            if progress.step % 100 == 0:
                say(f"training the {name} reader: step {progress.step} of {progress.steps}")

        return Readers.load(told=told)

    def once(self, kind: str, key: tuple[bytes | str, ...], make: Callable[[], list[float]]) -> list[float]:
        """What `make` gives, or gave for this key before."""
        name = hashlib.sha256(b"/".join(k if isinstance(k, bytes) else k.encode() for k in key)).hexdigest()[:20]
        path = self.work.parent / kind / f"{name}.json"
        if not path.exists():
            made = make()
            path.parent.mkdir(parents=True, exist_ok=True)
            with written_aside(path) as partial:
                partial.write_text(json.dumps(made), encoding="utf-8")
        kept: list[float] = json.loads(path.read_text(encoding="utf-8"))
        return kept

    def generate(
        self, requests: Sequence[Asked], learnt: Learnt | None = None, config: ComposeConfig | None = None
    ) -> Frames:
        """Clips `(N, F, H, W, 3)`, batch by batch, those kept from before read back."""
        learnt, config = learnt or Learnt(), config or self.config
        base, chunks = None, []
        for start in range(0, len(requests), BATCH):
            batch = requests[start : start + BATCH]
            asked = [(r.prompt, r.seed) for r in batch]
            path = self.work / "clips" / f"{_digest(asked, as_values(config), *_hashes(learnt))}.npy"
            if not path.exists():
                base = base or load_base(self.location, device=self.device)
                began = time.perf_counter()
                shots = [Shot(r.prompt, r.seed) for r in batch]
                made = compose_batch(base, shots, config=config, adapters=learnt.applied())
                with written_aside(path) as partial:
                    np.save(partial, np.stack([one.frames for one in made]))
                seconds = (time.perf_counter() - began) / len(batch)
                say(f"generated {start + len(batch)} of {len(requests)} clips, {seconds:.1f} s each")
            chunks.append(np.load(path))
        return np.concatenate(chunks)

    def teach_subject(self, one: Individual, method: str = DEFAULT, **options: object) -> Taught:
        """Learn a subject from its photographs, with the recommended settings but for `options`."""
        name = f"{one.class_word}-{_digest(repr(one))}"
        paths = material.write_photographs(one, self.work / "photographs" / name, seed=SEED)
        plan = plan_subject(paths, one.class_word, info=self.info, options=options, method=method)
        return self._taught(name, plan, learn_subject)

    def teach_motion(self, motion: str, method: str = DEFAULT, **options: object) -> Taught:
        """Learn a motion from clips of others, with the recommended settings but for `options`."""
        clips = material.write_clips(motion, taught_by(motion), self.work / "training clips" / motion, seed=SEED)
        plan = plan_motion(clips, None, info=self.info, options=options, method=method)
        return self._taught(motion, plan, learn_motion)

    def _taught(self, name: str, plan: _Plan, learn: Callable[[_Plan, Base, Path], Learned]) -> Taught:
        """What `learn` makes of `plan`, or made of it before."""
        key = _digest(plan.method.name, plan.settings.values(), *sorted(s.sha256 for s in plan.sources))
        folder = self.work / "adapters" / f"{name}-{key}"
        clock = folder / "seconds.json"
        if not clock.exists():
            say(f"learning {name}")
            base = load_base(self.location, device=self.device)
            began = time.perf_counter()
            learn(plan, base, folder)
            with written_aside(clock) as partial:
                partial.write_text(json.dumps(round(time.perf_counter() - began, 1)), encoding="utf-8")
        return Taught(folder, float(json.loads(clock.read_text(encoding="utf-8"))))

    def sheet(self, name: str, rows: list[tuple[str, Frames]]) -> str:
        """Write a contact sheet, rows of clips or of pictures, and return its file's name."""
        self.out.mkdir(parents=True, exist_ok=True)
        sheet = contact_sheet([(label, list(frames)) for label, frames in rows], cell=64)
        write_sheet(sheet, self.out / f"{name}.png", {"base": self.fingerprint, "figure": name})
        return f"{name}.png"

    def photographs(self, one: Individual) -> Frames:
        """The photographs that a subject is learnt from, `(R, H, W, 3)`."""
        return np.stack([taken.pixels for taken in material.photographs_of(one, seed=SEED)])

    def teaching_clips(self, motion: str) -> Frames:
        """The clips that a motion is learnt from, `(R, F, H, W, 3)`."""
        return np.stack([filmed.frames for filmed in material.clips_of(motion, taught_by(motion), seed=SEED)])

    @staticmethod
    def join(parts: Sequence[Frames]) -> Frames:
        """Clips made one by one as one array."""
        return np.concatenate(parts)


def add_options(parser: argparse.ArgumentParser) -> None:
    """What every script on a `Bench` takes."""
    parser.add_argument("--base", type=Path, help="the base's folder (default: the embedded base)")
    parser.add_argument(
        "--work", type=Path, default=user_cache_path("dv") / "benchmarks",
        help="where clips and adapters are kept, so that nothing is made twice (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument("--device", help="where the base runs: cuda, mps, cpu (default: the best there is)")


def location_of(folder: Path | None) -> BaseLocation:
    """The base in a folder; without one the embedded base."""
    return EMBEDDED if folder is None else BaseLocation(folder.name, str(folder))


def say(line: str) -> None:
    """Tell how far the work is, on stderr."""
    print(line, file=sys.stderr, flush=True)


def _digest(*parts: object) -> str:
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()[:20]


def _hashes(learnt: Learnt) -> list[str]:
    """What of the adapters decides a clip: the bytes of their files."""
    hashes = []
    for folder in (learnt.subject, learnt.motion):
        files = sorted(folder.glob("*.safetensors")) if folder else []
        hashes.append("".join(hashlib.sha256(f.read_bytes()).hexdigest() for f in files))
    return hashes


def as_plain(figure: Figure) -> dict[str, Any]:
    """A figure as JSON's values."""
    return asdict(figure)
