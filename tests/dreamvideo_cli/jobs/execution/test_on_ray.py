"""Units on a Ray cluster of this machine, with two workers."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dreamvideo_cli.jobs.events import Event, Warned, ignore
from dreamvideo_cli.jobs.execution.carrying import Mark, mark_of
from dreamvideo_cli.jobs.execution.choosing import Execution, executor_for
from dreamvideo_cli.jobs.execution.units import Done, Needs, Unit, WorkerDiedError
from engine.errors import BaseError, InputError, JobError
from tests.dreamvideo_cli.jobs.execution import sample_units
from tests.dreamvideo_cli.jobs.execution.sample_units import (
    NOTHING,
    Copying,
    Dying,
    Endless,
    Failing,
    FailingOddly,
    NoBase,
)

ray = pytest.importorskip("ray", reason="the extra `cluster` isn't installed")


TOLD: list[Event] = []


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """Two cores of this machine; what is told while they work is in TOLD."""
    from dreamvideo_cli.jobs.execution.on_ray import OnRay

    ray.cloudpickle.register_pickle_by_value(sample_units)
    with OnRay(None, 2, TOLD.append) as executor:
        yield executor


def worked(cluster: Any, units: Sequence[Unit]) -> tuple[list[Done], list[object]]:
    """What came of units, with the texts of files that they gave, and what they told."""
    waiting, told, over = list(units), [], []

    def next_unit(_loaded: Needs | None) -> Unit | None:
        return waiting.pop(0) if waiting else None

    with closing(cluster.run(next_unit, lambda _, message: told.append(message), needs=[NOTHING] * len(units))) as all:
        for done in all:
            text = done.value.read_text() if isinstance(done.value, Path) else done.value
            over.append(replace(done, value=text))
    return sorted(over, key=lambda done: list(units).index(done.unit)), told


def test_files_go_to_workers_and_come_back(cluster: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    units = [Copying(tmp_path / f"{number}.txt") for number in range(3)]
    for number, unit in enumerate(units):
        unit.source.write_text(f"file {number}.")

    def of_another_machine(path: Path) -> Mark:
        return replace(mark_of(path), path=tmp_path / "elsewhere" / path.name)

    with monkeypatch.context() as patched:
        # As if the workers were on a machine that doesn't have the files.
        patched.setattr("dreamvideo_cli.jobs.execution.on_ray.mark_of", of_another_machine)
        patched.setattr("dreamvideo_cli.jobs.execution.on_ray.contents_of", lambda path: {".": path.name.encode()})
        over, told = worked(cluster, units)
    assert [done.value for done in over] == ["0.txt0.txt", "1.txt1.txt", "2.txt2.txt"], over
    over, told = worked(cluster, units)
    assert [done.value for done in over] == ["file 0.file 0.", "file 1.file 1.", "file 2.file 2."], over
    assert sorted(map(str, told)) == ["file 0.", "file 1.", "file 2."]


def test_errors_come_back_as_they_are_and_stop_nothing_else(cluster: Any, tmp_path: Path) -> None:
    broken = Needs(NoBase(NOTHING.base.location, is_broken=True))
    there = tmp_path / "a.txt"
    there.write_text("a")
    units: list[Unit] = [
        Failing(InputError("this is odd")), FailingOddly(), Failing(ValueError("a bug"), broken),
        Copying(tmp_path / "gone.txt"), Copying(there),
    ]  # fmt: skip
    odd, unportable, unprepared, gone, whole = worked(cluster, units)[0]
    assert (type(odd.error), str(odd.error)) == (InputError, "this is odd")
    assert (type(unportable.error), str(unportable.error)) == (JobError, "OddError: one and other")
    assert (type(unprepared.error), unprepared.unprepared, odd.unprepared) == (BaseError, True, False)
    assert isinstance(gone.error, OSError) and "gone.txt" in str(gone.error)
    assert whole.value == "aa"


def test_a_unit_whose_worker_dies_is_begun_again_by_another(cluster: Any, tmp_path: Path) -> None:
    TOLD.clear()
    once, always = Dying(tmp_path / "once", 1), Dying(tmp_path / "always", 99)
    (tmp_path / "a.txt").write_text("a")
    first, second, third = worked(cluster, [once, always, Copying(tmp_path / "a.txt")])[0]
    assert (first.value, third.value) == ("whole", "aa")
    assert len(set((tmp_path / "once").read_text().split())) == 2
    assert isinstance(second.error, WorkerDiedError) and "died, 3 times" in str(second.error)
    assert len((tmp_path / "always").read_text().split()) == 3
    assert len([event for event in TOLD if isinstance(event, Warned)]) == 3


def test_ctrl_c_lets_units_end_at_their_next_step(cluster: Any, tmp_path: Path) -> None:
    units: list[Unit] = [Endless(tmp_path / "one"), Endless(tmp_path / "two")]
    begun = set()

    def told(unit: Unit, _message: object) -> None:
        begun.add(id(unit))
        if len(begun) == 2:
            raise KeyboardInterrupt

    with (
        pytest.raises(KeyboardInterrupt),
        closing(cluster.run(lambda _: units.pop() if units else None, told, needs=[NOTHING] * 2)) as over,
    ):
        list(over)
    assert [(tmp_path / name).read_text() for name in ("one", "two")] == ["stopped", "stopped"]


def test_without_the_extra_the_way_to_install_it_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.endswith(("execution.on_ray", "execution.ray_worker"))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(InputError, match=r"pip install 'dreamvideo-cli\[cluster\]'"):
        executor_for(Execution("ray"), ignore)
