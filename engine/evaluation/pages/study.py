"""A study's page: one pair of videos after another, whose they are told nowhere in it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from engine.errors import InputError
from engine.evaluation.pages.media import Item, Media
from engine.evaluation.pages.rendering import render
from engine.evaluation.suites.ballots import QUESTIONS, Ballot, Study
from engine.evaluation.suites.results import Cell, CellResult


def study_page(study: Study, results: Sequence[CellResult], folder: Path) -> str:
    """The page of a study that was drawn from `results`, whose files lie in `folder`.

    Raises `InputError` where a file is missing, or a video has changed since it was scored.
    """
    media = Media(folder, bare=True)
    found = {result.cell: result for result in results}
    ballots = [_ballot_data(ballot, found, media) for ballot in study.ballots]
    asked = {question: QUESTIONS[question] for ballot in study.ballots for question in ballot.questions}
    values = {
        "study": study.id,
        "ballots": ballots,
        "questions": {name: asked[name] for name in QUESTIONS if name in asked},
        "media": media.items(),
    }
    return render("study", values)


def _ballot_data(ballot: Ballot, found: Mapping[Cell, CellResult], media: Media) -> dict[str, Any]:
    cells = {
        side: Cell(method, ballot.subject, ballot.motion, ballot.prompt, ballot.seed)
        for side, method in (("left", ballot.left), ("right", ballot.right))
    }
    left = found[cells["left"]]
    return {
        "id": ballot.id,
        "prompt": ballot.prompt,
        "questions": list(ballot.questions),
        "pictures": [_shown(media.add(path)) for path in left.references],
        "clips": [_shown(media.add(path)) for path in left.reference_clips],
        **{side: _shown(_video(found[cell], media)) for side, cell in cells.items()},
    }


def _video(result: CellResult, media: Media) -> Item:
    assert result.video is not None  # a study is drawn from those that were made
    item = media.add(result.video)
    if item.sha256 != result.sha256:
        raise InputError(f"{result.video} has changed since it was scored: run the suite again")
    return item


def _shown(item: Item) -> dict[str, Any]:
    return {"media": item.id, "frames": item.frames}
