"""Evaluating videos: what each is measured against is found first, then the judges are loaded."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from dreamvideo_cli.jobs.events import Note, OnEvent, Planned, Step, Warned, ignore
from dreamvideo_cli.jobs.sources import clips_of, sources_of
from engine.bases.location import EMBEDDED
from engine.data.finding import find_clips, find_images
from engine.errors import BaseError, InputError
from engine.evaluation.expected import Expected, ReferenceClip
from engine.prompt_limits import limit_of_judge
from engine.prompts import with_class_word

if TYPE_CHECKING:
    from engine.evaluation.scoring import Scores
    from registry import Adapter, Registry

_OWN = f"{EMBEDDED.model}/judges/"
_INSTEAD = {"subject": "its pictures with `references`", "motion": "its clips with `clips`"}


@dataclass(frozen=True)
class EvalRequest:
    """Videos to measure, and what against; what isn't given is read from a video's record."""

    videos: tuple[Path, ...]
    prompt: str | None = None
    subject: str | None = None
    references: Path | None = None
    motion: str | None = None
    clips: Path | None = None
    clip: str | None = None
    dino: str | None = None
    device: str | None = None


@dataclass(frozen=True)
class PlannedVideo:
    """One video, what it noted about its making (nothing where dv didn't make it), and what was wanted."""

    path: Path
    record: Mapping[str, Any]
    expected: Expected
    prompt: str | None
    subject: str | None
    motion: str | None


@dataclass(frozen=True)
class EvalPlan:
    """A request whose every part was found and checked. `judges` are folders or hub ids by name."""

    request: EvalRequest
    videos: tuple[PlannedVideo, ...]
    judges: Mapping[str, str]


def plan_evaluation(request: EvalRequest, registry: Registry) -> EvalPlan:
    """Find the videos and what to measure them against, without loading a model.

    Raises `InputError` and the registry's errors.
    """
    if request.subject and request.references:
        raise InputError("`subject` compares with what it learnt from, `references` with other pictures: give one")
    if request.motion and request.clips:
        raise InputError("`motion` compares with what it learnt from, `clips` with other clips: give one")
    pictures = find_images([request.references]).used if request.references else None
    clips = tuple(ReferenceClip(path) for path in find_clips([request.clips]).used) if request.clips else None
    videos = [
        _planned(path, _record(path), request, registry, pictures, clips)
        for path in find_clips(request.videos).with_all(request.videos)
    ]
    return EvalPlan(request, tuple(videos), _judges(request, videos))


@dataclass(frozen=True)
class VideoScores:
    """A video's figures, and what they belong to as plain values."""

    about: Mapping[str, Any]
    scores: Scores


def evaluate(request: EvalRequest, registry: Registry, on_event: OnEvent = ignore) -> list[VideoScores]:
    """Find what to measure against, load the judges, and score every video. Raises the engine's errors."""
    from engine.bases.load import choose_device
    from engine.evaluation.judges import Judges
    from engine.evaluation.scoring import Scorer

    plan = plan_evaluation(request, registry)
    device = str(choose_device(request.device))
    scorer = Scorer(Judges(plan.judges, device=device))
    on_event(Planned(plan))
    for note in _notes(plan):
        on_event(Note(note))
    texts = [video.expected.text for video in plan.videos if video.expected.text]
    with _other_judges_named():
        for note in limit_of_judge(plan.judges["clip"]).notes(texts) if texts else ():
            on_event(Warned(note))
    scored: list[VideoScores] = []
    for video in plan.videos:
        began = time.perf_counter()
        with _other_judges_named():
            scored.append(VideoScores(_about(video, plan), scorer.score(video.path, video.expected)))
        on_event(Step("videos", len(scored), len(plan.videos), time.perf_counter() - began))
    return scored


@contextmanager
def _other_judges_named() -> Iterator[None]:
    """Say of a judge that can't be loaded how to name another."""
    try:
        yield
    except BaseError as error:
        error.add_note("Other judges, as folders or hub ids: `clip`, `dino`")
        raise


def _judges(request: EvalRequest, videos: Sequence[PlannedVideo]) -> dict[str, str]:
    """The judges named, else the embedded base's own for its videos, else the paper's."""
    made_there = [_base(video.record) == EMBEDDED.name for video in videos]
    if any(made_there) and not all(made_there) and not (request.clip and request.dino):
        one, other = videos[made_there.index(True)].path, videos[made_there.index(False)].path
        raise InputError(
            f"{one} comes from the embedded base, which has judges of its own, and {other} doesn't.\nFigures of "
            "different judges can't be compared: measure the two apart, or name judges for both with `clip` and `dino`."
        )
    return judges_for(EMBEDDED.name if all(made_there) else None, {"clip": request.clip, "dino": request.dino})


def judges_for(base: str | None, named: Mapping[str, str | None]) -> dict[str, str]:
    """Folders or hub ids of all judges: those named, else the embedded base's own for its videos, else the paper's."""
    from engine.evaluation.judges import JUDGES

    models = {kind.name: kind.model for kind in JUDGES}
    if base == EMBEDDED.name:
        models |= {name: f"{_OWN}{name}" for name in models if Path(f"{_OWN}{name}").is_dir()}
    return {name: named.get(name) or model for name, model in models.items()}


def _base(record: Mapping[str, Any]) -> str | None:
    base = record.get("base")
    return base.get("name") if isinstance(base, Mapping) else None


def _notes(plan: EvalPlan) -> Iterator[str]:
    """Who judges, and which figures there won't be, and why."""
    from engine.evaluation.judges import JUDGES

    titles = {kind.title: plan.judges[kind.name] for kind in JUDGES}
    if all(model.startswith(_OWN) for model in titles.values()):
        yield f"Judged by the embedded base's own {_listed(titles)}"
    else:
        yield f"Judged by {_listed([f'{title} ({named_judge(model)})' for title, model in titles.items()])}"
    lacking = (
        ("CLIP-T", "no prompt is known: give it with `prompt`", lambda expected: expected.text is None),
        (
            "CLIP-I and DINO-I",
            "no subject is known: give `subject` or `references`",
            lambda expected: not expected.references,
        ),
        ("motion fidelity", "no motion is known: give `motion` or `clips`", lambda expected: not expected.clips),
    )
    for figures, why, absent in lacking:
        without = [video.path.name for video in plan.videos if absent(video.expected)]
        if without:
            which = "" if len(without) == len(plan.videos) else f" for {', '.join(without)}"
            yield f"No {figures}{which}: {why}"


def _about(video: PlannedVideo, plan: EvalPlan) -> dict[str, Any]:
    """What a video's figures belong to, as plain values."""
    return {
        "path": str(video.path),
        "prompt": video.prompt,
        "text": video.expected.text,
        "subject": video.subject,
        "motion": video.motion,
        "base": _base(video.record),
        "seed": video.record.get("seed"),
        "references": [str(path) for path in video.expected.references],
        "clips": [str(clip.path) for clip in video.expected.clips],
        **{f"{name}_judge": named_judge(model) for name, model in plan.judges.items()},
    }


def named_judge(judge: str) -> str:
    """A judge by name: where this installation lies says nothing."""
    return EMBEDDED.name if judge.startswith(_OWN) else judge


def _listed(words: Iterable[str]) -> str:
    *most, last = words
    return f"{', '.join(most)} and {last}" if most else last


def _record(path: Path) -> Mapping[str, Any]:
    from engine.media.metadata import read_metadata

    try:
        return read_metadata(path)
    except InputError:
        return {}


def _planned(
    path: Path,
    record: Mapping[str, Any],
    request: EvalRequest,
    registry: Registry,
    pictures: tuple[Path, ...] | None,
    clips: tuple[ReferenceClip, ...] | None,
) -> PlannedVideo:
    noted = record.get("prompt")
    prompt = request.prompt if request.prompt is not None else noted if isinstance(noted, str) else None
    needs_word = prompt is not None and "*" in prompt
    subject = None
    if pictures is None or needs_word:
        subject = _adapter(path, record, "subject", request.subject, registry)
    motion = None if clips is not None else _adapter(path, record, "motion", request.motion, registry)
    text = None
    if prompt is not None:
        text = with_class_word(
            prompt,
            subject=subject.name if subject else None,
            class_word=subject.class_word if subject else None,
        )
    if pictures is None:
        pictures = tuple(sources_of(subject, "image", registry, f"give {_INSTEAD['subject']}")) if subject else ()
    if clips is None:
        clips = clips_of(motion, registry, f"give {_INSTEAD['motion']}") if motion else ()
    return PlannedVideo(
        path, record, Expected(text, pictures, clips), prompt,
        subject.id if subject else None, motion.id if motion else None,
    )  # fmt: skip


def _adapter(
    path: Path, record: Mapping[str, Any], kind: Literal["subject", "motion"], named: str | None, registry: Registry
) -> Adapter | None:
    """The adapter that the user names, else the one that the video notes, by its hash: names may change."""
    if named is not None:
        return registry.find_at(named, kind=kind)
    from registry import adapters_in

    noted = [each for each in adapters_in(record) if each.role == kind]
    if not noted:
        return None
    found = registry.with_hash(noted[0].file_hash, kind) if len(noted) == 1 else None
    if found is not None:
        return found
    names = " and ".join(each.name for each in noted)
    why = "which isn't in this registry, or is another one now" if len(noted) == 1 else "of which one is measured"
    raise InputError(
        f"{path} was made with the {kind} {names}, {why}.\n"
        f"Name the right one with `{kind}`, or give {_INSTEAD[kind]}"
        + (' and what it should show with `prompt`, such as "a dog is running".' if kind == "subject" else ".")
    )
