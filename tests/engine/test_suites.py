"""Suite files and their results: what is read, what is refused, and what a kill may leave behind."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from engine.errors import InputError
from engine.evaluation.suites.definition import Suite, suite_in
from engine.evaluation.suites.reading import read_suite
from engine.evaluation.suites.results import (
    RESULTS,
    Cell,
    CellAdapter,
    CellResult,
    append_result,
    merge_results,
    newest_results,
    read_results,
    results_of_shard,
    save_identities,
)
from engine.methods.dreamvideo import ComposeConfig, MotionConfig
from engine.settings import typed

WHOLE = """
name = "trial"
base = "zeroscope"
prompts = ["a * {motion}", "a * {motion} on the beach"]
seeds = [3, 7]
methods = [
  "lora",
  "dreamix",
  {name = "no identity", motion = "dreamvideo", motion_options = {steps = 5}},
  {name = "no token", subject = "dreamvideo-no-token", motion = "dreamvideo", compose_options = {steps = 9}},
]
[subject_options]
steps = 20
adapter_steps = 30
textual_identity = true
[motion_options]
steps = 40
[compose_options]
guidance_scale = 6
[judges]
clip = "owner/clip"
[[subjects]]
name = "rex"
class = "dog"
images = "photos"
[[subjects]]
name = "vulpes"
world = "dog/7"
[[subjects]]
name = "bruin"
world = "bear/7/settings"
[[motions]]
name = "guitar"
doing = "playing guitar"
clips = ["one.mp4", "sub/../photos"]
prompt = "a person is playing guitar"
end = 4
[[motions]]
name = "turn"
world = "circling"
objects = ["dog/1", "car/2"]
"""


def written(tmp_path: Path, text: str, name: str = "my-suite.toml") -> Path:
    for folder in ("photos", "sub"):
        (tmp_path / folder).mkdir(exist_ok=True)
    (tmp_path / "one.mp4").touch()
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return path


def test_a_whole_file_is_read(tmp_path: Path) -> None:
    suite = read_suite(written(tmp_path, WHOLE))
    assert (suite.name, suite.base, suite.clip, suite.dino) == ("trial", "zeroscope", "owner/clip", None)
    lora, dreamix, without, no_token = suite.methods
    assert (lora.subject, lora.motion) == ("lora", "lora")
    assert (dreamix.subject, dreamix.motion) == ("dreamix", None)
    assert (without.subject, without.motion) == (None, "dreamvideo")
    # What holds for all is taken by those that read it, an own option comes before it, an ablation stays one.
    assert (lora.subject_options, lora.motion_options) == ({"steps": 20}, {"steps": 40})
    assert without.motion_options == {"steps": 5}
    assert no_token.subject_options == {"adapter_steps": 30}
    assert no_token.compose_options == {"guidance_scale": 6, "steps": 9}
    rex, vulpes, bruin = suite.subjects
    assert (rex.class_word, rex.images) == ("dog", (str(tmp_path / "photos"),))
    assert (vulpes.class_word, vulpes.world) == ("dog", "dog/7")
    assert (bruin.class_word, bruin.world) == ("bear", "bear/7/settings")
    guitar, turn = suite.motions
    assert guitar.clips == (str(tmp_path / "one.mp4"), str(tmp_path / "sub/../photos"))
    assert (guitar.end, turn.doing, turn.objects) == (4.0, "circling", ("dog/1", "car/2"))


def test_cells_are_every_combination_and_say_what_the_motion_does(tmp_path: Path) -> None:
    suite = read_suite(written(tmp_path, WHOLE))
    cells = suite.cells()
    assert len(cells) == len({cell.key for cell in cells}) == 4 * 3 * 2 * 2 * 2
    assert cells[0] == Cell("lora", "rex", "guitar", "a * playing guitar", 3)
    assert cells[-1] == Cell("no token", "bruin", "turn", "a * circling on the beach", 7)
    assert suite.composed_prompt(cells[0]) == "a * playing guitar"
    nobody = Cell("no identity", "rex", "guitar", "a * playing guitar", 3)
    assert suite.composed_prompt(nobody) == suite.text(nobody) == "a dog playing guitar"


def test_a_suite_of_subjects_or_of_motions_alone(tmp_path: Path) -> None:
    head = 'methods = ["dreamvideo"]\n'
    rex = '[[subjects]]\nname = "rex"\nclass = "dog"\nimages = "photos"\n'
    turn = '[[motions]]\nname = "turn"\nclips = "one.mp4"\ndoing = "turning"\n'
    subjects = read_suite(written(tmp_path, f'prompts = ["a * asleep"]\n{head}{rex}'))
    assert subjects.cells() == [Cell("dreamvideo", "rex", None, "a * asleep", 0)]
    assert subjects.name == "my-suite"
    motions = read_suite(written(tmp_path, f'prompts = "a cow {{motion}}"\n{head}{turn}'))
    assert motions.cells() == [Cell("dreamvideo", None, "turn", "a cow turning", 0)]


STEPS = """
prompts = ["a * {motion}"]
methods = [
  "dreamvideo",
  {name = "grid", subject = "lora", motion = "lora", subject_steps = [100, "last"], motion_steps = [200, 300]},
  {name = "subject alone", subject = "dreamvideo"},
  {name = "bare"},
]
steps = [400, "last"]
[[subjects]]
name = "rex"
class = "dog"
images = "photos"
[[motions]]
name = "turn"
clips = "one.mp4"
doing = "turning"
"""


def test_steps_that_are_kept_are_cells_of_their_own(tmp_path: Path) -> None:
    suite = read_suite(written(tmp_path, STEPS))
    found = [(cell.row, cell.subject_step, cell.motion_step) for cell in suite.cells()]
    assert found == [
        ("dreamvideo, step 400", 400, 400),
        ("dreamvideo", None, None),
        ("grid, subject at step 100, motion at step 200", 100, 200),
        ("grid, subject at step 100, motion at step 300", 100, 300),
        ("grid, motion at step 200", None, 200),
        ("grid, motion at step 300", None, 300),
        ("subject alone, subject at step 400", 400, None),
        ("subject alone", None, None),
        ("bare", None, None),
    ]
    assert len({cell.key for cell in suite.cells()}) == len(found)
    suite.save(tmp_path)
    assert suite_in(tmp_path) == suite
    of_motions = STEPS.replace("a * {", "a dog {").replace("[[subjects]]", "[other]").split("[other]")
    motions = read_suite(written(tmp_path, of_motions[0] + "[[motions]]" + STEPS.partition("[[motions]]")[2]))
    assert [cell.row for cell in motions.cells()][:3] == ["dreamvideo, step 400", "dreamvideo", "grid, step 200"]


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('steps = [400, "last"]\n[[', "steps = []\n[[", "steps must be a list of numbers of steps"),
        ('steps = [400, "last"]\n[[', "steps = [0, 400]\n[[", "steps must be a list of numbers of steps"),
        ('steps = [400, "last"]\n[[', 'steps = [400, "end"]\n[[', 'and "last" for the last'),
        ('steps = [400, "last"]\n[[', "steps = [400, 400]\n[[", "the step '400' is there twice"),
        ("methods = [", "motion_steps = [9]\nmethods = [", "steps is of subjects and motions alike"),
        ('name = "bare"', 'name = "bare", steps = [9]', "steps is of no use without subject = METHOD or motion"),
        ('subject = "dreamvideo"}', 'subject = "dreamvideo", motion_steps = [9]}', "no use without motion = METHOD"),
        ('"bare"', '"dreamvideo, step 400"', "the row of tables 'dreamvideo, step 400' is there twice"),
    ],
)
def test_steps_that_are_none_are_refused(tmp_path: Path, old: str, new: str, said: str) -> None:
    assert old in STEPS
    with pytest.raises(InputError, match=re.escape(said)):
        read_suite(written(tmp_path, STEPS.replace(old, new)))


@pytest.mark.parametrize(
    ("text", "base"),
    [('base = "photos"', "photos"), ('base = "./photos"', "{}/photos"), ('base = "a/b"', "a/b"), ("", None)],
)
def test_a_base_is_a_name_a_hub_id_or_a_folder_beside_the_suite(tmp_path: Path, text: str, base: str | None) -> None:
    suite = read_suite(written(tmp_path, f'{text}\nprompts = ["a cow"]\nmethods = [{{name = "bare"}}]\n'))
    assert suite.base == (base.format(tmp_path) if base else None)


def test_the_plan_comes_back_as_it_was_kept(tmp_path: Path) -> None:
    suite = read_suite(written(tmp_path, WHOLE))
    assert suite_in(tmp_path) is None
    suite.save(tmp_path)
    assert suite_in(tmp_path) == suite
    (tmp_path / "suite.json").write_text('{"name": "trial"}', encoding="utf-8")
    with pytest.raises(InputError, match="damaged"):
        suite_in(tmp_path)


def test_everything_that_is_wrong_is_said_at_once(tmp_path: Path) -> None:
    wrong = """
