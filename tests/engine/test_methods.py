"""One contract for every method: what it may change, what it leaves behind, what comes back. No exceptions by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from engine.adapters.choosing import Bottlenecks
from engine.adapters.forms import fresh, restored
from engine.adapters.learnt import Learnt
from engine.adapters.storage import AdapterFiles, read_adapter, write_adapter
from engine.bases.base import Base
from engine.bases.family import Conditioning
from engine.bases.load import load_base
from engine.bases.location import BaseLocation
from engine.composing import AppliedAdapter, ComposeConfig, compose
from engine.errors import InputError, JobError
from engine.estimating import trainable_parameters
from engine.learning import Learned, OnProgress, learn_motion, learn_subject
from engine.media.video import write_video
from engine.methods.common import Method, switch_of
from engine.methods.page import full_size_counts, renewed
from engine.methods.table import (
    METHODS,
    method_named,
    methods_of,
    reads,
    recommended_composing_with,
    recommended_for,
)
from engine.planning import plan_motion, plan_subject
from engine.settings import resolve
from engine.training import Progress
from tests.engine.bases.tiny_animatediff import write_image_model, write_motion_module
from tests.engine.unet3d_parts import encoder_of

LoadBase = Callable[..., Base]
LoadFor = Callable[[Method], Base]
BY_NAME = {f"{m.kind}/{m.name}": m for m in METHODS}
COMPOSE = ComposeConfig(steps=2, frames=3, size=(16, 16), guidance_scale=3.0)
FEW = {"steps": 3, "token_steps": 3, "adapter_steps": 3, "batch_size": 2, "size": (16, 16), "frames": 4}
FAST = {"learning_rate": 0.01, "token_learning_rate": 0.01, "adapter_learning_rate": 0.01, "snapshot_every": 1}
PAPER = {
    "subject/dreamvideo": 12_409_120 + 1024,
    "subject/dreamvideo-no-token": 12_409_120,
    "subject/dreamvideo-no-adapter": 1024,
    # 16 sites of widths 320 (5), 640 (5), 1280 (6): down and up of 32, and both biases.
    "subject/dreamvideo-width-32": 2 * 32 * 12_480 + 16 * 32 + 12_480,
    "subject/textual-inversion": 1024,
    "subject/dreamix": 863_860_164,
    "subject/modelscope": 863_860_164,
    "subject/custom-diffusion": 2 * 1024 * 12_480 + 1024,
    "subject/lora": 2 * 32 * (16 * 1024 + 12_480),
    "motion/dreamvideo": 77_966_496,
    "motion/dreamvideo-serial": 77_966_496,
    "motion/dreamvideo-shuffled": 77_966_496,
    "motion/dreamvideo-still": 77_966_496,
    "motion/dreamvideo-no-guidance": 38_016_096,
    "motion/dreamvideo-attention": 77_966_496 * 2 // 3,
    "motion/dreamvideo-feed-forward": 77_966_496 // 3,
    # The same sites and `transformer_in` (512 wide), three layers each.
    "motion/dreamvideo-width-32": 3 * (2 * 32 * 12_992 + 17 * 32 + 12_992),
    # Two attentions a temporal block, one self- and one cross-attention a spatial one.
    "motion/lora": 2 * 2 * 32 * 2 * 12_992 + 2 * 32 * 2 * 12_480 + 2 * 32 * (16 * 1024 + 12_480),
    "motion/lora-query-key": 2 * 2 * 32 * 2 * 12_992,
    # All but the spatial parameters: the authors' code counts the time embedding with the temporal ones.
    "motion/modelscope": 1_411_233_860 - 863_860_164,
    # All of Stable Diffusion 1.5's denoiser, and all of its motion module.
    "subject/animatediff": 859_520_964,
    "motion/animatediff": 453_209_280,
    # 16 blocks of widths 320 (5), 640 (5), 1280 (6): two matrices of queries; four matrices over frames, and a bias.
    "motion/tune-a-video": 6 * (5 * 320**2 + 5 * 640**2 + 6 * 1280**2) + 12_480,
}

every_method = pytest.mark.parametrize("method", [pytest.param(m, id=name) for name, m in BY_NAME.items()])


@pytest.fixture(scope="module")
def material(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three photographs and two clips of noise."""
    folder, random = tmp_path_factory.mktemp("material"), np.random.default_rng(0)
    (folder / "subject").mkdir()
    (folder / "motion").mkdir()
    for i in range(3):
        Image.fromarray(random.integers(0, 256, (20, 24, 3), dtype=np.uint8)).save(folder / "subject" / f"{i}.png")
    for i in range(2):
        frames = random.integers(0, 256, (5, 16, 16, 3), dtype=np.uint8)
        write_video(frames, folder / "motion" / f"{i}.mp4", 8.0, {})
    return folder


