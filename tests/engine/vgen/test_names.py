"""VGen's names, on ModelScope's full configuration without weights."""

from __future__ import annotations

from math import prod

import pytest
from torch import nn

from engine.bases.unet3d import UNET3D
from engine.errors import BaseError
from engine.methods.page import modelscope_skeleton
from engine.vgen.adapters import names_in
from engine.vgen.names import VgenNames


@pytest.fixture(scope="module")
def denoiser() -> nn.Module:
    model: nn.Module = modelscope_skeleton()
    return model


@pytest.fixture(scope="module")
def names(denoiser: nn.Module) -> VgenNames:
    return names_in(denoiser)


def test_all_1480_parameters_have_a_name_of_their_own(denoiser: nn.Module, names: VgenNames) -> None:
    theirs = [names.of(name) for name, _ in denoiser.named_parameters()]
    assert len(theirs) == len(set(theirs)) == 1480
    blocks = {".".join(name.split(".")[:2]) for name in theirs}
    assert blocks >= {f"input_blocks.{i}" for i in range(12)} | {f"output_blocks.{i}" for i in range(12)}


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ("time_embedding.linear_2.bias", "time_embed.2.bias"),
        ("conv_in.weight", "input_blocks.0.0.weight"),
        ("transformer_in.proj_in.weight", "input_blocks.0.1.proj_in.weight"),
        ("conv_norm_out.weight", "out.0.weight"),
        ("conv_out.bias", "out.2.bias"),
        ("down_blocks.0.resnets.0.norm1.weight", "input_blocks.1.0.in_layers.0.weight"),
        ("down_blocks.0.resnets.1.conv2.bias", "input_blocks.2.0.out_layers.3.bias"),
        ("down_blocks.0.downsamplers.0.conv.weight", "input_blocks.3.op.weight"),
        ("down_blocks.1.resnets.0.conv_shortcut.weight", "input_blocks.4.0.skip_connection.weight"),
        ("down_blocks.1.temp_convs.1.conv4.3.weight", "input_blocks.5.0.temopral_conv.conv4.3.weight"),
        ("down_blocks.2.temp_attentions.1.norm.weight", "input_blocks.8.2.norm.weight"),
        ("down_blocks.3.resnets.1.time_emb_proj.weight", "input_blocks.11.0.emb_layers.1.weight"),
        ("mid_block.resnets.1.conv1.weight", "middle_block.3.in_layers.2.weight"),
        ("mid_block.temp_convs.1.conv1.0.bias", "middle_block.3.temopral_conv.conv1.0.bias"),
        ("mid_block.temp_attentions.0.proj_out.bias", "middle_block.2.proj_out.bias"),
        ("up_blocks.0.upsamplers.0.conv.weight", "output_blocks.2.1.conv.weight"),
        ("up_blocks.1.attentions.2.proj_in.bias", "output_blocks.5.1.proj_in.bias"),
        ("up_blocks.1.upsamplers.0.conv.bias", "output_blocks.5.3.conv.bias"),
        ("up_blocks.3.resnets.2.norm2.bias", "output_blocks.11.0.out_layers.0.bias"),
        (
            "up_blocks.3.temp_attentions.0.transformer_blocks.0.ff.net.0.proj.weight",
            "output_blocks.9.2.transformer_blocks.0.ff.net.0.proj.weight",
        ),
    ],
)
def test_names_are_the_authors(names: VgenNames, ours: str, theirs: str) -> None:
    assert names.of(ours) == theirs


def test_adapters_at_full_size_have_the_authors_number_of_keys_and_values(denoiser: nn.Module) -> None:
    sites = UNET3D.sites(denoiser)
    for role, leaves, keys, values in (("identity", 4, 64, 12_409_120), ("motion", 6, 306, 77_966_496)):
        chosen = [site for site in sites if site.role == role]
        assert len(chosen) * leaves == keys
        widths = [site.width for site in chosen]
        count = sum(2 * prod((w, w // 2)) + w // 2 + w for w in widths)
        count += sum(1024 * w + w for w in widths) if role == "motion" else 0
        assert count == values


def test_a_name_that_they_do_not_have_is_an_error(names: VgenNames) -> None:
    for name in ("mystery.weight", "down_blocks.0.mystery.0.weight", "mid_block.resnets.2.norm1.weight"):
        with pytest.raises(BaseError, match="VGen has no name"):
            names.of(name)
