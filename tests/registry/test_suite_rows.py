"""Suites in the registry: known by their folder, the newest of a cell counts."""

from __future__ import annotations

from dataclasses import replace

import pytest

from registry import Registry, SuiteCell, UnknownNameError

CELL = SuiteCell(
    method="lora", subject="fox", motion=None, prompt="a * asleep", seed=2**62, state="made", error=None,
    video="videos/1.mp4", sha256="a" * 64, base_fingerprint="f" * 64, made_at="2026-01-01T00:00:00+00:00",
    scores={"clip_t": 0.5, "dino_i": None},
)  # fmt: skip


def test_cells_are_noted_and_the_newest_counts(registry: Registry) -> None:
    id = registry.suites.begin("trial", "/here", 3, [])
    other = replace(CELL, subject=None, state="failed", error="why", scores={})
    for cell in (replace(CELL, state="failed"), other, CELL):
        registry.suites.note(id, cell)
    assert registry.suites.cells(id) == [other, CELL]
    (suite,) = registry.suites.all()
    assert (suite.name, suite.folder, suite.size, suite.made, suite.failed) == ("trial", "/here", 3, 1, 1)


def test_a_folder_is_one_suite_and_begins_with_what_is_in_it(registry: Registry) -> None:
    id = registry.suites.begin("trial", "/here", 3, [CELL])
    elsewhere = registry.suites.begin("trial", "/there", 3, [])
    assert registry.suites.begin("trial", "/here", 4, [replace(CELL, seed=1)]) == id != elsewhere
    assert [cell.seed for cell in registry.suites.cells(id)] == [1]
    assert {suite.folder: suite.size for suite in registry.suites.all()} == {"/here": 4, "/there": 3}


def test_a_part_that_begins_keeps_what_other_parts_noted(registry: Registry) -> None:
    others, own = replace(CELL, seed=1), replace(CELL, seed=2)
    id = registry.suites.begin("trial", "/here", 3, [CELL, others])
    registry.suites.begin("trial", "/here", 3, [own, replace(CELL, state="failed")], keep_others=True)
    assert sorted((cell.seed, cell.state) for cell in registry.suites.cells(id)) == [
        (1, "made"), (2, "made"), (CELL.seed, "failed"),
    ]  # fmt: skip


def test_cells_at_other_steps_are_others(registry: Registry) -> None:
    id = registry.suites.begin("trial", "/here", 3, [])
    cells = [replace(CELL, motion="zigzag", subject_step=s, motion_step=m) for s, m in ((None, None), (400, None),
                                                                                       (400, 200))]  # fmt: skip
    for cell in (*cells, cells[1]):
        registry.suites.note(id, cell)
    assert registry.suites.cells(id) == [cells[0], cells[2], cells[1]]


def test_a_suite_that_is_gone_takes_no_cell(registry: Registry) -> None:
    with pytest.raises(UnknownNameError, match="no suite 7"):
        registry.suites.note(7, CELL)
