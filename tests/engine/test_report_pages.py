"""Which comparisons a report shows, and in which order; without a browser."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

from engine.evaluation.pages import choosing
from engine.evaluation.pages.choosing import evenly
from engine.evaluation.pages.report import make_report, report_data
from engine.evaluation.suites.results import Cell, CellResult

SUBJECTS, MOTIONS = ("wolf", "fox", "cat"), ("zigzag", "circling")
PROMPTS, SEEDS = ("a * runs", "a * in * sits"), (7, 1)
METHODS = ("zeal", "dreamvideo", "lora")


def suite(folder: Path, size: int = 100) -> list[CellResult]:
    """Every cell in the suite's order, with a picture of `size` bytes in place of a video."""
    (folder / "videos").mkdir(parents=True)
    cells = [
        Cell(method, subject, motion, prompt, seed)
        for method in METHODS for subject in SUBJECTS for motion in MOTIONS for prompt in PROMPTS for seed in SEEDS
    ]  # fmt: skip
    for number in range(len(cells)):
        (folder / "videos" / f"{number}.png").write_bytes(f"{number:08}".encode() + b"x" * (size - 8))
    return [
        CellResult(cell, "made", "embedded", "f" * 64, "2020-01-01T00:00:00+00:00", video=f"videos/{number}.png",
                   sha256="", scores={"clip_t": 0.1})
        for number, cell in enumerate(cells)
    ]  # fmt: skip


def shown(html: str) -> list[tuple[str, ...]]:
    found = re.findall(r'data-subject="(.*?)" data-motion="(.*?)" data-prompt="(.*?)" data-seed="(.*?)"', html)
    return [tuple(one) for one in found]


def test_everything_stands_in_the_order_of_the_suite(tmp_path: Path) -> None:
    report = make_report(suite(tmp_path), tmp_path)
    every = [(s, m, p, str(seed)) for s in SUBJECTS for m in MOTIONS for p in PROMPTS for seed in SEEDS]
    assert shown(report.html) == every and (report.shown, report.comparable) == (24, 24)
    assert re.findall(r'data-method="(.*?)"', report.html) == list(METHODS) * 24
    assert re.findall(r'name="method" value="(.*?)"', report.html) == list(METHODS)
    assert [row.title for row in report.tables[0].rows] == list(METHODS)
    for field, values in (("subject", SUBJECTS), ("motion", MOTIONS), ("seed", map(str, SEEDS))):
        (options,) = re.findall(rf'<select name="{field}">(.*?)</select>', report.html, re.DOTALL)
        assert re.findall(r'value="=(.*?)"', options) == list(values)


def test_some_comparisons_are_spread_over_subjects_and_motions_and_the_tables_are_of_all(tmp_path: Path) -> None:
    results = suite(tmp_path)
    whole, some, none = (make_report(results, tmp_path, most=most) for most in (None, 6, 0))
    pairs = [one[:2] for one in shown(some.html)]
    assert pairs == [(subject, motion) for subject in SUBJECTS for motion in MOTIONS]
    assert {one[2] for one in shown(some.html)} == set(PROMPTS)
    assert "Of 24 comparisons, 6 are here" in some.html and "are here" not in whole.html
    assert (report_data(some)["comparisons"], report_data(some)["comparisons_left_out"]) == (6, 18)
    assert whole.tables == some.tables == none.tables
    assert shown(none.html) == [] and "data-media=" not in none.html and 'id="videos"' not in none.html
    assert len(none.html) < len(some.html) < len(whole.html)


def test_references_are_shown_though_the_first_method_failed_without_any(tmp_path: Path) -> None:
    failed, other = suite(tmp_path)[0], suite(tmp_path / "other")[8]
    results = [
        replace(failed, state="failed", video=None, error="why"),
        replace(other, cell=replace(failed.cell, method="other"), references=("other/videos/1.png",)),
    ]
    assert 'alt="the subject wolf, picture 1"' in make_report(results, tmp_path).html


def test_the_first_few_are_even_however_many(tmp_path: Path) -> None:
    groups = [(s, m, p, 0) for s in "abcd" for m in "xyz" for p in "pq"]
    order = list(evenly(groups))
    assert sorted(order) == sorted(groups)
    for count in range(1, len(order)):
        for at in (0, 1):
            each = [sum(group[at] == name for group in order[:count]) for name in {group[at] for group in groups}]
            assert max(each) - min(each) <= 1 + at, (count, at)


def test_a_page_of_a_large_suite_stays_small_unasked(tmp_path: Path) -> None:
    results = suite(tmp_path, size=choosing.ROOM // 20)
    report = make_report(results, tmp_path)
    # Three files of a twentieth each fit six times.
    assert (report.shown, report.comparable) == (6, 24)
    assert len(report.html) < 45_000_000
    assert len(json.dumps(report_data(report))) < 100_000
