"""`dv suite`: what it checks, learns, makes, keeps and tells, and how it goes on after a kill."""

from __future__ import annotations

import csv
import hashlib
import json
import os
import re
import shutil
import signal
import time
from collections.abc import Callable
from dataclasses import fields, make_dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from filelock import FileLock
from safetensors import safe_open
from safetensors.torch import load_file, save_file

import dreamvideo_cli
from dreamvideo_cli.jobs.suite.folder import references_of, write_cells
from dreamvideo_cli.jobs.suite.plans import PlannedCell
from dreamvideo_cli.jobs.suite.shipped import shipped_suites, suite_file
from engine.bases.location import EMBEDDED
from engine.data.clips import probe_clip
from engine.errors import InputError
from engine.evaluation import scoring
from engine.evaluation.expected import Expected, ReferenceClip
from engine.evaluation.scoring import METRICS, Metric
from engine.evaluation.suites.reading import read_suite
from engine.evaluation.suites.results import Cell, CellResult, read_results
from engine.methods import table
from engine.methods.common import setting
from engine.methods.dreamvideo import ComposeConfig
from registry import Registry

MATERIAL = Path(dreamvideo_cli.__file__).parent / "material"
SMALL = """
[subject_options]
size = [32, 32]
batch_size = 1
token_steps = 2
adapter_steps = 2
steps = 2
[motion_options]
size = [32, 32]
frames = 2
batch_size = 1
steps = 2
[compose_options]
size = [16, 16]
frames = 2
steps = 2
guidance_scale = 1
"""
FOX = f'[[subjects]]\nname = "fox"\nclass = "dog"\nimages = "{MATERIAL / "fox"}"\n'
ZIGZAG = f"""
[[motions]]
name = "zigzag"
doing = "zigzagging"
clips = "{MATERIAL / "zigzag" / "dog.mp4"}"
"""
TOKEN = '{name = "token", subject = "textual-inversion"}'
BARE = '{name = "bare"}'
Write = Callable[..., str]


@pytest.fixture
def write(home: Path, tmp_path: Path) -> Write:
    """Write a suite into the current folder."""

    def write_suite(*methods: str, more: str = FOX, prompts: str = '["a * asleep"]', seeds: str = "[0]") -> str:
        head = f"prompts = {prompts}\nseeds = {seeds}\nmethods = [{', '.join(methods)}]\n"
        (tmp_path / "trial.toml").write_text(head + SMALL + more, encoding="utf-8")
        return "trial.toml"

    return write_suite


def learnt() -> list[str]:
    with Registry.open() as registry:
        return sorted(adapter.id for adapter in registry.adapters())


def by_method(folder: Path) -> dict[str, CellResult]:
    return {result.cell.method: result for result in read_results(folder)}


def test_methods_are_learnt_composed_scored_and_told(dv: Any, write: Write, tmp_path: Path) -> None:
    file = write('"dreamvideo"', BARE, more=FOX + ZIGZAG, prompts='["a * {motion}"]')
    own = ["--token-steps", 2, "--adapter-steps", 2, "--size", 32, "--batch-size", 1]
    assert dv("subject", "learn", "mine", MATERIAL / "fox", "--class", "dog", *map(str, own), "--quiet").code == 0

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


