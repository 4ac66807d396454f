"""Low-rank updates, weight deltas and serial adapters: the formulas, what fits, and what a subject is called."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import gelu

from engine.adapters.bottleneck import AdapterSet, identity_sites, motion_sites
from engine.adapters.choosing import (
    ATTENTION_KV,
    IDENTITY_LAYERS,
    SPATIAL,
    SPATIAL_CROSS_ATTENTION_KV,
    TEMPORAL,
    Bottlenecks,
    Form,
    Where,
)
from engine.adapters.forms import fresh, restored
from engine.adapters.learnt import Learnt
from engine.adapters.low_rank import LowRankSet
from engine.adapters.storage import AdapterFiles, read_adapter, write_adapter
from engine.adapters.weight_deltas import WeightDeltas
from engine.bases.base import Base
from engine.bases.family import Conditioning, Site
from engine.composing import AppliedAdapter, ComposeConfig, compose
from engine.errors import AdapterError, InputError
from engine.methods.table import methods_of
from engine.prompts import place_subject, with_subject_word
from tests.engine.unet3d_parts import encoder_of, text_of

LoadBase = Callable[..., Base]
T = TypeVar("T", bound=Learnt)
CONFIG = ComposeConfig(steps=2, frames=3, size=(16, 16), guidance_scale=3.0)


def inputs() -> tuple[Tensor, Tensor, Conditioning]:
    generator = torch.Generator().manual_seed(0)
    noisy = torch.randn((2, 4, 3, 8, 8), generator=generator)
    return noisy, torch.tensor([20, 320]), Conditioning(torch.randn((2, 16, 32), generator=generator))


@torch.no_grad()
def predicted(base: Base) -> Tensor:
    return base.predict(*inputs())


def filled(weights: T, seed: int, scale: float = 0.2) -> T:
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in weights.parameters().values():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * scale)
    return weights


def updates_of(base: Base) -> LowRankSet:
    return LowRankSet.create(ATTENTION_KV.names(base.labels), base.denoiser, 4, seed=0)


# --- formulas ---


def test_a_low_rank_update_is_pefts(load: LoadBase) -> None:
    from peft import LoraConfig, inject_adapter_in_model

    ours, base, other = filled(updates_of(load()), 6), load(), load()
    names = list(ours.widths)
    lora = inject_adapter_in_model(LoraConfig(r=4, lora_alpha=4, target_modules=names), other.denoiser)
    theirs = dict(lora.named_parameters())
    for name, parameter in ours.parameters().items():
        place, _, tensor = name.rpartition("/")
        with torch.no_grad():
            theirs[f"{place}.{tensor.replace('.weight', '.default.weight')}"].copy_(parameter)
    bare = predicted(base)
    with ours.attached(base):
        torch.testing.assert_close(predicted(base), predicted(other), atol=1e-5, rtol=1e-5)
    assert not torch.allclose(predicted(other), bare, atol=1e-3)


@pytest.mark.parametrize("strength", [1.0, 0.4])
def test_a_low_rank_update_is_its_product_added_to_the_matrix(load: LoadBase, strength: float) -> None:
    base = load()
    updates = filled(updates_of(base), 1)
    updates.strength = strength
    with updates.attached(base):
        found = predicted(base)
    state = updates.state()
    with torch.no_grad():
        for name in ATTENTION_KV.names(base.labels):
            place = name.removesuffix(".weight")
            product = state[f"{place}/lora_B.weight"] @ state[f"{place}/lora_A.weight"]
            base.denoiser.get_parameter(name).add_(strength * product)
    torch.testing.assert_close(found, predicted(base), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("where", [SPATIAL, TEMPORAL, SPATIAL_CROSS_ATTENTION_KV])
def test_deltas_are_the_weights_changed(load: LoadBase, where: Where) -> None:
    base = load()
    deltas = filled(WeightDeltas.create(where.names(base.labels), base.denoiser), 2, 0.05)
    deltas.strength = 0.7
    with deltas.attached(base):
        found = predicted(base)
    with torch.no_grad():
        for name, delta in deltas.state().items():
            base.denoiser.get_parameter(name).add_(0.7 * delta)
    assert torch.equal(found, predicted(base))


def test_training_deltas_is_training_the_weights(load: LoadBase) -> None:
    base, other = load(), load()
    names = TEMPORAL.names(base.labels)
    deltas = WeightDeltas.create(names, base.denoiser)
    weights = {name: other.denoiser.get_parameter(name).requires_grad_() for name in names}
    start = {name: weight.detach().clone() for name, weight in weights.items()}
    # eps as large as small gradients: their sign must not decide, as it would by rounding alone.
    first, second = (
        torch.optim.AdamW(list(p.values()), lr=1e-3, weight_decay=0, eps=1e-3) for p in (deltas.parameters(), weights)
    )
    with deltas.attached(base):
        for _ in range(3):
            for trained, optimizer in ((base, first), (other, second)):
                optimizer.zero_grad()
                trained.predict(*inputs()).square().mean().backward()
                optimizer.step()
    for name, delta in deltas.state().items():
        torch.testing.assert_close(delta, weights[name].detach() - start[name], atol=2e-6, rtol=1e-3)


SERIAL: Form = "residual-serial-bottlenecks"
OLDER: Form = "serial-bottlenecks"
CONDITION = 12


def written_out(weights: Mapping[str, Tensor], site: str, x: Tensor, look: tuple[Tensor, Tensor] | None) -> Tensor:
    """GELU((x [+ lambda (e W_cond + b_cond)]) W_down + b_down) W_up + b_up of one site; x is (B * n, T, C)."""
    w = {name.rpartition("/")[2]: tensor for name, tensor in weights.items() if name.startswith(f"{site}/")}
    if look is not None:
        embedding, strength = look
        seen = strength[:, None] * (embedding @ w["condition.weight"].T + w["condition.bias"])
        x = x + seen.repeat_interleave(len(x) // len(seen), dim=0)[:, None, :]
    return gelu(x @ w["down.weight"].T + w["down.bias"]) @ w["up.weight"].T + w["up.bias"]


def block_with(base: Base, sites: list[Site]) -> tuple[str, Any]:
    """The first block of the way down that has one of the sites: its name and its module."""
    name = next(s.name for s in sites if "down_blocks" in s.name).rpartition(".")[0]
    return name, base.denoiser.get_submodule(name)


@pytest.mark.parametrize("form", [SERIAL, OLDER])
@torch.no_grad()
def test_a_serial_identity_adapter_reads_what_follows_the_layer(base: Base, form: Form) -> None:
    """What the layer gave and the residual; in files of before, what the layer gave alone."""
    sites = identity_sites(base.sites)
    adapters = filled(AdapterSet.create(sites, 0.5, condition_width=None, seed=0, form=form), 3)
    name, block = block_with(base, sites)
    hidden, text = torch.randn(6, 16, block.norm1.normalized_shape[0]), torch.randn(6, 16, 32)
    h = hidden + block.attn1(block.norm1(hidden))
    given = block.attn2(block.norm2(h), encoder_hidden_states=text)
    read = h + given if form == SERIAL else given
    h = h + given + written_out(adapters.state(), f"{name}.attn2", read, None)
    with adapters.attached(base):
        found = block(hidden, encoder_hidden_states=text)
    torch.testing.assert_close(found, h + block.ff(block.norm3(h)), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("form", [SERIAL, OLDER])
@pytest.mark.parametrize("strengths", [None, (0.0, 0.0), (1.0, 0.3)])
@torch.no_grad()
def test_serial_motion_adapters_read_what_follows_the_layers(
    base: Base, form: Form, strengths: tuple[float, float] | None
) -> None:
    sites, width = motion_sites(base.sites), CONDITION if strengths else None
    adapters = filled(AdapterSet.create(sites, 0.5, condition_width=width, seed=0, form=form), 3)
    look = (torch.randn(2, CONDITION), torch.tensor(strengths)) if strengths else None
    name, block = block_with(base, sites)
    h = hidden = torch.randn(2 * 9, 3, block.norm1.normalized_shape[0])
    for leaf, norm in (("attn1", block.norm1), ("attn2", block.norm2), ("ff", block.norm3)):
        given = getattr(block, leaf)(norm(h))
        read = h + given if form == SERIAL else given
        h = h + given + written_out(adapters.state(), f"{name}.{leaf}", read, look)
    adapters.condition(*(look or (None,)))
    with adapters.attached(base):
        found = block(hidden)
    torch.testing.assert_close(found, h, atol=1e-5, rtol=1e-5)


def test_serial_adapters_are_learnt_in_the_authors_form_and_older_files_keep_theirs(base: Base, tmp_path: Path) -> None:
    serial = methods_of("motion")["dreamvideo-serial"]
    trained = serial.recipe(serial.settings()).weights
    assert trained is not None
    weights = fresh(trained, base.sites, base.labels, base.denoiser, condition_width=CONDITION, seed=0)
    assert weights.form == trained.form == SERIAL
    for form in (SERIAL, OLDER):
        write_adapter(
            AdapterFiles("motion", "dreamvideo-serial", "x", weights.state(), weights.widths, form=form), tmp_path
        )
        stored = read_adapter(tmp_path)
        assert restored(stored.form, stored.weights).form == form


def test_forms_of_a_subject_and_a_motion_add_up_and_leave_nothing(base: Base) -> None:
    bare = predicted(base)
    spatial = filled(WeightDeltas.create(SPATIAL.names(base.labels), base.denoiser), 4, 0.02)
    temporal = filled(WeightDeltas.create(TEMPORAL.names(base.labels), base.denoiser), 5, 0.02)
    low_rank = filled(updates_of(base), 6)
    alone = []
    for one in (spatial, temporal, low_rank):
        with one.attached(base):
            alone.append(predicted(base))
    with spatial.attached(base), temporal.attached(base), low_rank.attached(base):
        together = predicted(base)
        spatial.strength = low_rank.strength = 0.0
        assert torch.equal(predicted(base), alone[1])
    assert not any(torch.equal(together, one) for one in alone)
    assert torch.equal(predicted(base), bare)


@pytest.mark.parametrize("checkpointing", [False, True])
def test_gradients_reach_every_form_through_checkpoints(base: Base, checkpointing: bool) -> None:
    deltas, low_rank = WeightDeltas.create(SPATIAL.names(base.labels), base.denoiser), filled(updates_of(base), 6)

    def gradients() -> dict[str, Tensor]:
        base.predict(*inputs()).square().mean().backward()
        found = {}
        for name, parameter in {**deltas.parameters(), **low_rank.parameters()}.items():
            assert parameter.grad is not None, name
            found[name], parameter.grad = parameter.grad.clone(), None
        return found

    with deltas.attached(base), low_rank.attached(base):
        plain = gradients()
        if checkpointing:
            with base.family.checkpointed(base.denoiser):
                again = gradients()
        else:
            again = gradients()
    assert all(torch.equal(again[name], plain[name]) for name in plain)
    assert all(p.grad is None for p in base.denoiser.parameters())


def test_half_precision_learns_and_composes_in_its_own_type(load: LoadBase) -> None:
    base = load(dtype="bf16")
    deltas = WeightDeltas.create(SPATIAL.names(base.labels), base.denoiser)
    with deltas.attached(base):
        base.predict(*inputs()).square().mean().backward()
        name = next(iter(deltas.parameters()))
        module, _, leaf = name.rpartition(".")
        assert getattr(base.denoiser.get_submodule(module), leaf).dtype == torch.bfloat16
    assert all(p.grad is not None and p.grad.dtype == torch.float32 for p in deltas.parameters().values())


# --- what fits ---


def test_two_fine_tunings_of_the_same_weights_are_refused(base: Base) -> None:
    bare, names = predicted(base), SPATIAL.names(base.labels)
    first, second = (filled(WeightDeltas.create(names, base.denoiser), seed, 0.02) for seed in (1, 2))
    with first.attached(base), pytest.raises(AdapterError, match="two adapters change"), second.attached(base):
        pass
    assert torch.equal(predicted(base), bare)


@pytest.mark.parametrize("form", ["low-rank", "weight-deltas"])
def test_what_does_not_fit_is_named_and_nothing_stays(base: Base, form: str) -> None:
    bare, name = predicted(base), ATTENTION_KV.names(base.labels)[-1]
    place = name.removesuffix(".weight")
    wrong = {
        "low-rank": [
            {f"{p}/lora_A.weight": torch.ones(2, 7), f"{p}/lora_B.weight": torch.ones(7, 2)} for p in (place, "x.y")
        ],
        "weight-deltas": [{name: torch.ones(3)}, {"x.y": torch.ones(3)}],
    }
    for state in wrong[form]:
        with pytest.raises(AdapterError, match=r"does not fit the base tiny0"), restored(form, state).attached(base):
            pass
    assert torch.equal(predicted(base), bare)


@pytest.mark.parametrize(
    ("form", "message"), [("low-rank", "not whole"), ("weight-shapes", "'weight-shapes', which this dv does not know")]
)
def test_tensors_of_no_form_are_refused(form: str, message: str) -> None:
    with pytest.raises(AdapterError, match=message):
        restored(form, {"a/lora_A.weight": torch.ones(2, 2)})


def test_only_what_needs_it_is_written_in_the_newer_format(tmp_path: Path) -> None:
    from safetensors import safe_open

    plain = AdapterFiles("subject", "dreamvideo", "f" * 64, {"a/down.weight": torch.ones(1, 1)})
    for adapter, version in (
        (plain, "1"),
        (replace(plain, word="sks dog"), "2"),
        (replace(plain, form="low-rank"), "2"),
        (replace(plain, appearance_strengths=(1.0, 1.0)), "3"),
        (replace(plain, clips=(torch.ones(4, 2, 3, 3),)), "4"),
        (replace(plain, token=torch.ones(3, 8)), "5"),
        (replace(plain, token=torch.ones(8)), "1"),
    ):
        write_adapter(adapter, tmp_path / "a")
        with safe_open(tmp_path / "a" / "adapter.safetensors", framework="pt") as file:
            assert file.metadata()["format_version"] == version
        read = read_adapter(tmp_path / "a")
        assert (read.word, read.vectors) == (adapter.word, adapter.vectors)


# --- what a subject is called ---


@pytest.mark.parametrize(
    ("prompt", "word", "expected"),
    [
        ("a * runs", "*", "a * runs"),
        ("a * runs", "sks dog", "a sks dog runs"),
        ("a * dog runs", "sks dog", "a sks dog runs"),
        ("a * doghouse", "sks dog", "a sks dog doghouse"),
        ("a * runs", "* dog", "a * dog runs"),
        ("A * Dog runs", "* dog", "A * dog runs"),
        ("a dog runs", "sks dog", "a dog runs"),
    ],
)
def test_a_subject_is_said_as_it_was_learnt(prompt: str, word: str, expected: str) -> None:
    assert with_subject_word(prompt, word) == expected


def test_an_identifier_is_a_place_for_the_subject() -> None:
    def placed(prompt: str) -> str:
        return place_subject(prompt, subject="rex", class_word="dog", identifier="sks")

    assert placed("a sks dog runs") == placed("a rex runs") == "a * runs"
    with pytest.raises(InputError, match="has no place for rex"):
        placed("a sks runs")


def test_composing_says_the_identifier_or_the_token_before_the_class_word(base: Base, tmp_path: Path) -> None:
    blank = AdapterFiles("subject", "dreamix", base.fingerprint, {}, form="weight-deltas", word="sks dog")
    token = torch.randn(32, generator=torch.Generator().manual_seed(1))
    write_adapter(blank, tmp_path / "sks")
    write_adapter(replace(blank, word="* dog", token=token), tmp_path / "custom")
    write_adapter(replace(blank, word="*", token=token), tmp_path / "token")

    def frames(prompt: str, name: str | None) -> np.ndarray:
        adapters = [AppliedAdapter(tmp_path / name, "subject")] if name else []
        return compose(base, prompt, config=CONFIG, seed=0, adapters=adapters).frames

    assert np.array_equal(frames("a * runs", "sks"), frames("a sks dog runs", None))
    assert np.array_equal(frames("a * runs", "custom"), frames("a * dog runs", "token"))
    assert not np.array_equal(frames("a * runs", "token"), frames("a * dog runs", "token"))


def test_a_new_token_starts_as_a_word_of_the_vocabulary_if_it_is_there(base: Base) -> None:
    table: nn.Embedding = encoder_of(base).get_input_embeddings()
    assert torch.equal(base.text.start_embedding(5, "dog"), table.weight[5])
    assert torch.equal(base.text.start_embedding(42170, "dog"), text_of(base).word_embedding("dog"))
    assert torch.equal(base.text.start_embedding(None, "dog"), text_of(base).word_embedding("dog"))


def test_adapters_beside_layers_that_a_base_has_not_are_refused(base: Base) -> None:
    """By the kind that is missing, also where there are others of those asked for."""
    where = IDENTITY_LAYERS["cross-attention+feed-forward"]
    without = [site for site in base.sites if site.axis == "temporal" or site.kind != "feed_forward"]
    for sites in (without, identity_sites(base.sites)):
        with pytest.raises(InputError, match=r"no feed-forward layers .* choose other `layers`"):
            fresh(Bottlenecks(where), sites, base.labels, base.denoiser, condition_width=None, seed=0)
    found = fresh(Bottlenecks(where), base.sites, base.labels, base.denoiser, condition_width=None, seed=0)
    assert len(found.widths) == 2 * len(identity_sites(base.sites))
