"""A learning run tells of itself: however it ends, `dv runs` says how."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from dreamvideo_cli.jobs.recording import recorded
from dreamvideo_cli.jobs.requests import LearnRequest
from engine.errors import JobError
from registry import Registry, RegistryUnavailableError, runs

REQUEST = LearnRequest("subject", "dog", (), {}, {})


@pytest.fixture
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Registry]:
    monkeypatch.setattr(runs, "BEAT_S", 0.02)
    with Registry.open(tmp_path / "home") as opened:
        yield opened


def until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_progress_reaches_the_row_and_the_log_while_it_runs(registry: Registry) -> None:
    with recorded(registry, REQUEST) as record:
        record.reached = ("token", 3, 9)
        until(lambda: registry.runs.find("dog").step == 3)
        record.reached = ("identity", 9, 9)
        record.adapter = "dog@1"
    (run,) = registry.runs.all()
    assert (run.state, run.part, run.step, run.adapter) == ("finished", "identity", 9, "dog@1")
    lines = [line.partition(" ")[2] for line in registry.runs.log_of(run.id).read_text().splitlines()]
    assert lines == ["dv subject learn dog began", "token 3/9", "identity 9/9", "finished: dog@1"]


def test_a_beat_that_lags_does_not_undo_what_the_end_says(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    beat, lagging = registry.runs.beat, threading.Event()

    def beat_late(id: int, reached: tuple[str, int, int] | None) -> bool:
        lagging.set()
        time.sleep(0.5)
        return beat(id, reached)

    with recorded(registry, REQUEST) as record:
        record.reached = ("token", 3, 9)
        monkeypatch.setattr(registry.runs, "beat", beat_late)
        assert lagging.wait(20)
        record.reached = ("identity", 9, 9)
    until(lambda: all(thread.name != "heartbeat" for thread in threading.enumerate()))
    (run,) = registry.runs.all()
    assert (run.state, run.part, run.step) == ("finished", "identity", 9)


@pytest.mark.parametrize(
    ("error", "state", "message"),
    [
        (JobError("the loss is no number"), "failed", "the loss is no number"),
        (ZeroDivisionError(), "failed", "ZeroDivisionError"),
        (KeyboardInterrupt(), "interrupted", None),
    ],
)
def test_every_end_is_noted(registry: Registry, error: BaseException, state: str, message: str | None) -> None:
    with pytest.raises(type(error)), recorded(registry, REQUEST):
        raise error
    (run,) = registry.runs.all()
    assert (run.state, run.message) == (state, message)
    until(lambda: all(thread.name != "heartbeat" for thread in threading.enumerate()))


@pytest.mark.parametrize("ctrl_c", [signal.default_int_handler, signal.SIG_IGN], ids=["heeded", "ignored"])
def test_a_stop_is_like_ctrl_c(registry: Registry, ctrl_c: Any) -> None:
    before = signal.signal(signal.SIGINT, ctrl_c)  # ignored, as in a script's background
    try:
        with pytest.raises(KeyboardInterrupt), recorded(registry, REQUEST):
            registry.runs.ask_to_stop(registry.runs.find("dog"))
            deadline = time.monotonic() + 20
            while time.monotonic() < deadline:
                time.sleep(0.01)
    finally:
        signal.signal(signal.SIGINT, before)
    assert registry.runs.find("dog").state == "interrupted"


def test_a_registry_that_can_not_be_written_does_not_stop_a_run(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    beats = 0

    def refuse(*_: object, **__: object) -> None:
        nonlocal beats
        beats += 1
        raise RegistryUnavailableError("No space is left")

    with recorded(registry, REQUEST):
        monkeypatch.setattr(registry.runs, "beat", refuse)
        monkeypatch.setattr(registry.runs, "end", refuse)
        until(lambda: beats > 2)
    assert "No space is left" in registry.runs.log_of(1).read_text()