def test_a_second_run_makes_only_what_is_missing_damaged_or_different(dv: Any, write: Write, tmp_path: Path) -> None:
    file = write(BARE, TOKEN, seeds="[0, 1]")
    assert dv("suite", "run", file).code == 0
    trial = tmp_path / "trial"
    videos = {result.cell.key: trial / str(result.video) for result in read_results(trial)}
    whole = {key: path.read_bytes() for key, path in videos.items()}
    lines = (trial / "results.jsonl").read_bytes()
    again = dv("suite", "run", file)
    assert (again.code, (trial / "results.jsonl").read_bytes()) == (0, lines)
    assert "0 adapters to learn" in again.err and "0 made, 4 kept, 0 failed" in again.err

    first, second, third, fourth = videos.values()
    first.unlink()
    second.write_bytes(second.read_bytes()[:-20])
    untouched = third.stat().st_mtime_ns
    # Videos that are whole need no adapters; those that aren't need them anew.
    assert dv("rm", "trial-fox-textual-inversion@1", "--yes").code == 0
    done = dv("suite", "run", file)
    assert "2 made, 2 kept" in done.err and done.code == 0
    assert {key: path.read_bytes() for key, path in videos.items()} == whole
    assert third.stat().st_mtime_ns == untouched
    assert learnt() == []

    changed = '{name = "bare", compose_options = {steps = 3}}'
    done = dv("suite", "run", write(changed, TOKEN, seeds="[0, 1]"))
    assert "2 made, 2 kept" in done.err and learnt() == []
    assert first.read_bytes() != whole[next(iter(videos))] and fourth.read_bytes() == whole[list(videos)[3]]
    done = dv("suite", "run", write(changed, TOKEN, seeds="[1, 2]"))
    assert "2 made, 2 kept" in done.err and learnt() == ["trial-fox-textual-inversion@2"]


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

    shutil.copytree(MATERIAL / "fox", photos)
    file = write(BARE, more=FOX.replace(str(MATERIAL / "fox"), "photos"), seeds="[0, 1, 2]")
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
    assert "embedded-base, paper, paper-animatediff, small" in dv("suite", "run", "nothing").err


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