@pytest.fixture(scope="module")
def load_for(load: LoadBase, make_base: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> LoadFor:
    """Load a base that a method is for, afresh."""
    folders = {family: tmp_path_factory.mktemp(family) for family in ("animatediff", "stable_diffusion")}
    for folder in folders.values():
        write_image_model(folder, make_base())
    write_motion_module(folders["animatediff"] / "motion_module")

    def loaded(method: Method) -> Base:
        if not method.families:
            return load()
        return load_base(BaseLocation("other", str(folders[method.families[0]])), device="cpu")

    return loaded


@pytest.fixture(scope="module")
def base_for(load_for: LoadFor) -> LoadFor:
    """One base that a method is for, for the tests that leave it as it was."""
    known: dict[tuple[str, ...], Base] = {}

    def loaded(method: Method) -> Base:
        if method.families not in known:
            known[method.families] = load_for(method)
        return known[method.families]

    return loaded


def plan_of(method: Method, base: Base, material: Path, **options: object) -> Any:
    settings = method.settings()
    few = {k: v for k, v in {**FEW, **FAST}.items() if k in reads(method) and switch_of(settings, k) is None}
    common: dict[str, Any] = {"info": base.info, "options": {**few, **options}, "method": method.name}
    if method.kind == "subject":
        return plan_subject([material / "subject"], "dog", **common)
    return plan_motion([material / "motion"], "a dog spins", **common)


def learn(
    plan: Any, base: Base, folder: Path, *, run: Path | None = None, on_progress: OnProgress | None = None
) -> Learned:
    chosen: Any = learn_subject if plan.method.kind == "subject" else learn_motion
    learned: Learned = chosen(plan, base, folder, run=run, on_progress=on_progress)
    return learned


def weights_of(method: Method, base: Base, *, seed: int | None = None) -> Learnt | None:
    """A method's weights: fresh, or random as after learning."""
    chosen = method.recipe(method.settings()).weights
    if chosen is None:
        return None
    weights = fresh(chosen, base.sites, base.labels, base.denoiser, condition_width=24, seed=0)
    if seed is not None:
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for parameter in weights.parameters().values():
                parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.1)
    return weights


@torch.no_grad()
def predicted(base: Base) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    noisy, text = torch.randn((2, 4, 3, 8, 8), generator=generator), torch.randn((2, 16, 32), generator=generator)
    return base.predict(noisy, torch.tensor([20, 320]), Conditioning(text))


def looking(weights: Learnt) -> Learnt:
    weights.condition(torch.randn((2, 24), generator=torch.Generator().manual_seed(1)), torch.tensor([0.3, 1.0]))
    return weights


def files(folder: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in sorted(folder.iterdir()) if p.is_file()}


