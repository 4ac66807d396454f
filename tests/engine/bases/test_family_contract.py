"""What every family of bases keeps, whichever it is: no test here knows a family by name.

What is done with a base is in `test_family_learning.py`.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from math import prod
from pathlib import Path
from typing import TypeVar

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from engine.adapters.bottleneck import AdapterSet
from engine.adapters.choosing import IDENTITY, MOTION, SPATIAL
from engine.adapters.learnt import Learnt
from engine.adapters.low_rank import LowRankSet
from engine.adapters.weight_deltas import WeightDeltas
from engine.bases.base import Base
from engine.bases.families import FAMILIES, family_named
from engine.bases.family import Conditioning, Site
from engine.bases.fingerprint import fingerprint
from engine.bases.load import prompts_of
from engine.bases.location import BaseLocation, inspect_base
from engine.errors import BaseError, InputError
from tests.engine.bases.conftest import Sample
from tests.engine.bases.family_samples import FRAMES, SIZE, inputs, predicted

CONDITION = 24
_Weights = TypeVar("_Weights", bound=Learnt)


def filled(weights: _Weights, seed: int = 0, scale: float = 0.2) -> _Weights:
    """Weights as after learning: nothing is zero."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in weights.parameters().values():
            parameter.add_(torch.randn(parameter.shape, generator=generator) * scale)
    return weights


def forms(base: Base) -> list[Learnt]:
    """Adapters of every form, at all places that a family has for them."""
    matrices = [name for name, label in base.labels.items() if label.projection is not None and name.endswith("weight")]
    return [
        filled(AdapterSet.create(IDENTITY.sites(base.sites), 0.5, condition_width=None, seed=0), 1),
        filled(AdapterSet.create(MOTION.sites(base.sites), 0.5, condition_width=CONDITION, seed=0), 2),
        filled(LowRankSet.create(matrices, base.denoiser, 2, seed=0), 3),
        filled(WeightDeltas.create(SPATIAL.names(base.labels), base.denoiser), 4, 0.05),
    ]


# --- parts ---


def test_the_table_has_it_under_the_name_of_its_file(sample: Sample) -> None:
    family = family_named(sample.info.family)
    assert family in FAMILIES.values()
    assert sample.load().family is family
    assert type(family).__module__.rpartition(".")[2] == family.name


def test_each_missing_part_is_named_or_makes_it_a_base_of_another_family(sample: Sample, tmp_path: Path) -> None:
    parts = family_named(sample.info.family).parts
    assert {parts.denoiser, *parts.weights} <= set(parts.folders)
    for missing in parts.folders:
        folder = linked(sample.info.folder, tmp_path / missing, [part for part in parts.folders if part != missing])
        try:
            found = inspect_base(BaseLocation("mine", str(folder)))
        except BaseError as error:
            assert missing in str(error)
        else:
            assert found.family != sample.info.family


def linked(folder: Path, to: Path, parts: list[str]) -> Path:
    """A base of these parts of another."""
    to.mkdir()
    for part in parts:
        (to / part).symlink_to(folder / part)
    return to


def test_everything_is_frozen_and_in_eval_mode(family_base: Base) -> None:
    assert not any(parameter.requires_grad for parameter in family_base.denoiser.parameters())
    assert not any(module.training for module in family_base.denoiser.modules())
    assert not family_base.text.encode(["a dog"]).embeddings.requires_grad


def test_its_fingerprint_sees_every_part_with_weights(sample: Sample, tmp_path: Path) -> None:
    parts, seen = family_named(sample.info.family).parts, set()
    for changed in parts.weights:
        others = [part for part in (*parts.folders, "image_encoder") if part != changed]
        folder = linked(sample.info.folder, tmp_path / changed, others)
        shutil.copytree(sample.info.folder / changed, folder / changed)
        file = next((folder / changed).glob("*.safetensors"))
        save_file({name: tensor + 1 for name, tensor in load_file(file).items()}, file, metadata={"format": "pt"})
        seen.add(fingerprint(inspect_base(BaseLocation("mine", str(folder)))))
    assert len({fingerprint(sample.info), *seen}) == 1 + len(parts.weights)


def test_the_skeleton_is_the_denoiser_without_weights(sample: Sample, family_base: Base) -> None:
    skeleton = family_base.family.skeleton(sample.info)
    assert {p.device.type for p in skeleton.parameters()} == {"meta"}
    shapes = {name: tuple(parameter.shape) for name, parameter in family_base.denoiser.named_parameters()}
    assert {name: tuple(parameter.shape) for name, parameter in skeleton.named_parameters()} == shapes


