"""`dv suite run` once more: what makes an adapter, a video or a score another one, and what doesn't."""

from __future__ import annotations

import csv
import json
import os
import shutil
from dataclasses import fields, make_dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from engine.bases.location import EMBEDDED
from engine.evaluation import scoring
from engine.evaluation.scoring import METRICS, Metric
from engine.evaluation.suites.results import read_results
from engine.methods import table
from engine.methods.common import setting
from engine.methods.dreamvideo import ComposeConfig
from registry import Registry
from tests.dreamvideo_cli.commands.suite.sample import (
    BARE,
    FOX,
    SMALL,
    TOKEN,
    ZIGZAG,
    Write,
    by_method,
    learnt,
)
from tests.rendering import MATERIAL


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


def test_another_caption_is_another_adapter(dv: Any, write: Write, tmp_path: Path) -> None:
    (tmp_path / "clips").mkdir()
    for name in ("cat", "dog"):
        shutil.copyfile(MATERIAL / "zigzag" / "1-dog.mp4", tmp_path / "clips" / f"{name}.mp4")
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


def test_what_options_say_anyway_is_no_other_lesson(dv: Any, write: Write) -> None:
    same = '{name = "same", subject = "textual-inversion", subject_options = {seed = 0, token_steps = 2}}'
    done = dv("suite", "run", write(TOKEN, same), "--quiet")
    assert (done.code, learnt()) == (0, ["trial-fox-textual-inversion@1"]), done.err


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
