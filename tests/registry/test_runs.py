"""Runs: what a process tells of itself, and what is known of one that can tell nothing any more."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from filelock import Timeout

import registry as package
from registry import Registry, UnknownNameError, runs

CODE = Path(package.__file__).parents[1]
pytestmark = pytest.mark.databases("sqlite", "postgresql")
BEGINS_AND_HANGS = """
import sys, time
from pathlib import Path
from registry import Registry

with Registry.open(Path(sys.argv[1])) as registry, registry.runs.lock("dog"):
    id = registry.runs.begin("subject", "dog")
    registry.runs.beat(id, ("token", 5, 10))
    print(id, flush=True)
    time.sleep(60)
"""


def set_clock(monkeypatch: pytest.MonkeyPatch, moment: datetime) -> None:
    class Clock(datetime):
        @classmethod
        def now(cls, tz: object = None) -> datetime:  # type: ignore[override]
            return moment

    monkeypatch.setattr(runs, "datetime", Clock)


def test_a_run_that_ends_says_how(registry: Registry) -> None:
    done, failed, stopped = (registry.runs.begin("subject", name) for name in ("dog", "cat", "cow"))
    assert [run.state for run in registry.runs.all()] == ["running"] * 3
    assert registry.runs.beat(done, ("identity", 7, 9)) is False
    registry.runs.end(done, "finished", adapter="dog@1", reached=("identity", 9, 9))
    registry.runs.end(failed, "failed", message="the loss is no number")
    registry.runs.end(stopped, "interrupted", reached=("token", 3, 9))
    assert [run.state for run in registry.runs.all()] == ["finished", "failed", "interrupted"]
    dog, cat, cow = registry.runs.all()
    assert (dog.adapter, dog.part, dog.step, dog.steps) == ("dog@1", "identity", 9, 9)
    assert (cat.message, cat.step) == ("the loss is no number", None)
    assert (cow.part, cow.step) == ("token", 3)
    assert registry.runs.all(name="cat") == [cat]
    assert registry.runs.find("cat") == registry.runs.find(str(failed)) == cat
    for unknown in ("99", "bear"):
        with pytest.raises(UnknownNameError, match=unknown):
            registry.runs.find(unknown)


@pytest.mark.databases("sqlite")
def test_a_killed_process_leaves_an_interrupted_run_and_no_lock(registry: Registry) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", BEGINS_AND_HANGS, str(registry.folder)],
        env={**os.environ, "PYTHONPATH": str(CODE)},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    id = process.stdout.readline().strip()
    try:
        assert registry.runs.find(id).state == "running"
        with pytest.raises(Timeout):
            registry.runs.lock("dog").acquire()
    finally:
        process.kill()
        process.wait()
    run = registry.runs.find(id)
    assert (run.state, run.step) == ("interrupted", 5)
    with registry.runs.lock("dog"):
        registry.runs.begin("subject", "dog")
    assert [run.state for run in registry.runs.all()] == ["interrupted", "running"]


@pytest.mark.parametrize("ahead", [timedelta(days=400), timedelta(days=-400), timedelta(seconds=40)])
def test_a_silent_run_of_another_machine_is_interrupted_until_it_tells_again(
    registry: Registry, monkeypatch: pytest.MonkeyPatch, ahead: timedelta
) -> None:
    monkeypatch.setattr(platform, "node", lambda: "elsewhere")
    id = registry.runs.begin("subject", "dog")
    monkeypatch.undo()
    assert registry.runs.find("dog").state == "running"
    set_clock(monkeypatch, datetime.now(UTC) + ahead)
    assert registry.runs.find("dog").state == "interrupted"
    registry.runs.beat(id, None)
    assert registry.runs.find("dog").state == "running"


def test_a_stop_reaches_the_run_with_its_next_heartbeat(registry: Registry) -> None:
    id = registry.runs.begin("subject", "dog")
    registry.runs.ask_to_stop(registry.runs.find("dog"))
    assert registry.runs.beat(id, None) is True


def test_forgotten_runs_take_their_logs_along(registry: Registry) -> None:
    log = registry.runs.log_of(registry.runs.begin("subject", "dog"))
    log.parent.mkdir()
    log.write_text("begun\n")
    registry.runs.forget([registry.runs.find("dog")])
    assert registry.runs.all() == []
    assert not log.exists()