prompts = ["a dog runs", "a * {motion}", "a * {motion}", "a * in {place}", 7]
seeds = [1, 1, -2]
methods = [
  "dreamvdeo",
  {name = "x", subject = "modelscop", motion = "dreamvideo", motion_options = {stepps = 3}},
  {name = "x", motion = "lora", motion_options = {steps = "many"}, subject_options = {steps = 3}},
  {motion = "lora", motion_options = {steps = 0}, compose_options = {size = [64, 64, 64]}},
  {name = "y", motion = "dreamvideo-serial", motion_options = {placement = "parallel"}, colour = "red"},
]
dtype = "fp4"
color = "red"
[subject_options]
token_stepz = 3
[compose_options]
guidence = 3
[[subjects]]
name = "rex"
images = "photos"
[[subjects]]
name = "Rex"
class = "dog"
[[subjects]]
name = "moon"
world = "moon"
class = "moon"
images = "photos"
[[subjects]]
name = "comet"
world = "rocket/seven"
[[subjects]]
name = "ghost"
world = "ghost/7"
[[motions]]
name = "turn"
clips = "gone"
start = "soon"
[[motions]]
name = "rex"
world = "zigzag"
[[motions]]
name = "../up"
world = "zigzag"
objects = ["dog/1"]
"""
    with pytest.raises(InputError) as caught:
        read_suite(written(tmp_path, wrong))
    said = str(caught.value)
    for part in (
        "there is no method 'dreamvdeo'",
        "method x: there is no method 'modelscop' to learn a subject",
        "method x: there is no option stepps",
        "method x: steps is 'many': it must be a whole number",
        "method x: subject_options are of no use without subject = METHOD",
        "method 4: name is missing",
        "`steps` is 0",
        "size is [64, 64, 64]: it must be 2 values",
        "`placement` is what `method` dreamvideo-serial is about",
        "method y: there is no colour",
        "subject_options: no method reads token_stepz",
        'the prompt "a dog runs" has no *',
        'the prompt "a * in {place}" has {place}',
        "prompts has 7 in it",
        "the prompt 'a * {motion}' is there twice",
        "the seed '1' is there twice",
        "seeds has -2 in it",
        "dtype is 'fp4'",
        "the suite: there is no color",
        "subject rex: class is missing",
        "subject Rex: images is missing",
        "the name 'rex' is there 3 times",
        "'moon' names no individual: name one by its class and seed, as in dog/7",
        "'rocket/seven' names no individual: name one by its class and seed, as in dog/7",
        "no 'ghost' in 'figures'",
        f"motion turn: clips: there is no file or folder {tmp_path / 'gone'}",
        "images and world are two sources",
        "motion turn: start is 'soon'",
        "motion turn: doing is missing",
        "objects is missing",
        "the method 'x' is there twice",
        "the name '../up' is no folder's name",
        "the suite: compose_options: there is no option guidence",
    ):
        assert part in said, part
    assert said.count("motion turn: doing is missing") == 1


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "methods is missing"),
        ("methods = ['lora']\nprompts = []", "prompts is missing"),
        ("methods = 'lora'", "methods is 'lora': it must be a list"),
        ("methods = [3]", "methods has 3 in it"),
        ("[subjects]\nname = 'a'", "subjects is {'name': 'a'}: it must be a list"),
        ("subjects = ['a']", "write [[subjects]]"),
        ("prompts = ['a * is']\nmethods = ['lora']", "the suite has no subjects"),
        ("prompts = ['a {motion}']\nmethods = ['lora']", "the suite has no motions"),
        ("seeds = []", "seeds is empty"),
        (
            'prompts = ["a {motion}", "a turning"]\n[[motions]]\nname = "turn"\ndoing = "turning"\nworld = "zigzag"',
            "with what motion turn does, the prompt 'a turning' is there twice",
        ),
        ("seeds = [true]", "seeds has True in it"),
        ("name = [", "is no TOML"),
        ("[counts]\nsubjects = 20", "it is to have 20 subjects, and has 0"),
    ],
)
def test_what_is_no_suite_is_refused(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(InputError) as caught:
        read_suite(written(tmp_path, text))
    assert said in str(caught.value)


def test_a_suite_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="can't be read"):
        read_suite(tmp_path / "none.toml")


@pytest.mark.parametrize(
    ("config", "options", "said"),
    [
        (ComposeConfig, {"steps": 1.5}, "steps is 1.5: it must be a whole number"),
        (ComposeConfig, {"steps": True}, "steps is True"),
        (ComposeConfig, {"negative_prompt": 3}, "it must be a text"),
        (MotionConfig, {"layers": "some"}, "one of all, attention, feed-forward"),
        (MotionConfig, {"appearance_guidance": 1}, "true or false"),
        (MotionConfig, {"max_grad_norm": "x"}, "a number"),
        (MotionConfig, {"nothing": 1}, "there is no option nothing"),
    ],
)
def test_values_of_another_kind_are_refused(config: type[Any], options: dict[str, object], said: str) -> None:
    with pytest.raises(InputError) as caught:
        typed(config, options)
    assert said in str(caught.value)


def test_values_of_the_right_kind_pass() -> None:
    given = {"learning_rate": 1, "max_grad_norm": 2, "size": [64, 64], "layers": "all", "steps": 3}
    had = typed(MotionConfig, given)
    assert had == given and type(had["learning_rate"]) is type(had["max_grad_norm"]) is float
    assert type(had["steps"]) is int and typed(MotionConfig, {"max_grad_norm": None}) == {"max_grad_norm": None}


CELL = Cell("lora", "rex", None, "a * \u2028 in the \x85 snow", 1)
RESULT = CellResult(
    CELL, "made", "embedded", "f" * 64, "2026-01-01T00:00:00+00:00", identity="abc", video="videos/1.mp4",
    sha256="a" * 64, seconds=1.5, scores={"clip_t": 0.5, "clip_i": None}, curves={"clip_t": (0.25, 0.75)},
    settings={"steps": {"value": 2, "origin": "option"}},
    parts={"subject": CellAdapter("rex@1", "b" * 64, "lora", {}, 7, {"lora": [(1, 0.5)]})},
    references=("references/1.png",),
)  # fmt: skip


def test_results_come_back_and_the_newest_of_a_cell_counts(tmp_path: Path) -> None:
    other = replace(RESULT, cell=replace(CELL, seed=0), state="failed", error="why")
    for result in (replace(RESULT, identity="old"), other, RESULT):
        append_result(tmp_path, result)
    assert read_results(tmp_path) == [other, RESULT]


def test_results_of_what_is_not_wanted_any_more_are_none_and_the_order_is_the_suites(tmp_path: Path) -> None:
    zebra = replace(RESULT, cell=replace(CELL, subject="zebra"))
    for result in (RESULT, zebra, replace(RESULT, cell=replace(CELL, seed=2))):
        append_result(tmp_path, result)
    save_identities(tmp_path, {zebra.cell: "abc", CELL: "abc"})
    assert read_results(tmp_path) == [zebra, RESULT]
    save_identities(tmp_path, {zebra.cell: "of other settings", CELL: "abc", replace(CELL, seed=3): "abc"})
    assert read_results(tmp_path) == [RESULT]
    assert len(newest_results(tmp_path)) == 3
    (tmp_path / "wanted.json").write_text("[1]", encoding="utf-8")
    with pytest.raises(InputError, match=r"wanted\.json is damaged"):
        read_results(tmp_path)


def test_results_of_steps_are_told_apart_and_those_of_before_are_read(tmp_path: Path) -> None:
    at_step = replace(RESULT, cell=replace(CELL, subject_step=400), identity="other")
    for result in (at_step, RESULT):
        append_result(tmp_path, result)
    save_identities(tmp_path, {CELL: "abc", at_step.cell: "other"})
    assert read_results(tmp_path) == [RESULT, at_step]
    for name in (RESULTS, "wanted.json"):  # as dv wrote them before there were steps
        path = tmp_path / name
        text = path.read_text(encoding="utf-8")
        for key in ("subject_step", "motion_step", "step", "held_out_loss"):
            text = text.replace(f', "{key}": null', "")
        path.write_text(text, encoding="utf-8")
    assert "null" not in (tmp_path / RESULTS).read_text(encoding="utf-8").splitlines()[1].partition('"parts"')[2][:200]
    assert read_results(tmp_path) == [RESULT, at_step]


def test_results_of_shards_count_and_become_part_of_the_whole_suites(tmp_path: Path) -> None:
    whole = [replace(RESULT, cell=replace(CELL, seed=seed)) for seed in (0, 1, 2)]
    failed = replace(whole[1], state="failed", made_at="2025-12-31T00:00:00+00:00")
    append_result(tmp_path, whole[0])
    append_result(tmp_path, failed)
    shards = [results_of_shard("1-of-2"), results_of_shard("2-of-2")]
    for result, file in zip(whole[1:], shards, strict=True):
        append_result(tmp_path, result, file=file)
    with (tmp_path / shards[0]).open("ab") as opened:
        opened.write(b'{"torn')
    copies = [(tmp_path / file).read_bytes() for file in shards]
    assert read_results(tmp_path) == whole
    for _ in range(2):
        merge_results(tmp_path)
        assert (read_results(tmp_path), list(tmp_path.glob("*-of-*"))) == (whole, [])
    again = replace(whole[1], made_at="2026-02-02T00:00:00+00:00", seconds=9.0)
    append_result(tmp_path, again)
    for file, copy in zip(shards, copies, strict=True):  # they come once more, from another machine
        (tmp_path / file).write_bytes(copy)
    assert read_results(tmp_path) == [whole[0], again, whole[2]]
    merge_results(tmp_path)
    assert read_results(tmp_path) == [whole[0], again, whole[2]]


@pytest.mark.parametrize("torn", [b"{", b'{"cell": {"method": "\xc3', b"x" * 200_000])
def test_a_torn_last_line_is_no_result_and_harms_none(tmp_path: Path, torn: bytes) -> None:
    append_result(tmp_path, RESULT)
    with (tmp_path / RESULTS).open("ab") as file:
        file.write(torn)
    assert read_results(tmp_path) == [RESULT]
    later = replace(RESULT, cell=replace(CELL, seed=2))
    append_result(tmp_path, later)
    assert read_results(tmp_path) == [RESULT, later]


def test_a_line_that_is_no_result_is_refused_and_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no results"):
        read_results(tmp_path)
    (tmp_path / RESULTS).write_text("[1]\n", encoding="utf-8")
    with pytest.raises(InputError, match="line 1 is not a result"):
        read_results(tmp_path)


def test_suites_are_plain_values(tmp_path: Path) -> None:
    """Whoever holds one may compare and keep it."""
    path = written(tmp_path, WHOLE)
    assert isinstance(read_suite(path), Suite) and read_suite(path) == read_suite(path)
