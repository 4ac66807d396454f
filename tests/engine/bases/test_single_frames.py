"""A single frame takes the short way through a UNet's layers over frames, to where the long way leads."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from diffusers import UNet3DConditionModel
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from engine.adapters.bottleneck import AdapterSet
from engine.adapters.low_rank import LowRankSet
from engine.bases.base import Base
from engine.bases.load import load_base
from engine.bases.location import BaseLocation
from engine.bases.single_frames import shorten_for_single_frames
from tests.engine.bases.conftest import MakeBase


@pytest.fixture(scope="module")
def folder(make_base: MakeBase, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A base whose layers over frames, which start as nothing, do something."""
    folder = tmp_path_factory.mktemp("moving")
    shutil.copytree(make_base(), folder, dirs_exist_ok=True)
    unet = UNet3DConditionModel.from_pretrained(folder / "unet")
    with torch.no_grad():
        for parameter in unet.parameters():
            parameter.add_(0.05 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)))
    unet.save_pretrained(folder / "unet")
    return folder


@pytest.fixture
def base(folder: Path) -> Base:
    return load_base(BaseLocation("ours", str(folder)), device="cpu")


@pytest.fixture
def plain(folder: Path) -> UNet3DConditionModel:
    """As diffusers loads it."""
    return UNet3DConditionModel.from_pretrained(folder / "unet").eval()


def inputs(base: Base, frames: int) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    noisy = torch.randn(2, base.layout.channels, frames, 8, 8, generator=generator)
    return noisy, torch.tensor([100, 700]), torch.randn(2, 5, base.info.cross_attention_dim, generator=generator)


@pytest.mark.parametrize("frames", [1, 2, 5])
def test_predictions_are_those_of_the_library(base: Base, plain: UNet3DConditionModel, frames: int) -> None:
    given = inputs(base, frames)
    with torch.no_grad():
        torch.testing.assert_close(base.denoiser(*given).sample, plain(*given).sample, atol=1e-5, rtol=1e-5)


def test_gradients_and_adapters_over_frames_are_those_of_the_long_way(base: Base, plain: UNet3DConditionModel) -> None:
    def gradients(denoiser: nn.Module) -> list[Tensor]:
        base.denoiser, base.sites = denoiser, base.family.sites(denoiser)
        beside = AdapterSet.create(base.sites, 0.5, condition_width=None, seed=0)
        over_frames = [site for site in base.sites if (site.axis, site.kind) == ("temporal", "self_attention")]
        matrices = [f"{site.name}.to_v.weight" for site in over_frames]
        low_rank = LowRankSet.create(matrices, denoiser, 2, seed=0)
        trained = [*beside.parameters().values(), *low_rank.parameters().values()]
        with torch.no_grad():
            for parameter in trained:
                parameter.add_(0.1)
        with beside.attached(base), low_rank.attached(base):
            denoiser(*inputs(base, 1)).sample.square().mean().backward()
        assert all(parameter.grad is not None for parameter in trained)
        return [parameter.grad for parameter in trained if parameter.grad is not None]

    for short, long in zip(gradients(base.denoiser), gradients(plain), strict=True):
        torch.testing.assert_close(short, long, atol=1e-5, rtol=1e-4)


def test_a_single_frame_takes_less_work_and_several_take_as_much(base: Base, plain: UNet3DConditionModel) -> None:
    def operations(denoiser: nn.Module, frames: int) -> int:
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            denoiser(*inputs(base, frames))
        total: int = counter.get_total_flops()
        return total

    assert operations(base.denoiser, 1) < 0.9 * operations(plain, 1)
    assert operations(base.denoiser, 3) == operations(plain, 3)


def test_what_is_saved_is_what_it_was(base: Base, plain: UNet3DConditionModel) -> None:
    assert shorten_for_single_frames(plain).state_dict().keys() == base.denoiser.state_dict().keys()
    assert type(plain.conv_in) is nn.Conv2d
