"""For tests and the pictures in docs/ only: a suite's folder of rendered clips and made-up scores, no model run."""

from __future__ import annotations

import hashlib
import math
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from engine.evaluation.suites.results import Cell, CellAdapter, CellResult, append_result
from engine.media.video import write_video
from engine.methods.common import Kind
from engine.world import material
from engine.world.individuals import individual_named
from tests.rendering import rendered

OURS = ("dreamvideo", "dreamvideo")
LEARNT_BY: dict[str, tuple[str | None, str | None]] = {
    "dreamvideo": OURS,
    "lora": ("lora", "lora"),
    "modelscope": ("modelscope", "modelscope"),
    "no-motion-adapter": ("dreamvideo", None),
    "no-token": ("dreamvideo-no-token", "dreamvideo"),
    "no-guidance": ("dreamvideo", "dreamvideo-no-guidance"),
    "width-32": ("dreamvideo-width-32", "dreamvideo-width-32"),
    "textual-inversion": ("textual-inversion", None),
    "dreamix": ("dreamix", None),
    "custom-diffusion": ("custom-diffusion", None),
    "serial": (None, "dreamvideo-serial"),
}
"""By a method of the suite: how its subjects and its motions are learnt."""
PARAMETERS = {"lora": 180_224, "modelscope": 9_482_112, "dreamix": 9_482_112, "textual-inversion": 128}
QUALITY = {"dreamvideo": 0.06, "modelscope": 0.02, "lora": -0.01}
SHOWN = {"fox": "dog/1", "tiger": "cat/1", "owl": "bird/1", "taxi": "car/1"}
"""Who stands for each subject; poor methods show another of the class."""


@dataclass(frozen=True)
class Plan:
    """Which cells there are."""

    methods: Sequence[str] = ("dreamvideo", "lora", "modelscope")
    subjects: Sequence[str | None] = ("fox", "taxi")
    motions: Sequence[str | None] = ("zigzag", "circling")
    prompts: Sequence[str] = ("a * {motion} on the beach",)
    seeds: Sequence[int] = (0,)


def write_suite(folder: Path, *plans: Plan, failing: Sequence[int] = ()) -> Path:
    """Write a suite of the plans' cells; those whose numbers are `failing` have an error and no video."""
    (folder / "videos").mkdir(parents=True)
    cells = [
        Cell(method, subject, motion, prompt.format(motion=_phrase(motion)), seed)
        for plan in plans
        for subject in plan.subjects
        for motion in plan.motions
        for prompt in plan.prompts
        for seed in plan.seeds
        for method in plan.methods
    ]
    for number, cell in enumerate(cells):
        append_result(folder, _result(folder, number, cell, failed=number in failing))
    return folder


def _phrase(motion: str | None) -> str:
    from engine.world.motions import ALL

    return "running" if motion is None else ALL[motion].phrase


def _result(folder: Path, number: int, cell: Cell, *, failed: bool) -> CellResult:
    chance = random.Random(f"{cell.key}")
    references, reference_clips = _references(folder, cell)
    result = CellResult(
        cell,
        "made",
        base="embedded",
        base_fingerprint=hashlib.sha256(b"base").hexdigest(),
        made_at=f"2020-01-01T10:{number // 60 % 60:02}:{number % 60:02}+00:00",
        settings={
            "steps": {"value": 25, "origin": "base"},
            "guidance_scale": {"value": 6.0, "origin": "option"},
            "size": {"value": [64, 64], "origin": "base"},
        },
        parts=_parts(cell),
        references=references,
        reference_clips=reference_clips,
    )
    if failed:
        return replace(result, state="failed", error="the loss stopped being a number at step 40 of 800")
    video = folder / "videos" / f"{number:04}.mp4"
    frames = _rendered(cell, chance)
    write_video(frames, video, material.FPS, {"prompt": cell.prompt, "subject": {"method": cell.method}})
    good = QUALITY.get(cell.method, 0.03)
    scores = {
        "clip_t": 0.27 + good / 2 + chance.gauss(0, 0.01),
        "clip_i": 0.66 + good + chance.gauss(0, 0.02) if cell.subject else None,
        "dino_i": 0.38 + 1.5 * good + chance.gauss(0, 0.03) if cell.subject else None,
        "temporal_consistency": 0.955 + good / 5 + chance.gauss(0, 0.004),
        "motion_fidelity": 0.5 + 4 * good + chance.gauss(0, 0.08) if cell.motion else None,
        "motion_amount": abs(0.6 + chance.gauss(0, 0.1)),
    }
    curves = {
        name: tuple(value + chance.gauss(0, 0.01) for _ in range(7 if "co" in name or "mo" in name else 8))
        for name, value in scores.items()
        if value is not None
    }
    return replace(
        result,
        video=f"videos/{video.name}",
        sha256=hashlib.sha256(video.read_bytes()).hexdigest(),
        seconds=4.2,
        scores=scores,
        curves=curves,
    )


