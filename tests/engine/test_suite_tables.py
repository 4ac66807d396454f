"""The tables of a suite against values worked out by hand."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from engine.evaluation.pages.charts import learning_curves
from engine.evaluation.scoring import METRICS
from engine.evaluation.statistics import bootstrap_interval
from engine.evaluation.suites.results import Cell, CellAdapter, CellResult
from engine.evaluation.suites.tables import TITLES, Table, overview, paper_tables


def result(
    method: str,
    by: tuple[str | None, str | None],
    scores: dict[str, float | None] | None,
    *,
    subject: str | None = "fox",
    motion: str | None = "zigzag",
    seed: int = 0,
    **options: object,
) -> CellResult:
    """A cell whose subject and motion were learnt by the methods `by`, with `options`; one without scores failed."""
    sizes = {"dreamvideo": 1000, "lora": 10}
    parts: dict[Any, CellAdapter] = {
        kind: CellAdapter(f"{kind}@1", f"{kind} by {name} {options}", name, _told(options), sizes.get(name, 500))
        for kind, name in zip(("subject", "motion"), by, strict=True)
        if name is not None
    }
    state: Any = "failed" if scores is None else "made"
    cell = Cell(method, subject, motion, "a * moves", seed)
    return CellResult(cell, state, "embedded", "f" * 64, "2020-01-01T00:00:00+00:00", scores=scores or {}, parts=parts)


def _told(options: dict[str, object]) -> dict[str, Any]:
    """Settings of which the base gave one."""
    base = {"hidden_width": {"value": 32, "origin": "base"}}
    return {**base, **{name: {"value": value, "origin": "option"} for name, value in options.items()}}


def three_methods() -> list[CellResult]:
    """DreamVideo and LoRA on two seeds, ModelScope on one; LoRA's second is without CLIP-T, and a third cell failed."""
    ours, lora, full = ("dreamvideo",) * 2, ("lora",) * 2, ("modelscope",) * 2
    return [
        result("dreamvideo", ours, {"clip_t": 0.30, "clip_i": 0.70}, seed=0),
        result("dreamvideo", ours, {"clip_t": 0.34, "clip_i": 0.60}, seed=1),
        result("lora", lora, {"clip_t": 0.28, "clip_i": 0.72}, seed=0),
        result("lora", lora, {"clip_t": None, "clip_i": 0.62}, seed=1),
        result("lora", lora, None, seed=2),
        result("modelscope", full, {"clip_t": 0.26, "clip_i": 0.72}, seed=1),
    ]


def figure(table: Table, title: str, metric: str) -> Any:
    return next(row for row in table.rows if row.title == title).figures[metric]


def test_table_1_has_means_pairs_parameters_and_ranks() -> None:
    (table,) = paper_tables(three_methods())
    assert (table.number, table.sort, [row.title for row in table.rows]) == (
        "1", "joint", ["ModelScopeT2V", "LoRA", "DreamVideo"],
    )  # fmt: skip
    assert [(row.parameters, row.videos, row.failed) for row in table.rows] == [(1000, 1, 0), (20, 2, 1), (2000, 2, 0)]
    ours, lora, full = (figure(table, title, "clip_t") for title in ("DreamVideo", "LoRA", "ModelScopeT2V"))
    assert (ours.interval.mean, ours.count, ours.difference) == (pytest.approx(0.32), 2, None)
    # Only seed 0 has both: 0.28 - 0.30. A mean over unequal cells would give -0.04.
    assert (lora.difference.mean, lora.paired, lora.count) == (pytest.approx(-0.02), 1, 1)
    assert (full.difference.mean, full.paired) == (pytest.approx(0.26 - 0.34), 1)
    assert figure(table, "LoRA", "clip_i").difference.mean == pytest.approx(0.02)
    assert figure(table, "LoRA", "dino_i") is None
    assert table.ranks == {(2, "clip_t"): 1, (1, "clip_t"): 2, (0, "clip_i"): 1, (1, "clip_i"): 2}
    assert not table.is_even


def test_methods_that_learn_alike_by_other_options_have_rows_of_their_own() -> None:
    ours, lora = ("dreamvideo", "dreamvideo"), ("lora", "lora")
    cells = [
        result("zeal", ours, {"clip_t": 0.1}, learning_rate=0.1),
        result("dreamvideo", ours, {"clip_t": 0.3}),
        result("slow", lora, {"clip_t": 0.2}, learning_rate=1e-9),
        result("quick", lora, {"clip_t": 0.25}),
        result("quick", lora, None, seed=1),
    ]
    (table,) = paper_tables(cells)
    means = {row.title: (row.figures["clip_t"].interval.mean, row.ours, row.failed) for row in table.rows}  # type: ignore[union-attr]
    # The suite's first LoRA is the paper's row: none is called so. DreamVideo is the one that is called so.
    assert list(means.items()) == [
        ("LoRA", (0.2, False, 0)), ("quick", (0.25, True, 1)),
        ("zeal", (0.1, True, 0)), ("DreamVideo", (0.3, False, 0)),
    ]  # fmt: skip
    assert [row.is_reference for row in table.rows] == [False, False, False, True]
    # Two DreamVideos alone are no table of the paper's.
    assert paper_tables(cells[:2]) == []


