"""Counting a study's answers: a majority vote for each ballot and question, the paper's tables, agreement."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from engine.errors import InputError
from engine.evaluation.statistics import Interval, bootstrap_interval
from engine.evaluation.suites.ballots import QUESTIONS, Ballot, Question, Study, read_json
from engine.evaluation.suites.tables import SORTS, Sort

Verdict = Literal["ours", "other", "tie"]
NUMBERS: dict[Sort, str] = {"joint": "4", "subject": "A2", "motion": "A3"}
"""The paper's tables of votes."""
_FORMAT = 1
_SIDES = ("left", "right")


@dataclass(frozen=True)
class Answers:
    """One rater's answers: by ballot and question, which side."""

    rater: str
    name: str
    sides: Mapping[str, Mapping[Question, str]]


@dataclass(frozen=True)
class Count:
    """What came of one question on one ballot: votes for the study's method and for the other, the majority's verdict
    (None where nobody answered)."""

    ballot: Ballot
    other: str
    question: Question
    ours: int
    theirs: int

    @property
    def verdict(self) -> Verdict | None:
        """The majority's."""
        if self.ours == self.theirs:
            return "tie" if self.ours else None
        return "ours" if self.ours > self.theirs else "other"


@dataclass(frozen=True)
class Share:
    """Of one question's ballots, how many each side won and how many were tied; `ours_share` is in 0 to 1 with its
    bootstrap interval, for which subjects and motions are resampled."""

    ours: int
    other: int
    ties: int
    ours_share: Interval

    @property
    def percents(self) -> tuple[float, ...]:
        """What each side won, and where there are any the ties, in percent of the ballots."""
        parts = (self.ours, self.other, self.ties) if self.ties else (self.ours, self.other)
        return tuple(100 * part / max(1, sum(parts)) for part in parts)


@dataclass(frozen=True)
class Line:
    """One compared method's row: a share for each question that was answered."""

    other: str
    ballots: int
    shares: Mapping[Question, Share]


@dataclass(frozen=True)
class VoteTable:
    """Table 4, A2 or A3."""

    number: str
    lines: tuple[Line, ...]


@dataclass(frozen=True)
class Votes:
    """The tables of a study that was counted, and the method that all of them are about."""

    method: str
    raters: int
    tables: tuple[VoteTable, ...]


@dataclass(frozen=True)
class Agreement:
    """How far raters agree on a question: the part of pairs of votes on one ballot that are the same, and
    Krippendorff's alpha; None where no ballot has two votes, or no vote differs from another."""

    same: float | None
    alpha: float | None


@dataclass(frozen=True)
class Tally:
    """All that the answers say."""

    raters: int
    counts: tuple[Count, ...]
    tables: tuple[VoteTable, ...]
    agreement: Mapping[Question, Agreement]


def load_answers(paths: Sequence[Path], study: Study) -> list[Answers]:
    """Raters' files. Raises `InputError` for a file of another study or kind, and for two by one rater."""
    by: dict[str, Path] = {}
    answers = []
    for path in paths:
        one = _answers(path, study)
        if one.rater in by:
            raise InputError(f"{by[one.rater]} and {path} are by the same rater: give only the one that was saved last")
        by[one.rater] = path
        answers.append(one)
    return answers


def tally(study: Study, answers: Sequence[Answers]) -> Tally:
    """Count answers by majority vote, ballot by ballot and question by question (paper, section 4.2)."""
    counts = tuple(
        _count(study, ballot, question, answers) for ballot in study.ballots for question in ballot.questions
    )
    tables = tuple(
        VoteTable(NUMBERS[sort], lines)
        for sort in SORTS
        if (lines := _lines([count for count in counts if count.ballot.sort == sort], study.against))
    )
    agreement = {
        question: _agreement([count for count in counts if count.question == question])
        for question in QUESTIONS
        if any(count.question == question for count in counts)
    }
    return Tally(len(answers), counts, tables, agreement)


def votes_data(study: Study, tally: Tally) -> dict[str, Any]:
    """A tally as plain values, from which `load_votes` reads its tables again."""
    tables = [{"table": table.number, "rows": [asdict(line) for line in table.lines]} for table in tally.tables]
    agreement = {question: asdict(one) for question, one in tally.agreement.items()}
    about = {"study": study.id, "method": study.method, "raters": tally.raters}
    return {**about, "tables": tables, "agreement": agreement}