def same(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


# --- the contract ---


@dataclass(frozen=True)
class Outcome:
    """One run of a method, with the base that it ran on and what that was made of before."""

    plan: Any
    folder: Path
    learned: Learned
    base: Base
    parameters: dict[str, nn.Parameter]
    before: dict[str, Tensor]


@pytest.fixture(scope="module")
def outcome_of(
    load_for: LoadFor, material: Path, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[Method], Outcome]:
    """Learn by a method, once."""
    made: dict[str, Outcome] = {}

    def outcome(method: Method) -> Outcome:
        key = f"{method.kind}/{method.name}"
        if key not in made:
            base, folder = load_for(method), tmp_path_factory.mktemp("outcome") / "adapter"
            plan = plan_of(method, base, material)
            parameters = {**dict(base.denoiser.named_parameters()), **dict(encoder_of(base).named_parameters())}
            before = {name: parameter.detach().clone() for name, parameter in parameters.items()}
            made[key] = Outcome(plan, folder, learn(plan, base, folder), base, parameters, before)
        return made[key]

    return outcome


@every_method
def test_only_what_the_method_names_is_changed(outcome_of: Callable[[Method], Outcome], method: Method) -> None:
    out = outcome_of(method)
    adapter, recipe, start = read_adapter(out.folder), method.recipe(method.settings()), weights_of(method, out.base)
    assert dict(out.base.denoiser.named_parameters()).items() <= out.parameters.items()  # the very same objects
    assert same({name: p.detach() for name, p in out.parameters.items()}, out.before)
    assert all(p.grad is None and not p.requires_grad for p in out.parameters.values())
    assert (adapter.token is not None) == (recipe.token is not None)
    assert adapter.weights.keys() == (start.state().keys() if start is not None else set())
    if start is not None:
        still = [name for name, fresh in start.state().items() if torch.equal(fresh, adapter.weights[name])]
        # A batch may look at no image, and a bias before a norm moves nothing.
        assert len(still) < len(adapter.weights) / 4, still
    assert (adapter.kind, adapter.method, out.learned.method) == (method.kind, method.name, method.name)


@every_method
def test_fresh_weights_change_nothing_and_detached_ones_leave_no_trace(base_for: LoadFor, method: Method) -> None:
    base = base_for(method)
    bare, weights = predicted(base), weights_of(method, base)
    if weights is None:
        assert method.recipe(method.settings()).token is not None
        return
    with looking(weights).attached(base):
        assert torch.equal(predicted(base), bare)
    filled = weights_of(method, base, seed=1)
    assert filled is not None
    with looking(filled).attached(base):
        changed = predicted(base)
        filled.strength = 0.5
        half = predicted(base)
        filled.strength = 0.0
        assert torch.equal(predicted(base), bare)
        filled.strength = 1.0
        assert torch.equal(predicted(base), changed)
    assert not torch.equal(changed, bare)
    assert not torch.equal(half, changed)
    assert torch.equal(predicted(base), bare)
    with pytest.raises(ZeroDivisionError), filled.attached(base):
        raise ZeroDivisionError
    assert torch.equal(predicted(base), bare)


@every_method
def test_saved_equals_loaded(base_for: LoadFor, method: Method, tmp_path: Path) -> None:
    base = base_for(method)
    weights, recipe = weights_of(method, base, seed=1), method.recipe(method.settings())
    token = torch.randn(32) if recipe.token is not None else None
    adapter = AdapterFiles(method.kind, method.name, "f" * 64, {}, token=token, word=recipe.word)
    if weights is not None:
        adapter = replace(adapter, weights=weights.state(), widths=weights.widths, form=weights.form)
    write_adapter(adapter, tmp_path / "first")
    again = read_adapter(tmp_path / "first")
    write_adapter(again, tmp_path / "second")
    assert files(tmp_path / "first") == files(tmp_path / "second")
    assert same(again.weights, adapter.weights)
    assert (again.form, again.word, again.widths) == (adapter.form, adapter.word, adapter.widths)
    if weights is not None:
        with looking(weights).attached(base):
            expected = predicted(base)
        with looking(restored(again.form, again.weights)).attached(base):
            assert torch.equal(predicted(base), expected)


@every_method
def test_stopped_and_resumed_ends_in_the_bytes_of_the_same_seed(
    load_for: LoadFor, outcome_of: Callable[[Method], Outcome], tmp_path: Path, method: Method
) -> None:
    whole = outcome_of(method)
    last = whole.plan.method.recipe(whole.plan.settings.config).parts[-1].name

    def stop(part: str, progress: Progress) -> None:
        if (part, progress.step) == (last, 2):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        learn(whole.plan, load_for(method), tmp_path / "out", run=tmp_path / "run", on_progress=stop)
    told: list[tuple[str, int]] = []
    learn(
        whole.plan, load_for(method), tmp_path / "out", run=tmp_path / "run",
        on_progress=lambda part, p: told.append((part, p.step)),
    )  # fmt: skip
    assert told == [(last, 3)]
    assert files(tmp_path / "out") == files(whole.folder)


@every_method
def test_what_was_announced_is_what_is_trained(outcome_of: Callable[[Method], Outcome], method: Method) -> None:
    out = outcome_of(method)
    info, recipe = out.base.info, method.recipe(out.plan.settings.config)
    counts = trainable_parameters(
        recipe, out.base.family.skeleton(info), out.base.family, info.cross_attention_dim, info.image_embedding_width
    )
    assert counts == out.learned.parameters
    assert sum(part.steps for part in recipe.parts) == out.learned.steps


@every_method
def test_what_was_learnt_composes(base_for: LoadFor, outcome_of: Callable[[Method], Outcome], method: Method) -> None:
    base = base_for(method)
    adapters = [AppliedAdapter(outcome_of(method).folder, method.kind)]
    prompt = "a * on the beach" if method.kind == "subject" else "a dog spins"
    bare = compose(base, "a dog spins", config=COMPOSE, seed=0)
    made = compose(base, prompt, config=COMPOSE, seed=0, adapters=adapters)
    assert not np.array_equal(made.frames, bare.frames)
    assert made.record["prompt"] == prompt
    assert np.array_equal(compose(base, "a dog spins", config=COMPOSE, seed=0).frames, bare.frames)


@every_method
def test_parameters_at_full_size_are_the_papers(method: Method) -> None:
    assert full_size_counts(method)[1] == PAPER[f"{method.kind}/{method.name}"]


# --- the table ---


def test_a_method_of_another_family_is_refused_when_it_is_planned(base: Base, material: Path) -> None:
    for kind in ("subject", "motion"):
        with pytest.raises(
            InputError, match=r"animatediff is for bases of the family animatediff, and the base .* unet3d"
        ):
            plan_of(BY_NAME[f"{kind}/animatediff"], base, material)


def test_names_are_unique_and_defaults_are_of_their_config() -> None:
    assert len(BY_NAME) == len(METHODS)
    for method in METHODS:
        assert type(method.settings(1)) is type(method.settings(4)) is method.config


def test_an_unknown_method_is_named_with_those_there_are() -> None:
    with pytest.raises(InputError, match=r"no method 'dreambooth' to learn a subject: `method` is one of dreamvideo"):
        method_named("subject", "dreambooth")
    with pytest.raises(InputError, match="to learn a motion"):
        method_named("motion", "dreamix")


def test_an_option_of_other_methods_says_whose_it_is(base: Base, material: Path) -> None:
    with pytest.raises(InputError, match=r"`rank` is not for `method` dreamix: it is read by lora$"):
        plan_of(methods_of("subject")["dreamix"], base, material, rank=4)
    with pytest.raises(InputError, match=r"`token_steps` is not for `method` lora: it is read by dreamvideo, .*"):
        plan_of(methods_of("subject")["lora"], base, material, token_steps=4)
    with pytest.raises(InputError, match=r"`placement` is what `method` dreamvideo-serial is about, .* at serial"):
        plan_of(methods_of("motion")["dreamvideo-serial"], base, material, placement="parallel")
    plan_of(methods_of("motion")["dreamvideo-serial"], base, material, placement="serial")
    plan = plan_of(methods_of("motion")["dreamvideo-serial"], base, material)
    assert plan.settings.origins["placement"] == "method"


def test_the_bases_recommendation_is_dreamvideos_and_its_size_is_everybodys() -> None:
    table: dict[str, dict[str, object]] = {
        "subject": {"size": [64, 64], "token_steps": 9, "textual_identity": True, "use_masks": False},
        "subject/lora": {"rank": 4},
    }
    subjects = methods_of("subject")
    assert recommended_for(subjects["dreamvideo"], table) == table["subject"]
    assert recommended_for(subjects["lora"], table) == {"size": [64, 64], "rank": 4}
    assert recommended_for(subjects["textual-inversion"], table) == {"size": [64, 64], "token_steps": 9}
    ablation = subjects["dreamvideo-no-token"]
    resolved = resolve(ablation.settings(), recommended_for(ablation, table), {})
    assert (resolved.config.textual_identity, resolved.config.token_steps) == (False, 9)  # type: ignore[attr-defined]


def test_a_base_recommends_how_to_compose_with_the_subjects_of_a_method() -> None:
    table = {"compose": {"steps": 16, "subject_delay": 0.4}, "compose/lora": {"subject_delay": 0.0}}
    assert recommended_composing_with("lora", table) == {"steps": 16, "subject_delay": 0.0}
    for other in ("dreamvideo", None):
        assert recommended_composing_with(other, table) == table["compose"]
    assert recommended_composing_with("lora", {}) == {}


def test_every_ablation_differs_from_its_method_in_what_it_says() -> None:
    for method in METHODS:
        whole = method_named(method.kind, "dreamvideo")
        if method.changed:
            ablated, all_of_it = method.settings(), whole.settings()
            # What windows show is no part of a recipe.
            shown = [getattr(settings, "control", None) for settings in (ablated, all_of_it)]
            assert (method.recipe(ablated), shown[0]) != (whole.recipe(all_of_it), shown[1])
    narrow = method_named("motion", "dreamvideo-width-32").recipe(
        method_named("motion", "dreamvideo-width-32").settings()
    )
    assert isinstance(narrow.weights, Bottlenecks)
    assert (narrow.weights.hidden_width, narrow.weights.guidance) == (32, None)


def test_baselines_have_the_papers_settings() -> None:
    def of(kind: Any, name: str, *settings: str, sources: int = 4) -> tuple[object, ...]:
        config = method_named(kind, name).settings(sources)
        return tuple(getattr(config, setting) for setting in settings)

    def prompts(name: str) -> list[str]:
        method = method_named("subject", name)
        return [part.prompt for part in method.recipe(method.settings()).parts]

    assert of("subject", "textual-inversion", "token_steps", "token_learning_rate", "batch_size") == (3000, 1e-4, 4)
    assert of("subject", "dreamix", "steps", "learning_rate", "identifier") == (200, 1e-5, "sks")
    assert of("subject", "modelscope", "steps", "learning_rate") == (200, 1e-5)
    assert of("subject", "custom-diffusion", "steps", "learning_rate", "token_start_id") == (250, 4e-5, 42170)
    assert of("subject", "lora", "steps", "learning_rate", "rank") == (800, 1e-5, 32)
    assert of("motion", "lora", "steps", "learning_rate", "rank", "batch_size") == (1000, 1e-5, 32, 2)
    assert of("motion", "lora", "steps", "batch_size", sources=1) == (1000, 1)
    assert of("motion", "modelscope", "steps", "learning_rate", "batch_size", sources=1) == (1000, 1e-5, 1)
    assert of("subject", "animatediff", "steps", "learning_rate") == (200, 1e-5)
    assert of("motion", "animatediff", "steps", "learning_rate", "batch_size") == (50, 1e-5, 2)
    assert of("motion", "tune-a-video", "steps", "learning_rate", "p_zero", "offset_noise") == (500, 3e-5, 0, 0)
    assert prompts("textual-inversion") == ["a *"]
    assert prompts("dreamix") == prompts("lora") == prompts("dreamvideo-width-32") == ["a sks {class}"]
    assert prompts("custom-diffusion") == ["a * {class}"]


def test_the_pages_table_is_current() -> None:
    page = (Path(__file__).parents[2] / "docs" / "methods.md").read_text(encoding="utf-8")
    assert page == renewed(page), "renew it: python -m engine.methods.page docs/methods.md"
    assert "863,860,164" in page


@pytest.mark.parametrize("name", BY_NAME)
def test_each_part_names_the_setting_of_its_learning_rate(name: str) -> None:
    """It is what a person lowers when the part diverges."""
    method = BY_NAME[name]
    config = method.settings()
    for part in method.recipe(config).parts:
        assert getattr(config, part.rate_setting) == part.learning_rate
        changed = replace(config, **cast(dict[str, Any], {part.rate_setting: 0.123}))
        assert 0.123 in {other.learning_rate for other in method.recipe(changed).parts if other.name == part.name}


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
@pytest.mark.parametrize("what", ["weights", "token", "embeddings"])
def test_no_adapter_is_written_of_values_that_are_no_numbers(tmp_path: Path, what: str, bad: float) -> None:
    values: dict[str, Any] = {"weights": {"a": torch.ones(2)}, "token": torch.ones(3), "embeddings": torch.ones(2, 3)}
    values[what] = {"a": torch.tensor([1.0, bad])} if what == "weights" else values[what] * bad
    with pytest.raises(JobError, match="no numbers"):
        write_adapter(AdapterFiles("subject", "any", "0" * 64, **values), tmp_path / "out")