def test_options_that_make_a_method_its_ablation_make_it_that_row() -> None:
    ours = ("dreamvideo", "dreamvideo")
    without = [
        result("dreamvideo", ours, {"clip_t": 0.1}, textual_identity=False),
        result("whole", ours, {"clip_t": 0.3}, textual_identity=True),
    ]
    (table,) = paper_tables(without)
    assert (table.number, [row.title for row in table.rows]) == ("5", ["w/o textual identity", "DreamVideo"])
    assert figure(table, "DreamVideo", "clip_t").interval.mean == 0.3
    # What is several ablations at once is none of the paper's.
    both = result("odd", (None, "dreamvideo-serial"), {"clip_t": 0.1}, subject=None, layers="attention")
    assert paper_tables([both, result("dreamvideo", (None, "dreamvideo"), {"clip_t": 0.3}, subject=None)]) == []


def test_learning_curves_of_methods_that_learn_alike_are_lines_of_their_own() -> None:
    def learnt(method: str, by: str, **options: Any) -> CellResult:
        cell = result(method, (by, None), {"clip_t": 0.1}, **options)
        losses = {"steps": [(1, 0.5), (2, 0.4)]}
        return replace(cell, parts={kind: replace(part, losses=losses) for kind, part in cell.parts.items()})

    alike = [learnt("quick", "lora"), learnt("slow", "lora", steps=9), learnt("same", "lora")]
    (chart,) = learning_curves([*alike, learnt("other", "dreamix")])
    assert [curve.name for curve in chart.curves] == ["quick", "slow", "dreamix"]
    assert [curve.style for curve in chart.curves] == [0, 1, 2]


def test_the_overview_names_methods_as_the_suite_does_and_ranks_no_amount_of_motion() -> None:
    ours = ("dreamvideo", "dreamvideo")
    cells = [
        *(result("dreamvideo", ours, {"clip_t": 0.3, "motion_amount": 0.5, "sharp": 2.0}, seed=s) for s in (0, 1)),
        result("mine", ("dreamvideo", "lora"), {"clip_t": 0.3004, "motion_amount": 0.9, "sharp": 1.0}),
    ]
    (table,) = overview(cells)
    assert ([row.title for row in table.rows], table.metrics) == (
        ["dreamvideo", "mine"], ("clip_t", "motion_amount", "sharp"),
    )  # fmt: skip
    assert table.reference is table.rows[0]
    # What is shown alike shares its rank.
    assert table.ranks == {(0, "clip_t"): 1, (1, "clip_t"): 1, (0, "sharp"): 1}
    assert figure(table, "mine", "motion_amount").difference.mean == pytest.approx(0.4)


@pytest.mark.parametrize(
    ("number", "subject", "motion", "rows"),
    [
        ("2", "fox", None, {"Dreamix": ("dreamix", None), "DreamVideo": ("dreamvideo", None)}),
        ("3", None, "zigzag", {"ModelScopeT2V": (None, "modelscope"), "DreamVideo": (None, "dreamvideo")}),
        ("5", "fox", "zigzag", {
            "w/o textual identity": ("dreamvideo-no-token", "dreamvideo"),
            "w/o motion adapter": ("dreamvideo", None),
            "w/o appearance guidance": ("dreamvideo", "dreamvideo-no-guidance"),
            "DreamVideo": ("dreamvideo", "dreamvideo"),
        }),
        ("A1", "fox", None, {"Custom Diffusion": ("custom-diffusion", None), "DreamVideo": ("dreamvideo", None)}),
        ("A4", "fox", "zigzag", {
            "LoRA": ("lora", "lora"), "Adapter": ("dreamvideo-width-32", "dreamvideo-width-32"),
        }),
        ("A5", None, "zigzag", {
            "Serial, all layers": (None, "dreamvideo-serial"), "Parallel, all layers": (None, "dreamvideo"),
        }),
    ],
)  # fmt: skip
def test_each_table_takes_the_cells_whose_adapters_it_is_about(
    number: str, subject: str | None, motion: str | None, rows: dict[str, tuple[str | None, str | None]]
) -> None:
    cells = [
        result(f"method {title}", by, {"clip_t": 0.3, "temporal_consistency": 0.9}, subject=subject, motion=motion)
        for title, by in rows.items()
    ]
    (table,) = paper_tables(cells)
    assert (table.number, [row.title for row in table.rows]) == (number, list(rows))
    assert table.rows[-1].is_reference