def load_votes(path: Path) -> Votes:
    """The tables in a file of `votes_data`. Raises `InputError` for any other file."""
    data = read_json(path)
    try:
        tables = tuple(VoteTable(str(table["table"]), tuple(map(_line, table["rows"]))) for table in data["tables"])
        return Votes(str(data["method"]), int(data["raters"]), tables)
    except (KeyError, TypeError, ValueError, AttributeError):
        raise InputError(f"{path} holds no counted votes: save those of `dv study tally --json`") from None


def krippendorff_alpha(units: Sequence[Mapping[str, int]]) -> float | None:
    """Krippendorff's alpha for nominal data (Krippendorff 2011, "Computing Krippendorff's alpha-reliability").

    A unit is how often each value was given to it; units with fewer than two values tell nothing. None where no
    disagreement could have been: no such units, or a single value in all of them.
    """
    pairable = [unit for unit in units if sum(unit.values()) > 1]
    totals: Counter[str] = Counter()
    observed = 0.0
    for unit in pairable:
        size = sum(unit.values())
        totals.update(unit)
        observed += sum(n * (size - n) for n in unit.values()) / (size - 1)
    every = sum(totals.values())
    expected = sum(n * (every - n) for n in totals.values()) / (every - 1) if every > 1 else 0.0
    return 1 - observed / expected if expected else None


def _answers(path: Path, study: Study) -> Answers:
    data = read_json(path)
    if not isinstance(data, dict) or data.get("dv_study_answers") != _FORMAT:
        raise InputError(f"{path} holds no answers to a study: its page saves them, as answers-....json")
    if data.get("study") != study.id:
        raise InputError(f"{path} answers another study than this key's, {study.id}: was the page made anew since?")
    asked = {ballot.id: set(ballot.questions) for ballot in study.ballots}
    sides = data.get("answers")
    rater, name = data.get("rater"), data.get("name", "")
    if not isinstance(rater, str) or not isinstance(name, str) or not isinstance(sides, dict):
        raise InputError(f"{path} is damaged: it names no rater, or holds no answers")
    for ballot, given in sides.items():
        if ballot not in asked or not isinstance(given, dict):
            raise InputError(f"{path} is damaged: the study has no ballot {ballot!r}")
        for question, side in given.items():
            if question not in asked[ballot] or side not in _SIDES:
                raise InputError(f"{path} is damaged: {ballot} has no answer {side!r} to {question!r}")
    return Answers(rater, name, sides)


def _count(study: Study, ballot: Ballot, question: Question, answers: Sequence[Answers]) -> Count:
    ours = "left" if ballot.left == study.method else "right"
    other = ballot.right if ours == "left" else ballot.left
    votes = Counter(side for one in answers if (side := one.sides.get(ballot.id, {}).get(question)))
    return Count(ballot, other, question, votes[ours], votes.total() - votes[ours])


def _lines(counts: Sequence[Count], order: Sequence[str]) -> tuple[Line, ...]:
    """A line for each method compared with, in `order`; others last."""
    others = {count.other for count in counts}
    lines = []
    for other in (*(name for name in order if name in others), *sorted(others - set(order))):
        mine = [count for count in counts if count.other == other and count.verdict]
        shares = {
            question: _share([count for count in mine if count.question == question])
            for question in QUESTIONS
            if any(count.question == question for count in mine)
        }
        if shares:
            lines.append(Line(other, len({count.ballot.id for count in mine}), shares))
    return tuple(lines)


def _line(row: dict[str, Any]) -> Line:
    shares = {question: _read_share(share) for question, share in row["shares"].items() if question in QUESTIONS}
    return Line(str(row["other"]), int(row["ballots"]), shares)


def _read_share(data: dict[str, Any]) -> Share:
    interval = Interval(**{name: float(value) for name, value in data["ours_share"].items()})
    return Share(int(data["ours"]), int(data["other"]), int(data["ties"]), interval)


def _share(counts: Sequence[Count]) -> Share:
    won = Counter(count.verdict for count in counts)
    factors = [[count.ballot.subject for count in counts], [count.ballot.motion for count in counts]]
    interval = bootstrap_interval([float(count.verdict == "ours") for count in counts], factors=factors)
    return Share(won["ours"], won["other"], won["tie"], interval)


def _agreement(counts: Sequence[Count]) -> Agreement:
    units = [{"ours": count.ours, "other": count.theirs} for count in counts]
    pairs = sum(_pairs(sum(unit.values())) for unit in units)
    same = sum(_pairs(votes) for unit in units for votes in unit.values())
    return Agreement(same / pairs if pairs else None, krippendorff_alpha(units))


def _pairs(votes: int) -> int:
    return votes * (votes - 1) // 2
