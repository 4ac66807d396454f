"""Settings: which value wins, where it came from, what is refused, and that each of them is read."""

from __future__ import annotations

import ast
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest

from engine.errors import InputError
from engine.methods.common import OptimizerConfig
from engine.methods.dreamvideo import ComposeConfig, MotionConfig, SubjectConfig
from engine.methods.table import METHODS, configs_of
from engine.methods.tune_a_video import TuneAVideoConfig
from engine.settings import as_values, check_seed, resolve

ROOT = Path(__file__).parents[2]


def test_an_option_beats_the_base_which_beats_the_paper() -> None:
    recommended = {"frames": 8, "guidance_scale": 5.0, "size": [64, 64]}
    resolved = resolve(ComposeConfig(), recommended, {"frames": 4, "steps": None, "eta": 1.0})
    config, origins = resolved.config, resolved.origins
    assert (config.frames, origins["frames"]) == (4, "option")
    assert (config.eta, origins["eta"]) == (1.0, "option")
    assert (config.guidance_scale, origins["guidance_scale"]) == (5.0, "base")
    assert (config.size, origins["size"]) == ((64, 64), "base")
    assert (config.steps, origins["steps"]) == (50, "paper")
    assert (config.offset_noise, origins["offset_noise"]) == (0.1, "authors")
    assert (config.motion_until, origins["motion_until"]) == (1.0, "dv")
    assert origins.keys() == {f.name for f in fields(config)}


def test_an_option_equal_to_the_papers_value_is_still_an_option() -> None:
    resolved = resolve(ComposeConfig(), {"steps": 20}, {"steps": 50})
    assert (resolved.config.steps, resolved.origins["steps"]) == (50, "option")


@pytest.mark.parametrize(("recommended", "options"), [({"stepz": 3}, {}), ({}, {"stepz": 3})])
def test_an_unknown_key_is_named_with_where_it_stands(recommended: dict[str, int], options: dict[str, int]) -> None:
    place = "base" if recommended else "option"
    with pytest.raises(
        InputError, match=rf"unknown setting 'stepz' \({place}\); known are: steps, sampler, guidance_scale"
    ):
        resolve(ComposeConfig(), recommended, options)


@pytest.mark.parametrize(
    ("config", "name", "value", "bounds"),
    [
        (SubjectConfig, "batch_size", 0, "between 1 and 10000"),
        (SubjectConfig, "size", (256, 8), "between 16 and 8192"),
        (SubjectConfig, "token_learning_rate", -1e-4, "at least 0"),
        (SubjectConfig, "seed", -1, "between 0 and 9223372036854775807"),
        (SubjectConfig, "offset_noise", float("nan"), "at least 0"),
        (SubjectConfig, "beta2", 1.0, "between 0 and 1"),
        (MotionConfig, "p_zero", 1.5, "between 0 and 1"),
        (MotionConfig, "p_image_zero", -0.1, "between 0 and 1"),
        (MotionConfig, "frames", 0, "between 2 and 10000"),
        (MotionConfig, "fps", 0.0, "between 0.001 and 1000"),
        (ComposeConfig, "steps", 1001, "between 1 and 1000"),
        (ComposeConfig, "guidance_scale", -1.0, "at least 0"),
        (ComposeConfig, "eta", 2.0, "between 0 and 1"),
    ],
)
def test_a_value_out_of_range_is_refused_by_its_name(config: type, name: str, value: object, bounds: str) -> None:
    with pytest.raises(InputError, match=f"^`{name}` is .*: it must be {bounds}"):
        resolve(config(), {}, {name: value})


NUMBERS = [
    (config, f.name, float in (hint, *get_args(hint)))
    for config in (*configs_of("subject").values(), *configs_of("motion").values(), ComposeConfig)
    for f, hint in ((f, get_type_hints(config)[f.name]) for f in fields(config))
    if {int, float} & {hint, *get_args(hint)}
]
WILD = [float("nan"), float("inf"), float("-inf"), 1e308, -1e308, 10**400, 2**63, -(10**400)]


@pytest.mark.parametrize(("config", "name", "takes_fractions"), NUMBERS)
def test_every_number_is_finite_and_bounded(config: Any, name: str, takes_fractions: bool) -> None:
    """No setting lets a library meet a number that it can't hold."""
    for value in WILD:
        if isinstance(value, int) or takes_fractions:
            given = (64, value) if isinstance(getattr(config(), name), tuple) else value
            with pytest.raises(InputError, match=f"^`{name}` is "):
                resolve(config(), {}, {name: given})


@pytest.mark.parametrize("seed", [-1, 2**63, 10**30])
def test_seeds_end_where_databases_do(seed: int) -> None:
    for config in (SubjectConfig, MotionConfig):
        with pytest.raises(InputError, match="`seed`"):
            config(seed=seed)
    assert MotionConfig(seed=2**63 - 1).seed == 2**63 - 1
    with pytest.raises(InputError, match="seed"):
        check_seed(seed)


def test_the_limits_themselves_are_allowed() -> None:
    assert MotionConfig(p_zero=1, p_image_zero=0).p_zero == 1
    assert ComposeConfig(steps=1000, guidance_scale=0, eta=1).eta == 1


@pytest.mark.parametrize("prompt", ["a dog", "a * and a *"])
def test_the_token_prompt_has_one_place(prompt: str) -> None:
    with pytest.raises(InputError, match=r"`token_prompt` .* exactly one"):
        SubjectConfig(token_prompt=prompt)


