"""A method at several steps, each against the last one, by values worked out by hand."""

from __future__ import annotations

from typing import Any

import pytest

from engine.evaluation.suites.results import Cell, CellAdapter, CellResult
from engine.evaluation.suites.step_tables import BY_OTHERS, LAST, LEAST_LOSS, step_tables
from engine.evaluation.suites.tables import OURS, Table, overview, paper_tables

LOSSES = {"rex": {200: 0.5, 400: 0.9, None: 1.0}, "tom": {200: 4.0, 400: 2.0, None: 2.2}}
SCORES = {
    "rex": {200: (0.5, 0.9), 400: (0.6, 0.6), None: (0.4, 0.5)},
    "tom": {200: (0.1, 0.2), 400: (0.3, 0.3), None: (0.2, 0.3)},
}
"""Of each subject at each step: CLIP-I of seed 0 and of seed 1."""


def result(subject: str, step: int | None, seed: int, *, losses: bool = True, last: int | None = None) -> CellResult:
    """A video; where `last` is given the last step is asked for by its number."""
    loss = LOSSES[subject][step] if losses else None
    part = CellAdapter(f"{subject}@1", f"{subject} {step}", OURS, {}, 10, step=step, held_out_loss=loss)
    cell = Cell(OURS, subject, None, "a * sleeps", seed, subject_step=step if step is not None else last)
    scores: dict[str, float | None] = {"clip_i": SCORES[subject][step][seed], "motion_amount": 1.0}
    parts: Any = {"subject": part}
    return CellResult(cell, "made", "embedded", "f" * 64, "2026-01-01T00:00:00+00:00", scores=scores, parts=parts)


def results(**how: Any) -> list[CellResult]:
    return [result(*at, seed, **how) for at in ((s, n) for s in SCORES for n in (200, 400, None)) for seed in (0, 1)]


def figure(table: Table, title: str, metric: str = "clip_i") -> Any:
    return next(row for row in table.rows if row.title == title).figures[metric]


def test_each_step_is_a_row_and_the_last_is_what_they_are_held_against() -> None:
    (table,) = step_tables(results())
    assert (table.caption, table.sort) == ("dreamvideo at several steps", "subject")
    assert [row.title for row in table.rows] == ["step 200", "step 400", LEAST_LOSS, BY_OTHERS, LAST]
    assert table.reference is not None and table.reference.title == LAST
    assert figure(table, LAST).interval.mean == pytest.approx(0.35)
    assert figure(table, "step 200").difference.mean == pytest.approx(0.425 - 0.35)
    assert figure(table, "step 400").difference.mean == pytest.approx(0.45 - 0.35)
    assert figure(table, "step 400").paired == 4


def test_a_step_is_chosen_for_each_subject_and_not_by_what_it_is_measured_on() -> None:
    (table,) = step_tables(results())
    # rex at step 200, tom at step 400.
    assert figure(table, LEAST_LOSS).interval.mean == pytest.approx((0.5 + 0.9 + 0.3 + 0.3) / 4)
    # By seed 1 rex is best at 200, by seed 0 at 400; tom by seed 1 at the last, to which a draw goes, by seed 0 at 400.
    assert figure(table, BY_OTHERS).interval.mean == pytest.approx((0.5 + 0.6 + 0.2 + 0.3) / 4)
    assert figure(table, BY_OTHERS, "motion_amount") is None


def test_what_can_not_be_chosen_by_is_no_row() -> None:
    (table,) = step_tables([one for one in results(losses=False) if one.cell.seed == 0])
    assert [row.title for row in table.rows] == ["step 200", "step 400", LAST]
    assert step_tables([one for one in results() if one.cell.subject_step is None]) == []


def test_a_last_step_that_is_named_by_its_number_is_the_last() -> None:
    (table,) = step_tables(results(last=600))
    assert table.reference is not None and table.reference.title == "step 600"
    assert LEAST_LOSS in [row.title for row in table.rows]


def test_other_tables_have_a_row_a_step() -> None:
    (every,) = overview(results())
    assert [row.title for row in every.rows] == ["dreamvideo, step 200", "dreamvideo, step 400", "dreamvideo"]
    assert every.reference is not None and every.reference.title == "dreamvideo"
    tables = {table.number: [row.title for row in table.rows] for table in paper_tables(results())}
    assert tables == {}  # no other method than DreamVideo is in it