def test_the_encoders_skeleton_makes_latents_of_the_codecs_shape(sample: Sample, family_base: Base) -> None:
    encoder = family_base.family.encoder_skeleton(sample.info.folder)
    assert {p.device.type for p in encoder.parameters()} == {"meta"}
    latents = encoder(torch.empty((1, 3, FRAMES, *SIZE), device="meta"))
    assert latents.numel() == prod(sample.info.layout.shape(FRAMES, SIZE))


# --- labels and sites ---


def test_labels_cover_every_parameter_and_the_axes_are_those_announced(family_base: Base) -> None:
    labels = family_base.labels
    assert labels.keys() == dict(family_base.denoiser.named_parameters()).keys()
    assert {label.axis for label in labels.values()} == family_base.family.axes
    assert {label.kind for label in labels.values()} == {"cross_attention", "self_attention", "feed_forward", "other"}
    assert {label.projection for label in labels.values()} == {None, "query", "key", "value", "output"}
    assert min(label.depth for label in labels.values()) == 0


def test_a_parameter_that_no_rule_knows_is_an_error(sample: Sample) -> None:
    base = sample.load()
    owners = ["", base.sites[0].name.rpartition(".")[0], base.sites[0].name.partition(".")[0]]
    for owner in owners:
        module = base.denoiser.get_submodule(owner)
        module.add_module("mystery", nn.Linear(2, 2))
        with pytest.raises(BaseError, match="mystery"):
            base.family.labels(base.denoiser)
        delattr(module, "mystery")
    assert base.family.labels(base.denoiser) == base.labels


def test_every_role_announced_has_sites_and_no_other(family_base: Base) -> None:
    assert {site.role for site in family_base.sites} - {None} == family_base.family.roles
    assert len({site.name for site in family_base.sites}) == len(family_base.sites)
    assert {site.axis for site in family_base.sites} <= family_base.family.axes


@torch.no_grad()
def test_an_adapter_at_any_site_acts_and_leaves_nothing(family_base: Base) -> None:
    bare = predicted(family_base)
    for site in family_base.sites:
        adapter = filled(AdapterSet.create([site], 0.5, condition_width=None, seed=0))
        with adapter.attached(family_base):
            assert not torch.equal(predicted(family_base), bare), site.name
        assert torch.equal(predicted(family_base), bare), site.name


@torch.no_grad()
def test_an_adapter_reads_the_state_before_the_norm_and_is_added_after_the_layer(family_base: Base) -> None:
    for site in family_base.sites:
        adapter = filled(AdapterSet.create([site], 0.5, condition_width=None, seed=0))
        with noted(site) as bare:
            predicted(family_base)
        with adapter.attached(family_base), noted(site) as adapted:
            predicted(family_base)
        assert bare.entering.shape == bare.leaving.shape
        assert (bare.entering.shape[0] % 2, bare.entering.shape[-1]) == (0, site.width)
        torch.testing.assert_close(adapted.entering, bare.entering)
        added = adapter.adapters[site.name](bare.entering)
        torch.testing.assert_close(adapted.leaving, bare.leaving + added, atol=1e-4, rtol=1e-3)


@dataclass
class Noted:
    """What enters a site's norm and what its layer gives, adapters and all."""

    entering: Tensor = field(default_factory=lambda: torch.zeros(()))
    leaving: Tensor = field(default_factory=lambda: torch.zeros(()))


