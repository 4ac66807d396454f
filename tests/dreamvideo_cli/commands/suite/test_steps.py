"""`dv suite run` over kept steps: each adapter is learnt once, and videos are made with it as it was at each step."""

from __future__ import annotations

import csv
import json
import re
import shlex
import shutil
from pathlib import Path
from typing import Any

import pytest

from engine.evaluation.suites.results import read_results
from registry import Registry
from tests.dreamvideo_cli.commands.suite.sample import BARE, Write, learnt
from tests.rendering import MATERIAL

STEPPED = '{{name = "token", subject = "textual-inversion", subject_options = {{{}}}, steps = [{}]}}'


def test_a_suite_over_steps_learns_once_and_tells_the_step(dv: Any, write: Write, tmp_path: Path) -> None:
    file = write(STEPPED.format("token_steps = 4", '2, "last"'), BARE)
    cost = json.loads(dv("suite", "run", file, "--dry-run", "--json").out)
    assert (cost["adapters_to_learn"], cost["videos_to_make"]) == (["trial-fox-textual-inversion"], 3)

    done = dv("suite", "run", file)
    assert "3 cells (2 methods at 3 steps in all x 1 subject" in done.err
    assert (done.code, "3 made, 0 kept, 0 failed" in done.err) == (0, True), done.err
    assert learnt() == ["trial-fox-textual-inversion@1"]
    early, late, bare = read_results(tmp_path / "trial")
    assert [result.cell.row for result in (early, late, bare)] == ["token, step 2", "token", "bare"]
    assert [(r.parts["subject"].adapter, r.parts["subject"].step) for r in (early, late)] == [
        ("trial-fox-textual-inversion@1:2", 2), ("trial-fox-textual-inversion@1", None),
    ]  # fmt: skip
    assert None not in (early.parts["subject"].held_out_loss, late.parts["subject"].held_out_loss)
    options = ["--steps", "2", "--frames", "2", "--size", "16", "--guidance-scale", "1", "--seed", "0"]
    dv("compose", "a * asleep", "--subject", "trial-fox-textual-inversion@1:2", *options, "-o", "alone.mp4")
    assert (tmp_path / "trial" / str(early.video)).read_bytes() == (tmp_path / "alone.mp4").read_bytes()
    assert early.sha256 != late.sha256

    with Registry.open() as registry:
        (known,) = registry.suites.all()
        assert [cell.subject_step for cell in registry.suites.cells(known.id) if cell.method == "token"] == [2, None]
    rows = list(csv.DictReader((tmp_path / "trial" / "cells.csv").open(encoding="utf-8")))
    assert [row["subject_step"] for row in rows] == ["2", "", ""]
    status = json.loads(dv("suite", "status", "trial", "--json").out)
    assert [(one["method"], one["done"]) for one in status["methods"]] == [
        ("token, step 2", 1), ("token", 1), ("bare", 1),
    ]  # fmt: skip
    tables = {table["caption"]: table for table in json.loads(dv("report", "trial", "--json").out)["tables"]}
    assert tables["token at several steps"]["reference"] == "last step"
    assert [row["method"] for row in tables["token at several steps"]["rows"]] == [
        "step 2", "step of least held-out loss", "last step",
    ]  # fmt: skip

    # Another step that was kept is composed with; one that wasn't has it learnt anew, and so does one that is gone.
    assert "0 made, 3 kept" in dv("suite", "run", file).err
    assert dv("prune", "--steps", "--yes").code == 0
    assert "0 made, 3 kept" in dv("suite", "run", file).err
    again = dv("suite", "run", write(STEPPED.format("token_steps = 4", '1, 2, "last"'), BARE))
    assert "1 made, 3 kept, 0 failed" in again.err
    assert learnt() == ["trial-fox-textual-inversion@1", "trial-fox-textual-inversion@2"]


def test_the_round_of_the_docs_runs(dv: Any, home: Path, tmp_path: Path) -> None:
    page = (Path(__file__).parents[4] / "docs" / "steps.md").read_text(encoding="utf-8")
    page = page.partition("## Does another step do better?")[2]
    for hundreds in (800, 600, 400, 200, 100):  # two steps in place of two hundred
        page = re.sub(rf"\b{hundreds}\b", str(hundreds // 100), page)
    (toml,), (block,) = (re.findall(rf"```{kind}\n(.*?)```", page, re.DOTALL) for kind in ("toml", "sh"))
    shared = {"size": "32", "batch_size": "1", "token_steps": "2"}
    quick = {"size": "16", "frames": "2", "steps": "2", "guidance_scale": "1"}
    toml = toml.replace("seeds = [0, 1]", "seeds = [0]")
    learn = "".join(f"{name} = {'[32, 32]' if name == 'size' else value}\n" for name, value in shared.items())
    compose = "".join(f"{name} = {'[16, 16]' if name == 'size' else value}\n" for name, value in quick.items())
    toml = toml.replace("[subject_options]\n", f"[compose_options]\n{compose}\n[subject_options]\n{learn}")
    (tmp_path / "steps.toml").write_text(toml, encoding="utf-8")
    shutil.copytree(MATERIAL / "rex", tmp_path / "photos")
    short = {"subject": shared, "compose": quick}
    told = {}
    for line in block.strip().splitlines():
        _, *words = shlex.split(line)
        options = [
            text for name, value in short.get(words[0], {}).items() for text in (f"--{name.replace('_', '-')}", value)
        ]
        done = told[words[0]] = dv(*words, *options)
        assert done.code == 0, done.err
    assert "chowchow@1:2" in told["show"].out and "chowchow@1:6" in told["show"].out
    assert (tmp_path / "early.mp4").stat().st_size > 500
    assert "8 made, 0 kept, 0 failed" in told["suite"].err
    assert learnt() == ["chowchow@1"]
    assert "dreamvideo at several steps" in (tmp_path / told["report"].out.strip()).read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("steps", "options", "said"),
    [
        ("2, 9", "token_steps = 4", "token: step 9 of a subject is asked for, and it is learnt for 4 steps"),
        ('4, "last"', "token_steps = 4", 'step 4 of a subject is its last one: leave out one of 4 and "last"'),
        ("2, 4", "token_steps = 4, keep_every = 3", "doesn't keep all of the steps 2"),
        ("1, 70", "token_steps = 100", "every 1 steps one of 100 would have to be kept"),
    ],
)
def test_steps_that_can_not_be_kept_are_told_before_anything_is_learnt(
    dv: Any, write: Write, tmp_path: Path, steps: str, options: str, said: str
) -> None:
    done = dv("suite", "run", write(STEPPED.format(options, steps)))
    assert (done.code, said in " ".join(done.err.split())) == (2, True), done.err
    assert not (tmp_path / "trial").exists() and learnt() == []