def _rendered(cell: Cell, chance: random.Random) -> np.ndarray:
    """Frames (F, H, W, 3) such as the method might make: poor ones blur, or show another object or motion."""
    name, motion = SHOWN.get(cell.subject or "", "dog/2"), cell.motion or "still"
    if cell.method == "lora":
        name = name.replace("-1", "-9")
    if cell.method in ("modelscope", "no-motion-adapter"):
        motion = "bouncing" if chance.random() < 0.5 else "right"
    frames = rendered(name, motion, "beach", seed=cell.seed)
    noise = np.random.default_rng(cell.seed).normal(0, 0 if cell.method == "dreamvideo" else 6, frames.shape)
    noisy: np.ndarray = (frames + noise).clip(0, 255).astype(np.uint8)
    return noisy


def _references(folder: Path, cell: Cell) -> tuple[tuple[str, ...], tuple[str, ...]]:
    pictures: tuple[str, ...] = ()
    moving: tuple[str, ...] = ()
    if cell.subject is not None:
        place = folder / "references" / cell.subject
        if not place.exists():
            material.write_photographs(individual_named(SHOWN.get(cell.subject, "dog/2")), place, count=3)
        pictures = tuple(path.relative_to(folder).as_posix() for path in sorted(place.glob("*.png")))
    if cell.motion is not None:
        place = folder / "references" / cell.motion
        if not place.exists():
            others = [individual_named(name) for name in ("bear/3", "frog/4")]
            material.write_clips(cell.motion, others, place)
        moving = tuple(path.relative_to(folder).as_posix() for path in sorted(place.glob("*.mp4")))
    return pictures, moving


def _parts(cell: Cell) -> dict[Kind, CellAdapter]:
    kinds: tuple[Kind, Kind] = ("subject", "motion")
    by = dict(zip(kinds, LEARNT_BY[cell.method], strict=True))
    if cell.motion is None and cell.subject is not None:
        by["motion"] = None
    if cell.subject is None:
        by["subject"] = None
    names = {"subject": cell.subject, "motion": cell.motion}
    return {kind: _part(kind, str(names[kind]), method) for kind, method in by.items() if method is not None}


def _part(kind: str, name: str, method: str) -> CellAdapter:
    phases = ("token", "identity") if (kind, method) == ("subject", "dreamvideo") else (kind,)
    chance = random.Random(f"{kind}{name}{method}")
    losses = {
        phase: [(step, 0.12 + 0.3 * math.exp(-step / 90) + abs(chance.gauss(0, 0.02))) for step in range(1, 401, 4)]
        for phase in phases
    }
    return CellAdapter(
        adapter=f"{name}-{method}@1",
        sha256=hashlib.sha256(f"{kind}{name}{method}".encode()).hexdigest(),
        method=method,
        settings={"steps": {"value": 400, "origin": "base"}, "learning_rate": {"value": 1e-3, "origin": "search"}},
        trainable_parameters=PARAMETERS.get(method, 1_290_240),
        losses=losses,
    )
