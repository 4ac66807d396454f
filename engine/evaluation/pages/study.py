"""A study's page: one pair of videos after another, whose they are told nowhere in it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from engine.errors import InputError
from engine.evaluation.pages.media import Item, Media
from engine.evaluation.pages.rendering import render
from engine.evaluation.suites.ballots import QUESTIONS, Ballot, Study
from engine.evaluation.suites.results import CellResult
from engine.evaluation.suites.tables import Group, group_of


def study_page(study: Study, results: Sequence[CellResult], folder: Path) -> str:
    """The page of a study that was drawn from `results`, whose files lie in `folder`.

    Raises `InputError` where a file is missing, or a video has changed since it was scored.
    """
    media = Media(folder, bare=True)
    found = {(result.cell.row, group_of(result)): result for result in results}
    ballots = [_ballot_data(ballot, found, media) for ballot in study.ballots]
    asked = {question: QUESTIONS[question] for ballot in study.ballots for question in ballot.questions}
    values = {
        "study": study.id,
        "ballots": ballots,
        "questions": {name: asked[name] for name in QUESTIONS if name in asked},
        "media": media.items(),
    }
    return render("study", values)


def _ballot_data(ballot: Ballot, found: Mapping[tuple[str, Group], CellResult], media: Media) -> dict[str, Any]:
    group = (ballot.subject or "", ballot.motion or "", ballot.prompt, ballot.seed)
    sides = {side: found[method, group] for side, method in (("left", ballot.left), ("right", ballot.right))}
    left = sides["left"]
    return {
        "id": ballot.id,
        "prompt": ballot.prompt,
        "questions": list(ballot.questions),
        "pictures": [_shown(media.add(path)) for path in left.references],
        "clips": [_shown(media.add(path)) for path in left.reference_clips],
        **{side: _shown(_video(result, media)) for side, result in sides.items()},
    }


def _video(result: CellResult, media: Media) -> Item:
    assert result.video is not None  # a study is drawn from those that were made
    item = media.add(result.video)
    if item.sha256 != result.sha256:
        raise InputError(f"{result.video} has changed since it was scored: run the suite again")
    return item


def _shown(item: Item) -> dict[str, Any]:
    return {"media": item.id, "frames": item.frames}