def test_results_of_an_older_suite_are_nowhere_to_be_seen(
    dv: Any, write: Write, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert dv("suite", "run", write(BARE, '{name = "other"}', seeds="[0, 1]")).code == 0
    changed = write('{name = "bare", compose_options = {steps = 3}}', seeds="[1, 2]")

    def interrupted(*_: Any, **__: Any) -> Any:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("engine.composing.compose", interrupted)
        assert dv("suite", "run", changed).code == 130
    status = json.loads(dv("suite", "status", "trial", "--json").out)
    assert (status["cells"], status["done"], status["missing"]) == (2, 0, 2)
    assert status["methods"][0]["means"] == {}
    assert len((tmp_path / "trial" / "cells.csv").read_text(encoding="utf-8").splitlines()) == 1
    with Registry.open() as registry:
        assert registry.suites.all()[0].made == 0
    done = dv("report", "trial")
    assert (done.code, "holds no result yet" in done.err) == (2, True)
    assert dv("suite", "run", changed, "--quiet").code == 0
    assert json.loads(dv("report", "trial", "--json").out)["videos"] == 2
    assert [row["seed"] for row in csv.DictReader((tmp_path / "trial" / "cells.csv").open(encoding="utf-8"))] == [
        "1", "2",
    ]  # fmt: skip


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


def test_another_caption_is_another_adapter(dv: Any, write: Write, tmp_path: Path) -> None:
    (tmp_path / "clips").mkdir()
    for name in ("cat", "dog"):
        shutil.copyfile(MATERIAL / "zigzag" / "dog.mp4", tmp_path / "clips" / f"{name}.mp4")
    motion = '[[motions]]\nname = "zigzag"\ndoing = "zigzagging"\nclips = "clips"\nprompt = "a dog is zigzagging"\n'
    file = write('{name = "moved", motion = "lora"}', more=motion, prompts='["a dog {motion}"]')
    for caption, versions in (("a cat", 1), ("a cow", 2), ("a cow", 2)):
        (tmp_path / "clips" / "cat.txt").write_text(f"{caption} is zigzagging", encoding="utf-8")
        assert dv("suite", "run", file, "--quiet").code == 0
        assert learnt() == [f"trial-zigzag-lora@{number}" for number in range(1, versions + 1)]
    shown = json.loads(dv("show", "trial-zigzag-lora", "--json").out)
    assert shown["hyperparameters"]["captions"] == ["a cow is zigzagging", "a dog is zigzagging"]


def test_an_unfinished_run_of_options_that_were_taken_out_does_not_go_on(
    dv: Any, write: Write, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from engine.learning import learn_motion

    def stopped(*arguments: Any, on_progress: Any, **more: Any) -> Any:
        def stop(part: str, step: Any) -> None:
            on_progress(part, step)
            raise KeyboardInterrupt

        return learn_motion(*arguments, on_progress=stop, **more)

    method = '{name = "moved", motion = "lora"}'
    with monkeypatch.context() as patch:
        patch.setattr("engine.learning.learn_motion", stopped)
        file = write(method, more=ZIGZAG + "end = 0.5\n", prompts='["a dog {motion}"]')
        assert dv("suite", "run", file, "--quiet").code == 130
    assert dv("suite", "run", write(method, more=ZIGZAG, prompts='["a dog {motion}"]'), "--quiet").code == 0
    with Registry.open() as registry:
        assert "end" not in registry.find("trial-zigzag-lora").hyperparameters


def test_another_judge_of_the_same_name_scores_anew_and_makes_nothing(dv: Any, write: Write, tmp_path: Path) -> None:
    judge = tmp_path / "clip"
    shutil.copytree(Path(EMBEDDED.model) / "judges" / "clip", judge)
    file = write(TOKEN, more='[judges]\nclip = "clip"\n' + FOX)
    assert dv("suite", "run", file, "--quiet").code == 0
    trial = tmp_path / "trial"
    (before,) = read_results(trial)
    video = trial / str(before.video)
    made_at = video.stat().st_mtime_ns
    weights = next(judge.glob("*.safetensors"))
    os.utime(weights)
    assert "0 made, 1 kept" in dv("suite", "run", file).err
    tensors = load_file(weights)
    tensors["visual_projection.weight"] = tensors["visual_projection.weight"].flip(1)
    save_file(tensors, weights, {"format": "pt"})
    assert "1 made, 0 kept" in dv("suite", "run", file).err
    (after,) = read_results(trial)
    assert (video.stat().st_mtime_ns, after.sha256, after.seconds) == (made_at, before.sha256, before.seconds)
    assert after.scores["clip_i"] != before.scores["clip_i"] and after.scores["dino_i"] == before.scores["dino_i"]
    assert learnt() == ["trial-fox-textual-inversion@1"]
    weights.unlink()
    done = dv("suite", "run", file)
    assert (done.code, "nothing was begun" in done.err, "has no weights" in done.err) == (2, True, True)


def test_a_serial_adapter_of_the_first_version_is_another(dv: Any, write: Write, tmp_path: Path) -> None:
    """By the same settings it read another state."""
    file = write('{name = "serial", motion = "dreamvideo-serial"}', more=ZIGZAG, prompts='["a dog {motion}"]')
    assert dv("suite", "run", file, "--quiet").code == 0
    assert json.loads(dv("suite", "run", file, "--dry-run", "--json").out)["adapters_to_learn"] == []
    (video,) = (tmp_path / "trial" / "videos").rglob("*.mp4")
    video.unlink()
    with Registry.open() as registry:
        weights = registry.path(registry.find("trial-zigzag-dreamvideo-serial")) / "adapter.safetensors"
    assert json.loads(dv("suite", "run", file, "--dry-run", "--json").out)["adapters_to_learn"] == []
    with safe_open(weights, framework="pt") as opened:
        about = opened.metadata()
    assert about["form"] == "residual-serial-bottlenecks"
    save_file(load_file(weights), weights, {**about, "form": "serial-bottlenecks"})
    again = json.loads(dv("suite", "run", file, "--dry-run", "--json").out)
    assert again["adapters_to_learn"] == ["trial-zigzag-dreamvideo-serial"]


@pytest.mark.parametrize("first_version", [False, True])
def test_a_new_metric_is_computed_on_videos_that_are_there(
    dv: Any, write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, first_version: bool
) -> None:
    file = write(TOKEN, BARE)
    assert dv("suite", "run", file, "--quiet").code == 0
    trial = tmp_path / "trial"
    if first_version:  # whose results had no identities of scores
        lines = [json.loads(line) for line in (trial / "results.jsonl").read_text().splitlines()]
        stripped = [{k: v for k, v in line.items() if k != "score_identities"} for line in lines]
        (trial / "results.jsonl").write_text("".join(json.dumps(line) + "\n" for line in stripped))
        assert "0 made, 2 kept" in dv("suite", "run", file).err
    before = by_method(trial)
    times = {path: path.stat().st_mtime_ns for path in trial.rglob("*.mp4")}
    # The videos are there: what they were made with is not needed any more.
    assert dv("rm", *learnt(), "--yes").code == 0

    def brightness(version: int, scale: float) -> None:
        row = Metric("brightness", "Brightness", lambda seen: torch.full((2,), scale), version=version)
        monkeypatch.setattr(scoring, "METRICS", (*METRICS, row))

    brightness(1, 0.25)
    cost = json.loads(dv("suite", "run", file, "--dry-run", "--json").out)
    assert (cost["adapters_to_learn"], cost["videos_to_make"], cost["videos_to_measure"]) == ([], 0, 2)
    done = dv("suite", "run", file)
    assert done.code == 0 and "0 made, 2 kept, 0 failed" in done.err
    for method, result in by_method(trial).items():
        assert result.scores == {**before[method].scores, "brightness": 0.25}
        assert replace(result, scores={}, curves={}, score_identities={}) == replace(
            before[method], scores={}, curves={}, score_identities={}
        )
    assert {path: path.stat().st_mtime_ns for path in trial.rglob("*.mp4")} == times and learnt() == []
    rows = list(csv.DictReader((trial / "cells.csv").open(encoding="utf-8")))
    assert [row["brightness"] for row in rows] == ["0.25", "0.25"]
    with Registry.open() as registry:
        assert {cell.scores["brightness"] for cell in registry.suites.cells(registry.suites.all()[0].id)} == {0.25}
    noted = (trial / "results.jsonl").read_bytes()
    assert dv("suite", "run", file).code == 0 and (trial / "results.jsonl").read_bytes() == noted
    brightness(2, 0.5)
    assert dv("suite", "run", file).code == 0
    assert {result.scores["brightness"] for result in by_method(trial).values()} == {0.5}


def wait_for(there: Callable[[], bool]) -> None:
    end = time.monotonic() + 200
    while not there():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_status_of_what_was_never_run(dv: Any, write: Write, tmp_path: Path) -> None:
    done = dv("suite", "status", write(BARE))
    assert done.code == 0 and "bare" in done.out
    (tmp_path / "empty").mkdir()
    done = dv("suite", "status", "empty")
    assert (done.code, "holds no results of a suite" in done.err) == (2, True)


def test_references_are_kept_as_a_browser_plays_them_and_follow_their_files(tmp_path: Path) -> None:
    photo, clip = tmp_path / "a.PNG", MATERIAL / "zigzag" / "dog.mp4"
    shutil.copyfile(MATERIAL / "fox" / "1.png", photo)
    expected = Expected("a dog", (photo,), (ReferenceClip(clip), ReferenceClip(clip, end=0.5)))
    task = PlannedCell(
        Cell("lora", "fox", "zigzag", "a *", 0), "a *", {}, ComposeConfig(), expected, {}, "", None, [], False, ()
    )
    pictures, clips = references_of(tmp_path, task)
    (before,) = pictures
    assert [Path(path).parent for path in (*pictures, *clips)] == [
        Path("references/fox"),
        *[Path("references/zigzag")] * 2,
    ]
    assert (tmp_path / clips[0]).read_bytes() == clip.read_bytes()
    assert (probe_clip(tmp_path / clips[0]).frames, probe_clip(tmp_path / clips[1]).frames) == (8, 4)
    shutil.copyfile(MATERIAL / "fox" / "2.png", photo)
    os.utime(photo, (0, 0))  # A photo may be older than the copy of another that had its name.
    pictures, again = references_of(tmp_path, task)
    assert (tmp_path / pictures[0]).read_bytes() == photo.read_bytes()
    assert (tmp_path / before).read_bytes() == (MATERIAL / "fox" / "1.png").read_bytes() and again == clips


def test_a_folder_of_frames_is_kept_anew_where_a_frame_or_the_part_that_is_used_is_another(tmp_path: Path) -> None:
    frames = tmp_path / "frames"
    frames.mkdir()
    for number in (1, 2, 3):
        shutil.copyfile(MATERIAL / "fox" / f"{number}.png", frames / f"{number}.png")

    def kept(**part: float) -> bytes:
        expected = Expected("a dog", (), (ReferenceClip(frames, source_fps=4, **part),))
        task = PlannedCell(
            Cell("lora", None, "zigzag", "a", 0), "a", {}, ComposeConfig(), expected, {}, "", None, [], False, ()
        )
        return (tmp_path / references_of(tmp_path, task)[1][0]).read_bytes()

    first, shorter = kept(), kept(end=0.5)
    shutil.copyfile(frames / "1.png", frames / "3.png")
    assert len({first, shorter, kept()}) == 3


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


def test_what_options_say_anyway_is_no_other_lesson(dv: Any, write: Write) -> None:
    same = '{name = "same", subject = "textual-inversion", subject_options = {seed = 0, token_steps = 2}}'
    done = dv("suite", "run", write(TOKEN, same), "--quiet")
    assert (done.code, learnt()) == (0, ["trial-fox-textual-inversion@1"]), done.err


def test_dvs_own_suites() -> None:
    assert shipped_suites() == ["embedded-base", "paper", "paper-animatediff", "small"]
    small = read_suite(suite_file("small"))
    assert (len(small.methods), len(small.subjects), len(small.motions), len(small.prompts)) == (4, 2, 2, 1)
    full = read_suite(suite_file("embedded-base"))
    assert (len(full.subjects), len(full.motions), len(full.seeds)) == (6, 3, 3)


def test_the_papers_suite_says_what_the_user_must_fill_in(dv: Any, home: Path) -> None:
    done = dv("suite", "run", "paper")
    assert done.code == 2
    for said in ("20 subjects, and has 0: add [[subjects]]", "30 motions", "42 prompts", f"Copy {suite_file('paper')}"):
        assert said in done.err


def test_the_example_of_the_docs_is_a_suite(dv: Any, home: Path, tmp_path: Path) -> None:
    page = (Path(__file__).parents[3] / "docs" / "suites.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"```toml\n(.*?)```", page, re.DOTALL)
    (tmp_path / "mine.toml").write_text(example, encoding="utf-8")
    shutil.copytree(MATERIAL / "fox", tmp_path / "photos")
    shutil.copytree(MATERIAL / "zigzag", tmp_path / "clips")
    cost = json.loads(dv("suite", "run", "mine.toml", "--dry-run", "--json").out)
    assert cost["cells"] == cost["videos_to_make"] == 16
    # Two methods share a subject.
    assert cost["adapters_to_learn"] == [
        "mine-fox-dreamvideo", "mine-fox-lora",
        "mine-zigzag-dreamvideo", "mine-zigzag-lora", "mine-zigzag-dreamvideo-no-guidance",
    ]  # fmt: skip


def test_words_that_are_never_read_are_told_before_anything_starts(dv: Any, write: Write) -> None:
    long = "and a cat " * 20
    told = dv("suite", "run", write(TOKEN, prompts=f'["a * {long}"]'), "--dry-run")
    assert told.code == 0 and " ".join(told.err.split()).count("never read") == 2, told.err  # base and judge
    cut = dv("suite", "run", write(TOKEN, prompts=f'["{long} *"]'), "--dry-run")
    assert cut.code == 2 and "would be cut off" in " ".join(cut.err.split())


def test_a_later_versions_settings_and_those_without_effect_remake_nothing(
    dv: Any, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    def waiting(file: str) -> tuple[int, int]:
        cost = json.loads(dv("suite", "run", file, "--dry-run", "--json").out)
        return len(cost["adapters_to_learn"]), cost["videos_to_make"]

    file = write(TOKEN)
    assert waiting(file) == (1, 1)
    assert dv("suite", "run", file, "--quiet").code == 0
    cheaper = SMALL.replace("token_steps = 2", "token_steps = 2\ngradient_checkpointing = true\nsnapshot_every = 1")
    for head in (SMALL, cheaper):
        Path(file).write_text(Path(file).read_text(encoding="utf-8").replace(SMALL, head), encoding="utf-8")
        assert waiting(file) == (0, 0)

    later = [("wobble", float, setting(0.0, "New in a later version."))]
    grown = make_dataclass("Later", later, bases=(ComposeConfig,), frozen=True)
    for module in ("composing", "suite.planning"):
        monkeypatch.setattr(f"dreamvideo_cli.jobs.{module}.ComposeConfig", grown)
    methods = []
    for method in table.METHODS:
        config = make_dataclass(method.config.__name__, later, bases=(method.config,), frozen=True)

        def defaults(count: int, of: Any = method, into: Any = config) -> Any:
            old = of.defaults(count)
            return into(**{f.name: getattr(old, f.name) for f in fields(old)})

        methods.append(replace(method, config=config, defaults=defaults))
    monkeypatch.setattr(table, "METHODS", tuple(methods))
    assert waiting(file) == (0, 0)
    changed = Path(file).read_text(encoding="utf-8").replace("token_steps = 2", "token_steps = 2\nwobble = 0.5")
    Path(file).write_text(changed, encoding="utf-8")
    assert waiting(file) == (1, 1)
