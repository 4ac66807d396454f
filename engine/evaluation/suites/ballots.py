"""A user study's ballots: two videos of one subject, motion, prompt and seed, and whose they are (paper, B.4)."""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from engine.errors import InputError
from engine.evaluation.suites.results import CellResult, made
from engine.evaluation.suites.tables import Group, Sort, by_row, group_of, sort_of
from engine.files import written_aside

Question = str
QUESTIONS: dict[Question, tuple[str, str]] = {
    "text_alignment": ("Text alignment", "Which video better matches the text description?"),
    "subject_fidelity": ("Subject fidelity", "Which video's subject is more similar to the target subject?"),
    "motion_fidelity": ("Motion fidelity", "Which video's motion is more similar to the motion of the target videos?"),
    "temporal_consistency": ("Temporal consistency", "Which video is smoother and has less flicker?"),
}
"""What is asked: a title, and the paper's own words (appendix B.4)."""
_LEFT_OUT: dict[Sort, frozenset[Question]] = {
    "joint": frozenset(),
    "subject": frozenset({"motion_fidelity"}),
    "motion": frozenset({"subject_fidelity"}),
}
_FORMAT = 1


@dataclass(frozen=True)
class Ballot:
    """One pair of videos. `left` and `right` are methods, which raters never see; the hashes are of their files."""

    id: str
    sort: Sort
    subject: str | None
    motion: str | None
    prompt: str
    seed: int
    left: str
    right: str
    left_sha256: str
    right_sha256: str

    @property
    def questions(self) -> tuple[Question, ...]:
        """What is asked of this pair."""
        return tuple(question for question in QUESTIONS if question not in _LEFT_OUT[self.sort])


@dataclass(frozen=True)
class Study:
    """The experimenter's key: every ballot in the order of the page, the method that all are about, and those that it
    is compared with, in the order of the suite or as they were asked for."""

    id: str
    suite: str
    method: str
    seed: int
    ballots: tuple[Ballot, ...]
    against: tuple[str, ...] = ()


def draw_study(
    results: Sequence[CellResult], suite: str, *, method: str, against: Sequence[str] = (), most: int | None = None,
    seed: int = 0,
) -> Study:  # fmt: skip
    """Pair `method` with each other method (or those of `against`) wherever both have a video of the same.

    At most `most` ballots a method, drawn by `seed`, which also decides their order and who stands left. Raises
    `InputError` where a method isn't in the suite, and where there is no pair.
    """
    videos = [result for result in made(results) if sort_of(result) is not None]
    known = list(by_row(videos))
    for name in (method, *against):
        if name not in known:
            raise InputError(f"the suite has no video by {name!r}: its methods are {', '.join(known) or 'none yet'}")
    if method in against:
        raise InputError(f"{method} can't be compared with itself: leave it out of `against`")
    others = list(dict.fromkeys(against)) or [name for name in known if name != method]
    chance = random.Random(seed)
    pairs: list[tuple[CellResult, CellResult]] = []
    for other in others:
        both = _pairs(videos, method, other)
        pairs += both if most is None else chance.sample(both, min(most, len(both)))
    if not pairs:
        raise InputError(
            f"{method} shares no subject, motion, prompt and seed with {', '.join(others) or 'another method'}"
        )
    chance.shuffle(pairs)
    ballots = tuple(
        _ballot(f"b{number}", *(pair if chance.random() < 0.5 else pair[::-1])) for number, pair in enumerate(pairs, 1)
    )
    told = json.dumps([suite, method, seed, [asdict(ballot) for ballot in ballots]], sort_keys=True)
    return Study(hashlib.sha256(told.encode()).hexdigest()[:16], suite, method, seed, ballots, tuple(others))


def save_study(study: Study, path: Path, *, replace: bool = True) -> None:
    """Write the key. Without `replace`, raises `FileThereError` for a file that is there."""
    text = json.dumps({"dv_study_key": _FORMAT, **asdict(study)}, indent=2, ensure_ascii=False) + "\n"
    with written_aside(path, replace=replace) as partial:
        partial.write_text(text, encoding="utf-8")


def load_study(path: Path) -> Study:
    """Read a key. Raises `InputError` for any other file."""
    data = read_json(path)
    if not isinstance(data, dict) or data.pop("dv_study_key", None) != _FORMAT:
        raise InputError(f"{path} is not the key of a study: `dv study make` writes it beside the page, as .key.json")
    try:
        ballots = tuple(Ballot(**ballot) for ballot in data.pop("ballots"))
        study = Study(ballots=ballots, against=tuple(data.pop("against", ())), **data)
        sound = all(ballot.sort in _LEFT_OUT and study.method in (ballot.left, ballot.right) for ballot in ballots)
    except (KeyError, TypeError) as error:
        raise InputError(f"{path} is a damaged key of a study: {error}") from None
    if not sound:
        raise InputError(f"{path} is a damaged key of a study: a ballot is not about {study.method}")
    return study


def read_json(path: Path) -> Any:
    """A JSON file's contents. Raises `InputError` where there are none."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"There is no file {path}. Check the name.") from None
    except IsADirectoryError:
        raise InputError(f"{path} is a folder. Name a file.") from None
    except (ValueError, RecursionError):
        raise InputError(f"{path} is not JSON") from None


def _pairs(videos: Sequence[CellResult], method: str, other: str) -> list[tuple[CellResult, CellResult]]:
    ours: dict[Group, CellResult] = {group_of(r): r for r in videos if r.cell.row == method}
    return [(ours[group_of(r)], r) for r in videos if r.cell.row == other and group_of(r) in ours]


def _ballot(id: str, left: CellResult, right: CellResult) -> Ballot:
    cell = left.cell
    return Ballot(
        id, _sort(left, right), cell.subject, cell.motion, cell.prompt, cell.seed,
        left=left.cell.row, right=right.cell.row,
        left_sha256=left.sha256 or "", right_sha256=right.sha256 or "",
    )  # fmt: skip


def _sort(one: CellResult, other: CellResult) -> Sort:
    """What a pair is about: what the cell names, or, where each of the two methods learnt the same one thing of it,
    that."""
    sort = sort_of(one)
    assert sort is not None  # `draw_study` takes no others
    if set(one.parts) == set(other.parts) and len(one.parts) == 1:
        return "subject" if "subject" in one.parts else "motion"
    return sort
