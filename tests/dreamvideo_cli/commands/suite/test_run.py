"""`dv suite run`: what it checks, learns, makes, scores and tells, and how it goes on after a stop."""

from __future__ import annotations

import csv
import hashlib
import json
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from filelock import FileLock

from dreamvideo_cli.jobs.suite.folder import write_cells
from engine.errors import InputError
from engine.evaluation.suites.results import read_results
from registry import Registry
from tests.dreamvideo_cli.commands.suite.sample import BARE, FOX, TOKEN, ZIGZAG, Write, by_method, learnt
from tests.rendering import MATERIAL


def test_methods_are_learnt_composed_scored_and_told(dv: Any, write: Write, tmp_path: Path) -> None:
    file = write('"dreamvideo"', BARE, more=FOX + ZIGZAG, prompts='["a * {motion}"]')
    own = ["--token-steps", 2, "--adapter-steps", 2, "--size", 32, "--batch-size", 1]
    assert dv("subject", "learn", "mine", MATERIAL / "rex", "--class", "dog", *map(str, own), "--quiet").code == 0

    cost = json.loads(dv("suite", "run", file, "--dry-run", "--json").out)
    assert (cost["adapters_to_learn"], cost["videos_to_make"]) == (["trial-zigzag-dreamvideo"], 2)
    assert cost["expected_learning_seconds"] > 0 and cost["expected_composing_seconds"] > 0
    assert not (tmp_path / "trial").exists()

    done = dv("suite", "run", file)
    assert done.code == 0, done.err
    assert "2 cells (2 methods x 1 subject x 1 motion x 1 prompt x 1 seed) on embedded" in done.err
    assert done.err.index("1 adapter to learn, about") < done.err.index("learning trial-zigzag-dreamvideo, 1 of 1")
    assert "left for the suite" in done.err and "2 made, 0 kept, 0 failed" in done.err
    words = " ".join(done.out.split())
    assert "Method Done Failed Missing" in words and "dreamvideo 1 0 0 bare 1 0 0" in words
    assert "Method CLIP-T CLIP-I DINO-I T.Cons fidelity amount" in words
    # What was learnt from the same pictures by the same settings isn't learnt again.
    assert learnt() == ["mine@1", "trial-zigzag-dreamvideo@1"]

    found = by_method(tmp_path / "trial")
    result = found["dreamvideo"]
    video = tmp_path / "trial" / str(result.video)
    options = ["--steps", "2", "--frames", "2", "--size", "16", "--guidance-scale", "1"]
    asked = ["--subject", "mine", "--motion", "trial-zigzag-dreamvideo"]
    dv("compose", "a * zigzagging", *asked, *options, "--seed", "0", "-o", "alone.mp4")
    dv("compose", "a dog zigzagging", *options, "--seed", "0", "-o", "bare.mp4")
    assert video.read_bytes() == (tmp_path / "alone.mp4").read_bytes()
    bare = tmp_path / "trial" / str(found["bare"].video)
    assert bare.read_bytes() == (tmp_path / "bare.mp4").read_bytes()
    assert result.sha256 == hashlib.sha256(video.read_bytes()).hexdigest()
    assert {part.adapter for part in result.parts.values()} == {"mine@1", "trial-zigzag-dreamvideo@1"}
    assert [step for step, _ in result.parts["motion"].losses["motion"]] == [1, 2]
    assert result.parts["motion"].settings["steps"] == {"value": 2, "origin": "option"}
    assert result.parts["motion"].trainable_parameters > 1000
    assert result.settings["frames"] == {"value": 2, "origin": "option"}
    assert all(result.scores[name] is not None for name in ("clip_t", "clip_i", "dino_i", "motion_amount"))
    # A row that learns no subject is compared with it all the same.
    assert found["bare"].scores["clip_i"] is not None and found["bare"].parts == {}
    copies = [tmp_path / "trial" / path for path in (*result.references, *result.reference_clips)]
    assert len(copies) == 5 and all(path.is_file() for path in copies)
    rows = list(csv.DictReader((tmp_path / "trial" / "cells.csv").open(encoding="utf-8")))
    assert [(row["method"], row["state"], row["subject_adapter"]) for row in rows] == [
        ("dreamvideo", "made", "mine@1"), ("bare", "made", ""),
    ]  # fmt: skip
    assert float(rows[0]["clip_i"]) == result.scores["clip_i"]

    status = json.loads(dv("suite", "status", "trial", "--json").out)
    assert (status["cells"], status["done"], status["failed"], status["missing"]) == (2, 2, 0, 0)
    with Registry.open() as registry:
        (known,) = registry.suites.all()
        cells = {cell.method: cell for cell in registry.suites.cells(known.id)}
    assert (known.folder, known.size, known.made) == (str(tmp_path / "trial"), 2, 2)
    assert (cells["dreamvideo"].scores, cells["dreamvideo"].sha256) == (result.scores, result.sha256)
    assert json.loads(dv("suite", "status", "--json").out)[0]["made"] == 2
    assert status["methods"][0]["means"] == result.scores
    assert json.loads(dv("suite", "status", file, "--json").out) == status