def test_cells_of_another_sort_stay_out() -> None:
    # The same adapters, but one video of a subject alone: a table of one row is none.
    cells = [
        result("dreamvideo", ("dreamvideo", None), {"clip_t": 0.3}, motion=None),
        result("dreamix", ("dreamix", None), {"clip_t": 0.3}),
    ]
    assert paper_tables(cells) == []


def test_videos_of_both_serve_where_there_are_none_of_one_alone() -> None:
    figures: dict[str, float | None] = {"clip_t": 0.3}
    serial, ours = ("dreamvideo", "dreamvideo-serial"), ("dreamvideo", "dreamvideo")
    (table,) = paper_tables([result("serial", serial, figures), result("dreamvideo", ours, figures)])
    assert (table.number, [row.title for row in table.rows]) == ("A5", ["Serial, all layers", "Parallel, all layers"])
    assert table.caption.endswith("on videos of a subject and a motion, with DreamVideo's adapter for the subject")
    # The subject's adapter is none of what the table compares.
    assert [row.parameters for row in table.rows] == [500, 1000]


def test_titles_are_those_of_the_metrics() -> None:
    assert {metric.name: metric.title for metric in METRICS} == TITLES


def test_an_interval_of_one_factor_is_that_of_its_levels() -> None:
    # Four pairs of equal values tell as much as four values, not as eight.
    values = [0.1, 0.4, 0.2, 0.7]
    doubled = bootstrap_interval([v for v in values for _ in range(2)], factors=[[n for n in range(4) for _ in "ab"]])
    single = bootstrap_interval(values)
    assert (doubled.low, doubled.high) == pytest.approx((single.low, single.high))
    # Levels of unequal size weigh by it: one resample has both of 1.0 twice, or the 0.0 twice, or each once.
    uneven = bootstrap_interval([1.0, 1.0, 0.0], factors=["aab"], level=0.2, seed=1)
    assert np.allclose([uneven.mean, uneven.low, uneven.high], 2 / 3)
    with pytest.raises(ValueError):
        bootstrap_interval([1.0, 2.0], factors=["a"])


def test_subjects_and_motions_are_resampled_each_on_their_own() -> None:
    # All depends on which of two subjects it is: 1 resample in 4 has the first twice, and 1 in 4 the second. Of four
    # pairs, resampled as if each were a subject of its own, all would be of one subject in 1 resample of 16.
    figures = {"fox": 1.0, "taxi": 0.0}
    crossed = bootstrap_interval([1.0, 1.0, 0.0, 0.0], factors=["fftt", "zczc"], level=0.8)
    apart = bootstrap_interval([1.0, 1.0, 0.0, 0.0], level=0.8)
    assert (crossed.low, crossed.high, apart.low, apart.high) == (0.0, 1.0, 0.25, 0.75)
    cells = [
        result(method, (by, by), {"clip_t": value * (1 if by == "lora" else 2)}, subject=subject, motion=motion)
        for method, by in (("lora", "lora"), ("dreamvideo", "dreamvideo"))
        for subject, value in figures.items()
        for motion in ("zigzag", "circling", "bouncing")
    ]
    (table,) = paper_tables(cells)
    ours, lora = (figure(table, title, "clip_t") for title in ("DreamVideo", "LoRA"))
    assert (ours.interval.low, ours.interval.high, ours.levels, table.fewest_levels) == (0.0, 2.0, 2, 2)
    assert (lora.difference.low, lora.difference.high) == (-1.0, 0.0)


def test_an_interval_covers_as_often_as_it_says() -> None:
    """Four subjects and four motions with effects of their own: of 200 such suites the true mean is in nine tenths."""
    random, subjects, motions = np.random.default_rng(0), np.repeat(range(4), 4), np.tile(range(4), 4)
    hits = 0
    for _ in range(200):
        values = random.normal(size=4)[subjects] + random.normal(size=4)[motions] + random.normal(size=16) / 2
        interval = bootstrap_interval(list(values), factors=[list(subjects), list(motions)], resamples=500)
        hits += interval.low <= 0 <= interval.high
    assert hits > 170


def test_with_one_subject_and_motion_videos_are_resampled_and_the_table_says_so() -> None:
    ours, lora = ("dreamvideo", "dreamvideo"), ("lora", "lora")
    cells = [
        result(method, by, {"clip_t": value}, seed=seed)
        for method, by in (("lora", lora), ("dreamvideo", ours))
        for seed, value in enumerate((0.1, 0.2, 0.3))
    ]
    (table,) = paper_tables(cells)
    spread = figure(table, "DreamVideo", "clip_t").interval
    assert (spread.low < spread.mean < spread.high, table.fewest_levels) == (True, 1)


def test_videos_that_cross_no_other_leave_resamples_empty_and_the_rest_count() -> None:
    interval = bootstrap_interval([1.0, 0.0], factors=["ft", "zc"])
    assert (interval.mean, interval.low, interval.high) == (0.5, 0.0, 1.0)
