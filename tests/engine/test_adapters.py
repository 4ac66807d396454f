"""Adapters: where they sit, what they add, and that they leave no trace."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest
import torch
from diffusers import UNet3DConditionModel
from torch import Tensor
from torch.nn.functional import gelu

from engine.adapters.bottleneck import AdapterSet, identity_sites, motion_sites
from engine.bases.base import Base
from engine.bases.family import Conditioning, Site
from engine.bases.unet3d import UNET3D
from engine.errors import AdapterError
from tests.engine.unet3d_parts import encoder_of, vae_of

CONDITION = 24


@pytest.fixture(autouse=True)
def same_numbers() -> None:
    torch.manual_seed(0)


@pytest.fixture(scope="module")
def modelscope() -> UNet3DConditionModel:
    """ModelScope's denoiser without weights."""
    with torch.device("meta"):
        return UNet3DConditionModel(
            in_channels=4,
            block_out_channels=(320, 640, 1280, 1280),
            layers_per_block=2,
            attention_head_dim=64,
            cross_attention_dim=1024,
            norm_num_groups=32,
        )


def filled(adapters: AdapterSet, seed: int = 1) -> AdapterSet:
    """Weights as after learning: nothing is zero."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in adapters.parameters().values():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.2)
    return adapters


def identity_of(base: Base, seed: int = 1) -> AdapterSet:
    return filled(AdapterSet.create(identity_sites(base.sites), 0.5, condition_width=None, seed=0), seed)


def motion_of(base: Base, seed: int = 2) -> AdapterSet:
    return filled(AdapterSet.create(motion_sites(base.sites), 0.5, condition_width=CONDITION, seed=0), seed)


def inputs(batch: int = 2, frames: int = 3) -> tuple[Tensor, Tensor, Conditioning]:
    generator = torch.Generator().manual_seed(0)
    noisy = torch.randn((batch, 4, frames, 8, 8), generator=generator)
    text = torch.randn((batch, 16, 32), generator=generator)
    return noisy, torch.arange(batch) * 300 + 20, Conditioning(text)


@torch.no_grad()
def predicted(base: Base) -> Tensor:
    return base.predict(*inputs())


def number_of(adapters: AdapterSet) -> int:
    return sum(p.numel() for p in adapters.parameters().values())


# --- counts at full size ---


def test_modelscope_has_16_spatial_and_17_temporal_transformers(modelscope: UNet3DConditionModel) -> None:
    sites = UNET3D.sites(modelscope)
    assert len(identity_sites(sites)) == 16
    assert len(motion_sites(sites)) == 17 * 3
    widths = [s.width for s in identity_sites(sites)]
    assert {w: widths.count(w) for w in widths} == {320: 5, 640: 5, 1280: 6}
    assert [s.width for s in motion_sites(sites) if s.name.startswith("transformer_in.")] == [512] * 3


def test_trainable_parameters_are_the_papers(modelscope: UNet3DConditionModel) -> None:
    sites = UNET3D.sites(modelscope)
    with torch.device("meta"):
        identity = AdapterSet.create(identity_sites(sites), 0.5, condition_width=None, seed=0)
        motion = AdapterSet.create(motion_sites(sites), 0.5, condition_width=1024, seed=0)
        unguided = AdapterSet.create(motion_sites(sites), 0.5, condition_width=None, seed=0)
    assert number_of(identity) == 12_409_120
    assert number_of(motion) == 77_966_496
    assert number_of(unguided) == 38_016_096


def test_labels_sum_to_the_papers_figures(modelscope: UNet3DConditionModel) -> None:
    labels = UNET3D.labels(modelscope)
    sizes = {name: p.numel() for name, p in modelscope.named_parameters()}
    assert labels.keys() == sizes.keys()
    assert sum(sizes.values()) == 1_411_233_860
    assert sum(size for name, size in sizes.items() if labels[name].axis == "spatial") == 863_860_164
    kinds = {(label.axis, label.kind) for label in labels.values()}
    assert ("temporal", "cross_attention") not in kinds
    assert {("spatial", "cross_attention"), ("temporal", "self_attention"), ("temporal", "feed_forward")} <= kinds
    assert {label.depth for label in labels.values()} == {0, 1, 2, 3}


# --- formulas ---


def bottleneck(weights: Mapping[str, Tensor], site: str, x: Tensor, look: tuple[Tensor, Tensor] | None) -> Tensor:
    """GELU((x + lambda (e W_cond + b_cond)) W_down + b_down) W_up + b_up, written out; x is (B * n, T, C)."""
    if look is not None:
        embedding, strength = look
        seen = embedding @ weights[f"{site}/condition.weight"].T + weights[f"{site}/condition.bias"]
        rows = len(x) // len(embedding)
        x = x + (strength[:, None] * seen).repeat_interleave(rows, dim=0)[:, None, :]
    inner = gelu(x @ weights[f"{site}/down.weight"].T + weights[f"{site}/down.bias"])
    return inner @ weights[f"{site}/up.weight"].T + weights[f"{site}/up.bias"]


def block_of(base: Base, site: Site) -> Any:
    return base.denoiser.get_submodule(site.name.rpartition(".")[0])


def one_of(base: Base, choose: Callable[[list[Site]], list[Site]], leaf: str) -> Site:
    return next(s for s in choose(base.sites) if s.name.endswith(leaf) and "down_blocks" in s.name)


@pytest.mark.parametrize("strength", [1.0, 0.4, -0.5])
@torch.no_grad()
def test_identity_adapter_is_the_formula_at_a_block(base: Base, strength: float) -> None:
    site = one_of(base, identity_sites, ".attn2")
    adapters, block = identity_of(base), block_of(base, site)
    hidden, text = torch.randn(6, 16, site.width), torch.randn(6, 16, 32)
    h = hidden + block.attn1(block.norm1(hidden))
    added = bottleneck(adapters.state(), site.name, h, None)
    h = h + block.attn2(block.norm2(h), encoder_hidden_states=text) + strength * added
    expected = h + block.ff(block.norm3(h))
    adapters.strength = strength
    with adapters.attached(base):
        found = block(hidden, encoder_hidden_states=text)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("strengths", [(0.0, 0.0), (1.0, 1.0), (0.3, 0.3), (0.0, 1.0), (1.0, 0.3)])
@torch.no_grad()
def test_motion_adapter_is_the_formula_at_a_block(base: Base, strengths: tuple[float, float]) -> None:
    name = one_of(base, motion_sites, ".attn1").name.rpartition(".")[0]
    adapters = motion_of(base)
    block: Any = base.denoiser.get_submodule(name)
    weights, look = adapters.state(), (torch.randn(2, CONDITION), torch.tensor(strengths))
    hidden = torch.randn(2 * 9, 3, weights[f"{name}.attn1/down.weight"].shape[1])
    h = hidden
    for leaf, norm in (("attn1", block.norm1), ("attn2", block.norm2), ("ff", block.norm3)):
        h = h + getattr(block, leaf)(norm(h)) + bottleneck(weights, f"{name}.{leaf}", h, look)
    adapters.condition(*look)
    with adapters.attached(base):
        found = block(hidden)
    torch.testing.assert_close(found, h, atol=1e-5, rtol=1e-5)


@contextmanager
def written_out(base: Base, sets: list[tuple[AdapterSet, tuple[Tensor, Tensor] | None]]) -> Iterator[None]:
    """Every transformer block of the base computes the formulas itself."""
    names = {s.name.rpartition(".")[0] for s in base.sites}
    blocks = {name: base.denoiser.get_submodule(name) for name in names}

    def forward_of(name: str, block: Any) -> Callable[..., Tensor]:
        def forward(hidden: Tensor, encoder_hidden_states: Tensor | None = None, **_rest: object) -> Tensor:
            for leaf, norm in (("attn1", block.norm1), ("attn2", block.norm2), ("ff", block.norm3)):
                crossing = leaf == "attn2" and encoder_hidden_states is not None
                text = {"encoder_hidden_states": encoder_hidden_states} if crossing else {}
                out = getattr(block, leaf)(norm(hidden), **text)
                for adapters, look in sets:
                    if f"{name}.{leaf}" in adapters.adapters:
                        added = bottleneck(adapters.state(), f"{name}.{leaf}", hidden, look)
                        out = out + adapters.strength * added
                hidden = hidden + out
            return hidden

        return forward

    for name, block in blocks.items():
        block.forward = forward_of(name, block)
    try:
        yield
    finally:
        for block in blocks.values():
            del block.forward


@torch.no_grad()
def test_whole_model_is_the_formula_with_two_sets_at_once(base: Base) -> None:
    identity, motion = identity_of(base), motion_of(base)
    identity.strength, motion.strength = 0.7, 1.3
    look = (torch.randn(2, CONDITION), torch.tensor([0.3, 1.0]))
    bare = predicted(base)
    with written_out(base, []):
        torch.testing.assert_close(predicted(base), bare, atol=1e-5, rtol=1e-5)
    with written_out(base, [(identity, None), (motion, look)]):
        expected = predicted(base)
    motion.condition(*look)
    with identity.attached(base), motion.attached(base):
        found = predicted(base)
    assert (found - bare).abs().max() > 0.01
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)


@torch.no_grad()
def test_two_sets_of_one_kind_add_up(base: Base) -> None:
    first, second = identity_of(base, 1), identity_of(base, 5)
    second.strength = 0.5
    with written_out(base, [(first, None), (second, None)]):
        expected = predicted(base)
    with first.attached(base), second.attached(base):
        found = predicted(base)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)


@torch.no_grad()
def test_each_sample_is_seen_with_its_own_embedding(base: Base) -> None:
    """In a batch as alone: the guidance of one sample does not leak into another."""
    motion, embedding, strength = motion_of(base), torch.randn(2, CONDITION), torch.tensor([1.0, 0.3])
    noisy, timesteps, text = inputs()
    with motion.attached(base):
        motion.condition(embedding, strength)
        together = base.predict(noisy, timesteps, text)
        for i in range(2):
            motion.condition(embedding[i : i + 1], strength[i : i + 1])
            alone = base.predict(noisy[i : i + 1], timesteps[i : i + 1], text.take(torch.tensor([i])))
            torch.testing.assert_close(together[i : i + 1], alone, atol=1e-5, rtol=1e-4)


# --- without a trace ---


def test_fresh_adapters_change_nothing(base: Base) -> None:
    bare = predicted(base)
    fresh = AdapterSet.create(motion_sites(base.sites), 0.5, condition_width=CONDITION, seed=3)
    fresh.condition(torch.randn(2, CONDITION), torch.ones(2))
    with fresh.attached(base):
        assert torch.equal(predicted(base), bare)


def test_strength_zero_and_detaching_give_the_bare_base_to_the_bit(base: Base) -> None:
    bare = predicted(base)
    adapters, motion = identity_of(base), motion_of(base)
    motion.condition(torch.randn(2, CONDITION), torch.ones(2))
    with adapters.attached(base), motion.attached(base):
        assert not torch.equal(predicted(base), bare)
        adapters.strength = motion.strength = 0.0
        assert torch.equal(predicted(base), bare)
        adapters.strength = 1.0  # and back, as from one denoising step to the next
        assert not torch.equal(predicted(base), bare)
    assert torch.equal(predicted(base), bare)


def test_detaches_after_an_error(base: Base) -> None:
    bare = predicted(base)
    with pytest.raises(ZeroDivisionError), identity_of(base).attached(base):
        raise ZeroDivisionError
    assert torch.equal(predicted(base), bare)


# --- what fits ---


def test_a_layer_that_is_not_there_is_named(base: Base) -> None:
    there = base.sites[0]
    adapters = AdapterSet.create([replace(there, name="down_blocks.9.attn1")], 0.5, condition_width=None, seed=0)
    with pytest.raises(AdapterError, match=r"down_blocks\.9\.attn1 .* no such layer"), adapters.attached(base):
        pass


def test_another_width_is_named_and_nothing_stays_attached(base: Base) -> None:
    bare, sites = predicted(base), identity_sites(base.sites)
    wrong = replace(sites[-1], width=sites[-1].width * 2)
    adapters = filled(AdapterSet.create([*sites[:-1], wrong], 0.5, condition_width=None, seed=0))
    said = f"has width {wrong.width}, the base has width {wrong.width // 2}"
    with pytest.raises(AdapterError, match=said), adapters.attached(base):
        pass
    assert torch.equal(predicted(base), bare)


# --- gradients ---


def gradients(base: Base, adapters: AdapterSet) -> dict[str, Tensor]:
    parameters = adapters.parameters()
    base.predict(*inputs()).square().mean().backward()
    found = {name: p.grad.clone() for name, p in parameters.items() if p.grad is not None}
    for parameter in parameters.values():
        parameter.grad = None
    return found


def test_only_adapters_get_gradients(base: Base) -> None:
    identity, motion = identity_of(base), motion_of(base)
    motion.condition(torch.randn(2, CONDITION), torch.tensor([1.0, 0.3]))
    with identity.attached(base), motion.attached(base):
        base.predict(*inputs()).square().mean().backward()
    for adapters in (identity, motion):
        for name, parameter in adapters.parameters().items():
            assert parameter.grad is not None, name
            assert parameter.grad.abs().sum() > 0, name
    frozen = [*base.denoiser.parameters(), *encoder_of(base).parameters(), *vae_of(base).parameters()]
    assert all(p.grad is None and not p.requires_grad for p in frozen)


def test_only_the_token_gets_gradients(base: Base) -> None:
    noisy, timesteps, _ = inputs()
    token = base.text.start_embedding(None, "dog").requires_grad_()
    text = base.text.encode(["a *"], token).expand(2)
    base.predict(noisy, timesteps, text).square().mean().backward()
    assert token.grad is not None
    assert token.grad.abs().sum() > 0
    assert all(p.grad is None for p in [*base.denoiser.parameters(), *encoder_of(base).parameters()])


def test_checkpointing_recomputes_and_gives_equal_gradients(base: Base) -> None:
    adapters = motion_of(base)
    norm, calls = motion_sites(base.sites)[0].norm, []
    handle = norm.register_forward_hook(lambda *_: calls.append(1))
    try:
        with adapters.attached(base):
            plain = gradients(base, adapters)
            once = len(calls)
            with base.family.checkpointed(base.denoiser):
                recomputed = gradients(base, adapters)
            assert len(calls) - once == 2 * once
            assert gradients(base, adapters).keys() == plain.keys()
            assert len(calls) == 4 * once
    finally:
        handle.remove()
    assert recomputed.keys() == plain.keys()
    assert all(torch.equal(recomputed[name], plain[name]) for name in plain)


# --- state ---


@torch.no_grad()
def test_state_comes_back(base: Base) -> None:
    motion, look = motion_of(base), (torch.randn(2, CONDITION), torch.ones(2))
    again = AdapterSet.from_state(motion.state())
    assert again.widths == motion.widths
    assert again.state().keys() == motion.state().keys()
    motion.condition(*look)
    again.condition(*look)
    with motion.attached(base):
        expected = predicted(base)
    with again.attached(base):
        assert torch.equal(predicted(base), expected)


def test_state_is_a_copy_of_nothing_trainable(base: Base) -> None:
    state = identity_of(base).state()
    assert all(t.dtype == torch.float32 and t.device.type == "cpu" and not t.requires_grad for t in state.values())


def test_incomplete_state_is_refused(base: Base) -> None:
    state = identity_of(base).state()
    site = identity_sites(base.sites)[0].name
    for leaf in ("down.weight", "up.bias"):
        lacking = {k: v for k, v in state.items() if k != f"{site}/{leaf}"}
        with pytest.raises(AdapterError, match=site.replace(".", r"\.")):
            AdapterSet.from_state(lacking)


def test_seed_decides_the_start_and_nothing_else_random(base: Base) -> None:
    sites = identity_sites(base.sites)
    before = torch.random.get_rng_state()
    sets = [AdapterSet.create(sites, 0.5, condition_width=None, seed=s).state() for s in (1, 1, 2)]
    assert torch.equal(torch.random.get_rng_state(), before)
    assert all(torch.equal(sets[0][k], sets[1][k]) for k in sets[0])
    assert any(not torch.equal(sets[0][k], sets[2][k]) for k in sets[0])


def test_hidden_ratio_is_the_width(base: Base) -> None:
    sites = identity_sites(base.sites)
    adapters = AdapterSet.create(sites, 0.25, condition_width=None, seed=0)
    assert adapters.widths == {s.name: s.width // 4 for s in sites}