def test_a_suite_loads_its_base_once(dv: Any, write: Write, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from engine.bases import load

    load_base, loads = load.load_base, []

    def counted(location: Any, **how: Any) -> Any:
        loads.append(location.name)
        return load_base(location, **how)

    monkeypatch.setattr("engine.bases.load.load_base", counted)
    done = dv("suite", "run", write('"dreamvideo"', TOKEN, BARE, more=FOX + ZIGZAG, prompts='["a * {motion}"]'))
    assert done.code == 0, done.err
    assert learnt() == ["trial-fox-dreamvideo@1", "trial-fox-textual-inversion@1", "trial-zigzag-dreamvideo@1"]
    assert loads == ["embedded"]


def test_of_an_individual_of_the_world_it_is_told_whether_it_is_shown(dv: Any, write: Write, tmp_path: Path) -> None:
    someone = '[[subjects]]\nname = "someone"\nworld = "{}"\n'
    assert dv("suite", "run", write(BARE, more=someone.format("dog/7"))).code == 0
    first = by_method(tmp_path / "trial")["bare"]
    assert first.scores["top1"] in (0, 1) and first.scores["rank"] is not None
    assert len(first.references) == 5
    assert dv("suite", "run", write(BARE, more=someone.format("dog/8"))).code == 0
    second = by_method(tmp_path / "trial")["bare"]
    assert second.score_identities["top1"] != first.score_identities["top1"]


def test_what_fails_stops_nothing_else_and_is_tried_again(
    dv: Any, write: Write, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from engine import composing

    compose = composing.compose

    def failing(base: Any, prompt: str, **how: Any) -> Any:
        if how["config"].steps == 3:
            raise InputError("there is something odd")
        return compose(base, prompt, **how)

    monkeypatch.setattr("engine.composing.compose", failing)
    broken = '{name = "odd", compose_options = {steps = 3}}'
    wild = '{name = "wild", subject = "textual-inversion", subject_options = {token_learning_rate = 1e30}}'
    done = dv("suite", "run", write(wild, broken, BARE))
    assert done.code == 1
    found = by_method(tmp_path / "trial")
    assert {name: result.state for name, result in found.items()} == {"wild": "failed", "odd": "failed", "bare": "made"}
    assert "something odd" in str(found["odd"].error)
    assert "its subject wasn't learnt: the loss is" in str(found["wild"].error)
    assert 'without a result: fox by odd, "a * asleep", seed 0: ' in done.err
    assert "1 made, 0 kept, 2 failed" in done.err
    status = json.loads(dv("suite", "status", "trial", "--json").out)
    assert [(m["method"], m["done"], m["failed"]) for m in status["methods"]] == [
        ("wild", 0, 1), ("odd", 0, 1), ("bare", 1, 0),
    ]  # fmt: skip
    assert [failure["method"] for failure in status["failures"]] == ["wild", "odd"]
    fixed = dv("suite", "run", write(TOKEN.replace("token", "wild", 1), BARE.replace("bare", "odd"), BARE))
    assert (fixed.code, "2 made, 1 kept, 0 failed" in fixed.err) == (0, True)


def test_a_full_memory_and_a_source_that_is_gone_cost_only_their_own_cells(
    dv: Any, write: Write, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from engine import composing

    compose, photos = composing.compose, tmp_path / "photos"

    def short_of_memory(base: Any, prompt: str, **how: Any) -> Any:
        if how["seed"] == 1:
            shutil.rmtree(photos)
            raise torch.OutOfMemoryError("CUDA out of memory.\nOf the allocated memory 1 GiB is yours")
        return compose(base, prompt, **how)

    shutil.copytree(MATERIAL / "rex", photos)
    file = write(BARE, more=FOX.replace(str(MATERIAL / "rex"), "photos"), seeds="[0, 1, 2]")
    monkeypatch.setattr("engine.composing.compose", short_of_memory)
    done = dv("suite", "run", file)
    assert (done.code, "1 made, 0 kept, 2 failed" in done.err) == (1, True)
    whole, full, gone = read_results(tmp_path / "trial")
    assert (whole.state, len(whole.references)) == ("made", 4)
    assert (full.error, full.references) == ("OutOfMemoryError: CUDA out of memory.", ())
    assert "photos" in str(gone.error)


def test_a_lesson_that_a_full_memory_stops_costs_only_its_cells(
    dv: Any, write: Write, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def short_of_memory(*_: Any, **__: Any) -> Any:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr("engine.learning.learn_subject", short_of_memory)
    assert dv("suite", "run", write(TOKEN, BARE)).code == 1
    found = by_method(tmp_path / "trial")
    assert (found["token"].state, found["bare"].state) == ("failed", "made")
    assert found["token"].error == "its subject wasn't learnt: OutOfMemoryError: CUDA out of memory"


def test_everything_wrong_is_said_before_anything_is_begun(dv: Any, write: Write, tmp_path: Path) -> None:
    nobody = '[[subjects]]\nname = "no body"\nclass = "dog"\nimages = "nowhere"\n'
    lost = '[[motions]]\nname = "lost"\ndoing = "lost"\nclips = "gone"\n'
    (tmp_path / "notes.txt").write_text("no picture", encoding="utf-8")
    text = '[[subjects]]\nname = "text"\nclass = "dog"\nimages = "notes.txt"\n'
    done = dv("suite", "run", write('"dreamvideo"', BARE, more=FOX + nobody + text + lost))
    assert (done.code, done.out) == (2, "")
    for said in (
        "can't be run, and nothing was begun",
        "subject no body: images: there is no",
        "motion lost: clips: there is no",
    ):
        assert said in done.err, said
    done = dv("suite", "run", write('"dreamvideo"', BARE, more=FOX + text))
    assert (done.code, "text: " in done.err and "notes.txt" in done.err) == (2, True)
    assert not (tmp_path / "trial").exists() and learnt() == []
    done = dv("suite", "run", write('"dreamvideo"', more=FOX.replace('"fox"\nclass', '"fox red"\nclass')))
    assert (done.code, "'trial-fox red-dreamvideo' can't be a name" in done.err) == (2, True)
    assert dv("suite", "run", "nothing").code == 2
    assert (
        "embedded-base, embedded-steps, paper, paper-animatediff, paper-tune-a-video, small"
        in dv("suite", "run", "nothing").err
    )


def test_one_process_a_folder_and_one_suite_a_folder(dv: Any, write: Write, tmp_path: Path) -> None:
    file = write(BARE)
    (tmp_path / "trial").mkdir()
    with FileLock(tmp_path / "trial" / ".suite.lock"):
        done = dv("suite", "run", file)
    assert (done.code, "another process works on the suite in trial" in done.err) == (2, True)
    assert dv("suite", "run", file).code == 0
    (tmp_path / "other.toml").write_text((tmp_path / file).read_text(encoding="utf-8"), encoding="utf-8")
    done = dv("suite", "run", "other.toml", "--folder", "trial")
    assert (done.code, "trial holds the suite trial" in done.err) == (2, True)


def test_ctrl_c_leaves_what_was_made(
    dv: Any, write: Write, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:  # fmt: skip
    from engine import composing

    compose = composing.compose

    def interrupted(base: Any, prompt: str, **how: Any) -> Any:
        if how["seed"] == 1:
            raise KeyboardInterrupt
        return compose(base, prompt, **how)

    file = write(BARE, seeds="[0, 1]")
    with monkeypatch.context() as patch:
        patch.setattr("engine.composing.compose", interrupted)
        done = dv("suite", "run", file)
    assert (done.code, "dv suite run trial.toml --folder trial" in done.err) == (130, True)
    status = json.loads(dv("suite", "status", file, "--json").out)
    assert (status["done"], status["missing"]) == (1, 1)
    assert len(list(csv.DictReader((tmp_path / "trial" / "cells.csv").open(encoding="utf-8")))) == 1
    assert "1 made, 1 kept" in dv("suite", "run", file).err


def test_killed_twice_it_goes_on_and_repeats_nothing(dv: Any, start: Any, write: Write, tmp_path: Path) -> None:
    file = write(TOKEN, BARE)
    trial = tmp_path / "trial"
    first = start("suite", "run", file, "--quiet")
    wait_for(lambda: any(trial.glob("learning/*.jsonl")))
    first.send_signal(signal.SIGKILL)
    first.wait()
    second = start("suite", "run", file, "--quiet")
    wait_for(lambda: (trial / "results.jsonl").exists())
    second.send_signal(signal.SIGKILL)
    second.wait()
    with (trial / "results.jsonl").open("ab") as results:
        results.write(b'{"cell": {"meth')
    before = {path: path.stat().st_mtime_ns for path in trial.rglob("*.mp4")}
    known = [result for result in read_results(trial) if result.state == "made"]
    done = dv("suite", "run", file)
    assert done.code == 0, done.err
    assert f"{2 - len(known)} made, {len(known)} kept, 0 failed" in done.err
    assert before.items() <= {path: path.stat().st_mtime_ns for path in trial.rglob("*.mp4")}.items()
    assert learnt() == ["trial-fox-textual-inversion@1"]
    assert json.loads(dv("suite", "status", "trial", "--json").out)["done"] == 2


def wait_for(there: Callable[[], bool]) -> None:
    end = time.monotonic() + 200
    while not there():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_words_that_are_never_read_are_told_before_anything_starts(dv: Any, write: Write) -> None:
    long = "and a cat " * 20
    told = dv("suite", "run", write(TOKEN, prompts=f'["a * {long}"]'), "--dry-run")
    assert told.code == 0 and " ".join(told.err.split()).count("never read") == 2, told.err  # base and judge
    cut = dv("suite", "run", write(TOKEN, prompts=f'["{long} *"]'), "--dry-run")
    assert cut.code == 2 and "would be cut off" in " ".join(cut.err.split())


def test_the_table_of_cells_is_not_written_anew_for_every_cell(
    dv: Any, write: Write, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    written: list[int] = []

    def counted(folder: Path, results: Any) -> None:
        written.append(len(results))
        write_cells(folder, results)

    monkeypatch.setattr("dreamvideo_cli.jobs.suite.folder.write_cells", counted)
    monkeypatch.setattr("dreamvideo_cli.jobs.suite.folder._WRITE_EVERY", 1e9)
    assert dv("suite", "run", write(BARE, seeds="[0, 1, 2]"), "--quiet").code == 0
    assert written == [0, 3]
    assert len(list(csv.DictReader((tmp_path / "trial" / "cells.csv").open(encoding="utf-8")))) == 3