@contextmanager
def noted(site: Site) -> Iterator[Noted]:
    found = Noted()

    def enter(_norm: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        found.entering = inputs[0]

    def leave(_layer: nn.Module, _inputs: tuple[Tensor, ...], output: Tensor) -> None:
        found.leaving = output

    handles = [site.norm.register_forward_pre_hook(enter), site.layer.register_forward_hook(leave)]
    try:
        yield found
    finally:
        for handle in handles:
            handle.remove()


@torch.no_grad()
def test_adapters_of_every_form_change_the_base_and_leave_it_bit_equal(family_base: Base) -> None:
    bare = predicted(family_base)
    before = {name: parameter.clone() for name, parameter in family_base.denoiser.named_parameters()}
    for weights in forms(family_base):
        with weights.attached(family_base):
            assert not torch.equal(predicted(family_base), bare), weights.form
            weights.strength = 0.0
            assert torch.equal(predicted(family_base), bare), weights.form
        assert torch.equal(predicted(family_base), bare), weights.form
    assert all(torch.equal(p, before[name]) for name, p in family_base.denoiser.named_parameters())


@torch.no_grad()
def test_each_sample_is_guided_by_its_own_image_embedding(family_base: Base) -> None:
    weights = forms(family_base)[1]
    noisy, timesteps, text = inputs(family_base)
    looks, strengths = torch.randn(2, CONDITION), torch.tensor([0.5, 1.0])
    with weights.attached(family_base):
        weights.condition(looks, strengths)
        together = family_base.predict(noisy, timesteps, text)
        for i in range(2):
            weights.condition(looks[i : i + 1], strengths[i : i + 1])
            alone = family_base.predict(noisy[i : i + 1], timesteps[i : i + 1], text.take(torch.tensor([i])))
            torch.testing.assert_close(together[i : i + 1], alone, atol=1e-4, rtol=1e-3)


# --- memory ---


def test_checkpointing_recomputes_and_gives_equal_gradients(family_base: Base) -> None:
    def gradients(checkpointing: bool) -> dict[str, Tensor]:
        weights = filled(AdapterSet.create(family_base.sites, 0.5, condition_width=None, seed=0))
        recomputing = family_base.family.checkpointed(family_base.denoiser) if checkpointing else nullcontext()
        with weights.attached(family_base), recomputing:
            family_base.predict(*inputs(family_base)).square().mean().backward()
        return {name: p.grad for name, p in weights.parameters().items() if p.grad is not None}

    with saved_values() as plain:
        expected = gradients(False)
    with saved_values() as recomputed:
        found = gradients(True)
    assert recomputed[0] < plain[0]
    assert found.keys() == expected.keys()
    for name, gradient in expected.items():
        torch.testing.assert_close(found[name], gradient, atol=1e-6, rtol=1e-5)
    assert all(parameter.grad is None for parameter in family_base.denoiser.parameters())


@contextmanager
def saved_values() -> Iterator[list[int]]:
    """How many values are kept for the backward pass."""
    count = [0]

    def pack(tensor: Tensor) -> Tensor:
        count[0] += tensor.numel()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        yield count


# --- codec ---


def test_windows_become_latents_of_the_shape_announced_and_come_back(family_base: Base) -> None:
    layout = family_base.layout
    windows = torch.rand(2, 3, 9, 16, 24, generator=torch.Generator().manual_seed(0)) * 2 - 1
    for frames in (1, 5, 9):
        mean, std = family_base.codec.encode(windows[:, :, :frames])
        assert mean.shape == std.shape == (2, *layout.shape(frames, (24, 16)))
        assert (std >= 0).all()
        decoded = family_base.codec.decode(mean)
        assert decoded.shape == (2, 3, frames, 16, 24)
        assert decoded.isfinite().all()
    alone, _ = family_base.codec.encode(windows[1:])
    torch.testing.assert_close(mean[1:], alone, atol=1e-5, rtol=1e-4)
    assert layout.size_multiple % layout.scale == 0


def test_a_window_is_encoded_whole_or_refused(family_base: Base) -> None:
    layout = family_base.layout
    for frames in range(1, 2 * layout.frame_step + 2):
        windows = torch.zeros(1, 3, frames, 16, 16)
        assert layout.fits(layout.trimmed(frames)) and layout.trimmed(frames) <= frames
        if layout.fits(frames):
            assert family_base.codec.encode(windows)[0].shape[2] == layout.latent_frames(frames)
        else:
            with pytest.raises(InputError, match=str(layout.trimmed(frames))):
                family_base.codec.encode(windows)


# --- text ---


@torch.no_grad()
def test_a_token_stands_where_the_prompt_has_it_and_nowhere_else(family_base: Base) -> None:
    text = family_base.text
    token = torch.randn(text.token_width, generator=torch.Generator().manual_seed(0))
    plain = text.encode(["a dog runs"])
    assert torch.equal(text.encode(["a dog runs"], token).embeddings, plain.embeddings)
    with_token, other = text.encode(["a * runs"], token), text.encode(["a * runs"], token + 1)
    assert not torch.equal(with_token.embeddings, other.embeddings)
    assert torch.equal(text.encode(["a dog runs"]).embeddings, plain.embeddings)


def test_only_the_token_gets_gradients(family_base: Base) -> None:
    token = family_base.text.start_embedding(None, "dog").requires_grad_()
    assert token.shape == (family_base.text.token_width,)
    noisy, timesteps, _ = inputs(family_base)
    family_base.predict(noisy, timesteps, family_base.text.encode(["a *"], token).expand(2)).square().mean().backward()
    assert token.grad is not None and token.grad.abs().max() > 0
    assert all(parameter.grad is None for parameter in family_base.denoiser.parameters())


def test_a_token_of_several_vectors_stands_in_a_row(sample: Sample, family_base: Base) -> None:
    text, prompts = family_base.text, prompts_of(sample.info)
    vectors = torch.randn(3, text.token_width, generator=torch.Generator().manual_seed(0), requires_grad=True)
    read = text.encode(["a * runs, and * jumps"], vectors)
    alike = vectors[:1].expand(3, -1)
    as_written = text.encode(["a *** runs"], vectors[0])
    torch.testing.assert_close(text.encode(["a * runs"], alike).embeddings, as_written.embeddings)
    assert not torch.equal(read.embeddings, text.encode(["a * runs, and * jumps"], vectors.flip(0)).embeddings)
    noisy, timesteps, _ = inputs(family_base)
    family_base.predict(noisy, timesteps, read.expand(2)).square().mean().backward()
    assert vectors.grad is not None and vectors.grad.abs().amax(dim=1).min() > 0
    assert prompts.fit("a * runs", vectors=3).tokens == prompts.fit("a * runs", vectors=1).tokens + 2


@torch.no_grad()
def test_a_token_that_is_cut_at_the_end_stands_by_its_first_vectors(sample: Sample, family_base: Base) -> None:
    text, prompts = family_base.text, prompts_of(sample.info)
    vectors = torch.randn(3, text.token_width, generator=torch.Generator().manual_seed(0))
    long = "a"
    while not prompts.fit(f"{long} *", vectors=3).dropped:
        long += " a"
    assert prompts.fit(f"{long} *", vectors=1).dropped == ""
    read = text.encode([f"{long} *"], vectors).embeddings
    assert torch.equal(read, text.encode([f"{long} *"], vectors * torch.tensor([[1.0], [1.0], [9.0]])).embeddings)
    assert not torch.equal(read, text.encode([f"{long} *"], vectors * torch.tensor([[-9.0], [1.0], [1.0]])).embeddings)


def test_a_token_needs_a_word_to_start_from(family_base: Base) -> None:
    with pytest.raises(InputError, match="empty"):
        family_base.text.start_embedding(None, " ")


@torch.no_grad()
def test_conditioning_is_taken_repeated_and_put_together(family_base: Base) -> None:
    prompts = ["a dog runs", "", "a cat"]
    together = family_base.text.encode(prompts)
    assert len(together) == 3
    parts = [family_base.text.encode([prompt]) for prompt in prompts]
    noisy, timesteps, _ = inputs(family_base)
    for text in (together.take(torch.tensor([2, 0])), Conditioning.cat([parts[2], parts[0]])):
        prediction = family_base.predict(noisy, timesteps, text)
        for i, part in enumerate((parts[2], parts[0])):
            alone = family_base.predict(noisy[i : i + 1], timesteps[i : i + 1], part)
            torch.testing.assert_close(prediction[i : i + 1], alone, atol=1e-4, rtol=1e-3)
    repeated = family_base.predict(noisy, timesteps, parts[0].expand(2))
    torch.testing.assert_close(
        repeated[1:], family_base.predict(noisy[1:], timesteps[1:], parts[0]), atol=1e-4, rtol=1e-3
    )


@torch.no_grad()
def test_it_tells_how_long_prompts_are_and_which_words_are_never_read(sample: Sample, family_base: Base) -> None:
    prompts = prompts_of(sample.info)
    short = prompts.fit("a dog runs", vectors=0)
    assert 0 < short.tokens <= short.limit == sample.info.text_tokens
    assert short.dropped == ""
    words = [f"{colour} dog" for colour in ("red", "blue") for _ in range(40)]
    long = " ".join(words)
    fit = prompts.fit(long, vectors=0)
    assert fit.tokens > fit.limit
    assert fit.dropped and long.endswith(fit.dropped)
    kept = long.removesuffix(fit.dropped)
    read = family_base.text.encode([long]).embeddings
    first = fit.dropped.split()[0]
    assert torch.equal(read, family_base.text.encode([f"{kept}{first} cat house"]).embeddings)
    assert not torch.equal(read, family_base.text.encode([" ".join(kept.split()[:-1])]).embeddings)
    assert "*" in prompts.fit(f"{long} *", vectors=1).dropped
    assert prompts.fit(f"a * {long}", vectors=1).dropped.find("*") == -1
