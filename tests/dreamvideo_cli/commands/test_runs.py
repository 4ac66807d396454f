"""`dv runs`: what is listed, told of, held and gone on with."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from typing import Any

import pytest

from dreamvideo_cli.jobs.requests import LearnRequest
from engine.bases.location import EMBEDDED
from registry import Registry

Dv = Callable[..., Any]


def test_a_log_with_bytes_that_are_no_text_is_printed(checked: Dv, registry: Registry) -> None:
    log = registry.runs.log_of(registry.runs.begin("subject", "dog"))
    log.parent.mkdir()
    log.write_bytes(b"it began\n\xff it ended\n")
    assert checked("runs", "log", "dog").out == "it began\n\ufffd it ended\n"


def test_runs_are_listed_with_what_can_be_done(checked: Dv, registry: Registry) -> None:
    assert "No run yet" in checked("runs").err
    done, failed = (registry.runs.begin("subject", name) for name in ("dog", "cat"))
    registry.runs.end(done, "finished", adapter="dog@1", reached=("identity", 9, 9))
    registry.runs.end(failed, "failed", message="out of memory", reached=("token", 3, 9))
    registry.run_folder("cat").mkdir(parents=True)
    shown = checked("runs").out
    assert "identity 9/9" in shown and "dog@1" in shown and "dv runs resume cat" in shown
    assert checked("runs", "--names", "--state", "failed").out == "2\n"
    assert [run["id"] for run in json.loads(checked("runs", "--json", "--limit", "1").out)] == [2]
    checked("runs", "--state", "odd", check=2)
    assert "isn't running: it is finished" in checked("runs", "stop", "dog", check=2).err
    assert "has no log" in checked("runs", "log", "dog", check=2).err
    assert "no unfinished run of dog" in checked("runs", "resume", "dog", check=2).err
    assert "no run 'bear'" in checked("runs", "log", "bear", check=2).err
    registry.runs.begin("subject", "bear")
    assert "Asked run 3 of bear to stop" in checked("runs", "stop", "bear").err
    assert registry.runs.beat(3, None) is True


def test_a_run_is_shown_with_what_it_noted_so_far(checked: Dv, registry: Registry) -> None:
    registry.runs.begin("subject", "dog")
    notes = registry.run_folder("dog") / "learning"
    (notes / "steps" / "200").mkdir(parents=True)
    (notes / "previews").mkdir()
    (notes / "previews" / "100.mp4").touch()
    lines = [["token", 1, 0.5, None], ["identity", 100, 0.25, 0.375], ["identity", 200, 0.125, 0.75]]
    (notes / "curve.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines) + '["torn', encoding="utf-8")
    shown = " ".join(checked("runs", "show", "dog").out.split())
    assert "Run 1 of dog" in shown and "step 200 loss 0.125, held-out loss 0.75" in shown
    assert "identity 2 steps, held-out loss 0.375 to 0.75" in shown
    told = json.loads(checked("runs", "show", "1", "--json").out)
    assert told["learning"]["identity"]["held_out_loss"] == [[100, 0.375], [200, 0.75]]
    assert told["kept_steps"] == [{"id": None, "step": 200, "loss": 0.125, "held_out_loss": 0.75}]
    assert told["previews"] == [str(notes / "previews" / "100.mp4")]
    registry.runs.end(1, "finished", adapter="dog@1")
    assert "learning" not in json.loads(checked("runs", "show", "dog", "--json").out)  # dog@1 was removed


def test_who_holds_a_name_for_a_moment_stops_no_learner(checked: Dv, registry: Registry) -> None:
    def hold(held: threading.Event, until: threading.Event, longest_s: float) -> None:
        with registry.runs.lock("fox"):
            held.set()
            until.wait(longest_s)

    for longest_s, said in ((0.2, "no images given"), (60, "another process is working on fox")):
        held, until = threading.Event(), threading.Event()
        holder = threading.Thread(target=hold, args=(held, until, longest_s))
        holder.start()
        held.wait()
        assert said in checked("subject", "learn", "fox", "--class", "dog", check=2).err
        until.set()
        holder.join()


def test_resume_goes_on_with_what_was_asked_for(
    checked: Dv, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[LearnRequest, bool]] = []

    def learn(request: LearnRequest, _registry: Registry, *, resume: bool, **_: object) -> None:
        asked.append((request, resume))

    monkeypatch.setattr("dreamvideo_cli.jobs.learning.learn", learn)
    id = registry.runs.begin("motion", "jog")
    LearnRequest("motion", "jog", ("/a.mp4",), {}, {}, EMBEDDED).save(registry.run_folder("jog"))
    for text in ("jog", id):
        checked("runs", "resume", text)
    assert asked == [(LearnRequest("motion", "jog", (), {}, {}), True)] * 2