def test_nothing_to_learn_is_refused() -> None:
    with pytest.raises(InputError, match="`token_steps` and `adapter_steps` are both 0"):
        SubjectConfig(token_steps=0, adapter_steps=0)
    for nothing in ({"identity_adapter": False}, {"adapter_steps": 0}):
        with pytest.raises(InputError, match="neither a token nor an adapter"):
            SubjectConfig(textual_identity=False, **nothing)
    with pytest.raises(InputError, match="neither a token nor an adapter"):
        SubjectConfig(identity_adapter=False, token_steps=0)


def test_defaults_are_the_papers_and_its_authors() -> None:
    subject, motion, compose = SubjectConfig(), MotionConfig(), ComposeConfig()
    assert (subject.token_steps, subject.token_learning_rate, subject.batch_size) == (3000, 1e-4, 4)
    assert (subject.adapter_steps, subject.adapter_learning_rate, subject.offset_noise) == (800, 1e-5, 0.1)
    assert (motion.steps, motion.learning_rate, motion.p_zero, motion.p_image_zero) == (1000, 1e-5, 0.5, 0.0)
    assert (motion.frames, motion.fps, motion.size, motion.hidden_ratio) == (32, 8.0, (256, 256), 0.5)
    assert (compose.steps, compose.guidance_scale, compose.eta, compose.frames) == (50, 9.0, 0.0, 32)
    assert (subject.beta1, subject.beta2, subject.eps, subject.weight_decay) == (0.9, 0.999, 1e-8, 0.0)


@pytest.mark.parametrize("config", [*configs_of("subject").values(), *configs_of("motion").values(), ComposeConfig])
def test_only_what_the_paper_says_is_called_the_papers(config: type[Any]) -> None:
    """What its text doesn't have: its authors' files do (appendix A has AdamW's settings, and batches of 1), or dv."""
    origins = {f.name: f.metadata["origin"] for f in fields(config)}
    authors = {
        "offset_noise", "size", "learning_rate_decay", "use_masks", "frames", "fps", "p_zero", "p_image_zero",
        "appearance_strength", "unconditional_appearance_strength", "negative_prompt", "time_embedding",
        "motion_init",
    }  # fmt: skip
    dv = {
        "noise_bias", "max_grad_norm", "gradient_accumulation", "gradient_checkpointing", "snapshot_every", "seed",
        "shift", "subject_delay", "motion_until", "dropout", "targets", "control", "cache", "guidance_from",
        "guidance_until", "keep_every", "held_out_every", "hold_out", "preview_every", "preview_prompt",
        "token_vectors", "aspect_ratios",
    }  # fmt: skip
    if config is ComposeConfig:
        authors -= {"size", "frames", "fps"}
    if config is TuneAVideoConfig:  # Its own code has neither noise that is constant nor captions that are dropped.
        authors, dv = authors - {"offset_noise", "p_zero"}, dv | {"offset_noise", "p_zero"}
    assert {name for name, origin in origins.items() if origin == "authors"} == authors & origins.keys()
    assert {name for name, origin in origins.items() if origin == "dv"} == dv & origins.keys()


def test_one_clip_takes_the_papers_steps_and_the_authors_strengths() -> None:
    assert MotionConfig.for_clips(2) == MotionConfig()
    one = MotionConfig.for_clips(1)
    assert (one.batch_size, one.steps, one.p_image_zero) == (1, 1000, 0.5)
    assert (one.appearance_strength, one.unconditional_appearance_strength) == (1.0, 1.0)


def test_values_are_what_json_gives_back() -> None:
    values = resolve(ComposeConfig(), {}, {"size": (32, 48)}).values()
    assert values["size"] == [32, 48]
    assert resolve(ComposeConfig(), {}, values).config == ComposeConfig(size=(32, 48))
    assert values == as_values(ComposeConfig(size=(32, 48)))


# --- each field is read ---


def read_in(*folders: str) -> set[str]:
    """Every `something.field` that is read, but for a config's own `self.field`, and every string that names one."""
    found: set[str] = set()
    for path in (p for folder in folders for p in (ROOT / folder).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load):
                own = isinstance(node.value, ast.Name) and node.value.id == "self" and "methods" in path.parts
                found |= set() if own else {node.attr}
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.add(node.value)
    return found


def unread(config: type, names: set[str]) -> list[str]:
    return [f.name for f in fields(config) if f.name not in names]


@pytest.mark.parametrize("config", sorted({OptimizerConfig, ComposeConfig, *(m.config for m in METHODS)}, key=str))
def test_each_setting_is_read_somewhere(config: type) -> None:
    assert unread(config, read_in("engine", "dreamvideo_cli")) == []


def test_a_setting_that_nothing_reads_would_be_found() -> None:
    @dataclass
    class Idle:
        steps: int = 1
        steps_of_the_moon: int = 1

    assert unread(Idle, read_in("engine", "dreamvideo_cli")) == ["steps_of_the_moon"]


def test_noise_between_steps_is_asked_of_ddim_alone() -> None:
    assert ComposeConfig(sampler="unipc").eta == 0
    with pytest.raises(InputError, match=r"`eta` is 0\.5, and euler draws no noise: set it to 0, or choose ddim"):
        ComposeConfig(eta=0.5, sampler="euler")
    with pytest.raises(InputError, match="must be one of ddim, dpm-solver"):
        ComposeConfig(sampler="plms")  # type: ignore[arg-type]
