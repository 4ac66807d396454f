"""One `dv eval`: what each video is measured against is found first, then the judges are loaded and look."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from dreamvideo_cli.terminal.output import Out
from dreamvideo_cli.terminal.progress import Meter
from dreamvideo_cli.terminal.scores import check_csv, show_scores
from engine.bases.location import EMBEDDED
from engine.data.files import sha256_of
from engine.data.finding import find_clips, find_images
from engine.errors import BaseError, InputError
from engine.evaluation.wanted import PAPER_CLIP, PAPER_DINO, ReferenceClip, Wanted
from engine.prompt_limits import limit_of_judge
from engine.prompts import with_class_word

if TYPE_CHECKING:
    from engine.evaluation.scoring import Scores
    from registry import Adapter, Registry

_TRIMMING = ("start", "end", "source_fps")
_OWN = (f"{EMBEDDED.model}/judges/clip", f"{EMBEDDED.model}/judges/dino")
_INSTEAD = {"subject": "its pictures with --references DIR", "motion": "its clips with --clips DIR"}


@dataclass(frozen=True)
class Question:
    """What the user asked `dv eval` for."""

    videos: tuple[Path, ...]
    prompt: str | None
    subject: str | None
    references: Path | None
    motion: str | None
    clips: Path | None
    clip: str | None
    dino: str | None
    csv: Path | None
    force: bool
    device: str | None


@dataclass(frozen=True)
class Case:
    """One video, what it noted about its making (nothing where dv didn't make it), and what was wanted."""

    path: Path
    record: Mapping[str, Any]
    wanted: Wanted
    prompt: str | None
    subject: str | None
    motion: str | None


@dataclass(frozen=True)
class Evaluation:
    """A question whose every part was found and checked. `clip` and `dino` are the judges' folders or hub ids."""

    question: Question
    cases: tuple[Case, ...]
    clip: str
    dino: str


def prepare(question: Question, registry: Registry) -> Evaluation:
    """Find the videos and what to measure them against, without loading a model.

    Raises `InputError` and the registry's errors.
    """
    if question.subject and question.references:
        raise InputError("--subject compares with what it learnt from, --references with other pictures: give one")
    if question.motion and question.clips:
        raise InputError("--motion compares with what it learnt from, --clips with other clips: give one")
    if question.csv is not None:
        check_csv(question.csv, force=question.force)
    pictures = find_images([question.references]).used if question.references else None
    clips = tuple(ReferenceClip(path) for path in find_clips([question.clips]).used) if question.clips else None
    cases = [
        _case(path, _record(path), question, registry, pictures, clips)
        for path in find_clips(list(question.videos)).used
    ]
    return Evaluation(question, tuple(cases), *_judges(question, cases))


def answer(evaluation: Evaluation, out: Out) -> None:
    """Score every video, and show the table, the JSON and the CSV file. Raises the engine's errors."""
    from engine.bases.load import choose_device
    from engine.evaluation.judges import Judges
    from engine.evaluation.scoring import Scorer

    device = str(choose_device(evaluation.question.device))
    scorer = Scorer(Judges({"clip": evaluation.clip, "dino": evaluation.dino}, device=device))
    _announce(evaluation, out)
    texts = [case.wanted.text for case in evaluation.cases if case.wanted.text]
    with _other_judges_named():
        for note in limit_of_judge(evaluation.clip).notes(texts) if texts else ():
            out.warn(note)
    scores: list[Scores] = []
    with Meter(out) as meter:
        for case in evaluation.cases:
            began = time.perf_counter()
            with _other_judges_named():
                scores.append(scorer.score(case.path, case.wanted))
            meter.report("videos", len(scores), len(evaluation.cases), time.perf_counter() - began)
    rows = [_about(case, evaluation) for case in evaluation.cases]
    show_scores(rows, scores, scorer.metrics, evaluation.question.csv, out)


@contextmanager
def _other_judges_named() -> Iterator[None]:
    """Say of a judge that can't be loaded how to name another."""
    try:
        yield
    except BaseError as error:
        error.add_note("Other judges, as folders or hub ids: --clip MODEL, --dino MODEL")
        raise


def _judges(question: Question, cases: Sequence[Case]) -> tuple[str, str]:
    """The judges named, else the embedded base's own for its videos, else the paper's."""
    made_there = [_base(case.record) == EMBEDDED.name for case in cases]
    if any(made_there) and not all(made_there) and not (question.clip and question.dino):
        one, other = cases[made_there.index(True)].path, cases[made_there.index(False)].path
        raise InputError(
            f"{one} comes from the embedded base, which has judges of its own, and {other} doesn't.\nFigures of "
            "different judges can't be compared: measure the two apart, or name judges for both with --clip and --dino."
        )
    return judges_for(EMBEDDED.name if all(made_there) else None, question.clip, question.dino)


def judges_for(base: str | None, clip: str | None, dino: str | None) -> tuple[str, str]:
    """The CLIP and the DINO named, else those of the embedded base for its videos, else the paper's."""
    theirs = _OWN if base == EMBEDDED.name else (PAPER_CLIP, PAPER_DINO)
    return clip or theirs[0], dino or theirs[1]


def _base(record: Mapping[str, Any]) -> str | None:
    base = record.get("base")
    return base.get("name") if isinstance(base, Mapping) else None


def _announce(evaluation: Evaluation, out: Out) -> None:
    """Who judges, and which figures there won't be, and why."""
    if (evaluation.clip, evaluation.dino) == _OWN:
        out.note("Judged by the embedded base's own CLIP and DINO")
    else:
        out.note(f"Judged by CLIP ({named_judge(evaluation.clip)}) and DINO ({named_judge(evaluation.dino)})")
    lacking = (
        ("CLIP-T", "no prompt is known: give it with --prompt", lambda wanted: wanted.text is None),
        ("CLIP-I and DINO-I", "no subject is known: give --subject or --references", lambda w: not w.references),
        ("motion fidelity", "no motion is known: give --motion or --clips", lambda wanted: not wanted.clips),
    )
    for figures, why, absent in lacking:
        without = [case.path.name for case in evaluation.cases if absent(case.wanted)]
        if without:
            which = "" if len(without) == len(evaluation.cases) else f" for {', '.join(without)}"
            out.note(f"No {figures}{which}: {why}")


def _about(case: Case, evaluation: Evaluation) -> dict[str, Any]:
    """What a video's figures belong to, as plain values."""
    return {
        "path": str(case.path),
        "prompt": case.prompt,
        "text": case.wanted.text,
        "subject": case.subject,
        "motion": case.motion,
        "base": _base(case.record),
        "seed": case.record.get("seed"),
        "references": [str(path) for path in case.wanted.references],
        "clips": [str(clip.path) for clip in case.wanted.clips],
        "clip_judge": named_judge(evaluation.clip),
        "dino_judge": named_judge(evaluation.dino),
    }


def named_judge(judge: str) -> str:
    """A judge by name: where this installation lies says nothing."""
    return EMBEDDED.name if judge in _OWN else judge


def _record(path: Path) -> Mapping[str, Any]:
    from engine.media.metadata import read_metadata

    try:
        return read_metadata(path)
    except InputError:
        return {}


def _case(
    path: Path,
    record: Mapping[str, Any],
    question: Question,
    registry: Registry,
    pictures: tuple[Path, ...] | None,
    clips: tuple[ReferenceClip, ...] | None,
) -> Case:
    noted = record.get("prompt")
    prompt = question.prompt if question.prompt is not None else noted if isinstance(noted, str) else None
    needs_word = prompt is not None and "*" in prompt
    subject = None
    if pictures is None or needs_word:
        subject = _adapter(path, record, "subject", question.subject, registry)
    motion = None if clips is not None else _adapter(path, record, "motion", question.motion, registry)
    text = None
    if prompt is not None:
        text = with_class_word(
            prompt,
            subject=subject.name if subject else None,
            class_word=subject.class_word if subject else None,
        )
    if pictures is None:
        pictures = tuple(_sources(subject, "image", registry)) if subject else ()
    if clips is None:
        trimming = {n: motion.hyperparameters[n] for n in _TRIMMING if n in motion.hyperparameters} if motion else {}
        clips = tuple(ReferenceClip(p, **trimming) for p in _sources(motion, "clip", registry)) if motion else ()
    return Case(
        path, record, Wanted(text, pictures, clips), prompt,
        subject.id if subject else None, motion.id if motion else None,
    )  # fmt: skip


def _adapter(
    path: Path, record: Mapping[str, Any], kind: Literal["subject", "motion"], named: str | None, registry: Registry
) -> Adapter | None:
    """The adapter that the user names, else the one that the video notes, by its hash: names may change."""
    if named is not None:
        return registry.find(named, kind=kind)
    noted = record.get(kind)
    if not isinstance(noted, Mapping):
        return None
    for adapter in registry.adapters(kind=kind):
        if adapter.file_hash == noted.get("sha256"):
            return adapter
    raise InputError(
        f"{path} was made with the {kind} {noted.get('name')}, which isn't in this registry, or is another one now.\n"
        f"Name the right one with --{kind} NAME, or give {_INSTEAD[kind]}"
        + (' and what it should show with --prompt "a dog is running".' if kind == "subject" else ".")
    )


def _sources(adapter: Adapter, role: str, registry: Registry) -> list[Path]:
    """The files that an adapter learnt from. Raises `InputError` where one is gone or has other contents."""
    sources = [source for source in registry.sources(adapter) if source.role == role]
    for source in sources:
        path = Path(source.path)
        lost = not path.exists()
        if lost or sha256_of(path) != source.sha256:
            raise InputError(
                f"{adapter.id} learnt from {path}, which {'is no longer there' if lost else 'has changed since'}.\n"
                f"Put it back, or give {_INSTEAD[adapter.kind]}."
            )
    return [Path(source.path) for source in sources]
