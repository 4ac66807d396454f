"""The family of `UNet3DConditionModel`: ModelScope, Zeroscope, and the embedded base.

Frames go through the autoencoder one by one; spatial and temporal layers are apart.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from engine.bases.family import (
    Axis,
    Compute,
    Conditioning,
    Config,
    Facts,
    Label,
    LayerKind,
    Layout,
    Loaded,
    Parts,
    Projection,
    ReadPart,
    Recommended,
    Role,
    Site,
)
from engine.errors import BaseError

if TYPE_CHECKING:
    from diffusers import UNet3DConditionModel
    from torch import Tensor, nn

    from engine.bases.location import BaseInfo
    from engine.bases.text import ClipPrompts

_PROJECTIONS: dict[str, Projection] = {"q": "query", "k": "key", "v": "value", "out": "output"}
_BLOCK = r"(down_blocks\.\d+|mid_block|up_blocks\.\d+)"
_TRANSFORMER = r"(norm|proj_in|proj_out|transformer_blocks\.\d+\.(attn1|attn2|ff|norm1|norm2|norm3))(\.|$)"
_RESNET = r"(norm1|conv1|time_emb_proj|norm2|conv2|conv_shortcut)\."
_AXES: tuple[tuple[str, Axis], ...] = (
    (r"time_embedding\.(linear_1|linear_2|cond_proj)\.", "embedding"),
    (rf"transformer_in\.{_TRANSFORMER}", "temporal"),
    (rf"{_BLOCK}\.temp_attentions\.\d+\.{_TRANSFORMER}", "temporal"),
    (rf"{_BLOCK}\.temp_convs\.\d+\.conv[1-4]\.", "temporal"),
    (rf"{_BLOCK}\.attentions\.\d+\.{_TRANSFORMER}", "spatial"),
    (rf"{_BLOCK}\.resnets\.\d+\.{_RESNET}", "spatial"),
    (rf"{_BLOCK}\.(downsamplers|upsamplers)\.\d+\.conv\.", "spatial"),
    (r"conv_(in|norm_out|out)\.", "spatial"),
)
"""Names of parameters and sites: one that matches none of these is an error."""


class UNet3D:
    """See `engine.bases.family.Family` for what each method answers."""

    name = "unet3d"
    parts = Parts(
        denoiser="unet",
        folders=("unet", "vae", "text_encoder", "tokenizer", "scheduler"),
        weights=("unet", "text_encoder", "vae"),
    )
    roles: frozenset[Role] = frozenset({"identity", "motion"})
    axes: frozenset[Axis] = frozenset({"spatial", "temporal", "embedding"})
    has_dropout = True
    recommended: Recommended = MappingProxyType({})

    def facts(self, configs: Mapping[str, Config]) -> Facts:
        unet, vae, text = (configs[part] for part in ("unet", "vae", "text_encoder"))
        # Where a config leaves something out, the libraries' classes have these defaults.
        levels, halvings = (
            len(_listed(config.get("block_out_channels"), default))
            for config, default in ((unet, 4), (vae, 1))
        )  # fmt: skip
        scale = 2 ** (halvings - 1)
        return Facts(
            layout=Layout(_whole(vae.get("latent_channels"), 4), scale, scale * 2 ** (levels - 1)),
            text_width=_whole(unet.get("cross_attention_dim"), 1024),
            text_tokens=_whole(text.get("max_position_embeddings"), 77),
            sample_size=_whole(unet.get("sample_size"), 32),
            prediction_type=str(configs["scheduler"].get("prediction_type", "epsilon")),
        )

    def prompts(self, info: BaseInfo, read: ReadPart) -> ClipPrompts:
        from transformers import CLIPTokenizer

        from engine.bases.text import ClipPrompts

        return ClipPrompts(read(CLIPTokenizer, "tokenizer"), info.text_tokens)

    def load(self, info: BaseInfo, read: ReadPart, compute: Compute) -> Loaded:
        from diffusers import AutoencoderKL, DDIMScheduler, UNet3DConditionModel
        from transformers import CLIPTextModel

        from engine.bases.codecs import PictureCodec
        from engine.bases.objectives import objective_of
        from engine.bases.text import ClipText

        return Loaded(
            denoiser=read(UNet3DConditionModel, "unet"),
            codec=PictureCodec(read(AutoencoderKL, "vae"), compute),
            text=ClipText(read(CLIPTextModel, "text_encoder"), self.prompts(info, read), compute),
            objective=objective_of(read(DDIMScheduler, "scheduler").config),
        )

    def skeleton(self, folder: Path) -> nn.Module:
        import torch
        from diffusers import UNet3DConditionModel

        with torch.device("meta"):
            model: nn.Module = UNet3DConditionModel.from_config(UNet3DConditionModel.load_config(folder / "unet"))
        return model.eval().requires_grad_(False)

    def encoder_skeleton(self, folder: Path) -> nn.Module:
        import torch
        from diffusers import AutoencoderKL

        from engine.bases.codecs import FrameEncoder

        with torch.device("meta"):
            return FrameEncoder(AutoencoderKL.from_config(AutoencoderKL.load_config(folder / "vae"))).eval()

    def sites(self, denoiser: nn.Module) -> list[Site]:
        """Attention and feed-forward layers of all transformer blocks.

        A spatial block has self-attention, cross-attention, feed-forward; a temporal one has two
        self-attentions over frames, and a feed-forward. Identity adapters sit at every spatial cross-attention,
        motion adapters at every layer of the temporal blocks (paper, sections 3.2 and 3.3).
        """
        from diffusers.models.attention import BasicTransformerBlock

        found = []
        for name, block in denoiser.named_modules():
            if not isinstance(block, BasicTransformerBlock):
                continue
            for leaf, norm, layer in (
                ("attn1", block.norm1, block.attn1),
                ("attn2", block.norm2, block.attn2),
                ("ff", block.norm3, block.ff),
            ):
                place = f"{name}.{leaf}"
                axis, kind, width = _axis(place), _kind(place), int(block.norm1.normalized_shape[0])
                found.append(Site(place, norm, layer, width, axis, kind, _depth(place, denoiser), _role(axis, kind)))
        return found

    def labels(self, denoiser: nn.Module) -> dict[str, Label]:
        """Norms of a transformer block count with the layer that they feed."""
        return {
            name: Label(_axis(name), _kind(name), _depth(name, denoiser), _projection(name))
            for name, _ in denoiser.named_parameters()
        }

    def predict(self, denoiser: nn.Module, noisy: Tensor, timesteps: Tensor, text: Conditioning) -> Tensor:
        prediction: Tensor = denoiser(noisy, timesteps, text.embeddings).sample
        return prediction

    def dropouts(self, denoiser: nn.Module) -> list[nn.Dropout]:
        """Those of the temporal convolutions, which the authors' code has active while it learns."""
        from torch import nn

        names = re.compile(rf"{_BLOCK}\.temp_convs\.")
        return [m for name, m in denoiser.named_modules() if isinstance(m, nn.Dropout) and names.match(name)]

    @contextmanager
    def checkpointed(self, denoiser: nn.Module) -> Iterator[None]:
        """At resnets, convolutions and transformers: diffusers' own checkpointing isn't for this class."""
        from diffusers.models.resnet import ResnetBlock2D, TemporalConvLayer
        from diffusers.models.transformers.transformer_2d import Transformer2DModel
        from diffusers.models.transformers.transformer_temporal import TransformerTemporalModel
        from torch.utils.checkpoint import checkpoint

        kinds = (ResnetBlock2D, TemporalConvLayer, Transformer2DModel, TransformerTemporalModel)
        blocks: list[Any] = [m for m in denoiser.modules() if isinstance(m, kinds)]
        for block in blocks:
            block.forward = partial(checkpoint, block.forward, use_reentrant=False)
        try:
            yield
        finally:
            for block in blocks:
                del block.forward


UNET3D = UNet3D()


def _axis(name: str) -> Axis:
    for pattern, axis in _AXES:
        if re.match(pattern, name):
            return axis
    raise BaseError(f"the denoiser has a parameter {name}, which the family {UNet3D.name} does not know")


def _kind(name: str) -> LayerKind:
    inner = re.search(r"transformer_blocks\.\d+\.(attn1|attn2|ff|norm1|norm2|norm3)", name)
    if inner is None:
        return "other"
    leaf = inner.group(1)
    if leaf in ("ff", "norm3"):
        return "feed_forward"
    return "cross_attention" if leaf in ("attn2", "norm2") and _axis(name) == "spatial" else "self_attention"


def _role(axis: Axis, kind: LayerKind) -> Role | None:
    if axis == "temporal":
        return "motion"
    return "identity" if kind == "cross_attention" else None


def _projection(name: str) -> Projection | None:
    inner = re.search(r"\.attn[12]\.to_(q|k|v|out)\b", name)
    return _PROJECTIONS[inner.group(1)] if inner is not None else None


def _depth(name: str, denoiser: UNet3DConditionModel) -> int:
    levels = len(denoiser.config.block_out_channels)
    place = re.match(r"(down|up)_blocks\.(\d+)", name)
    if place is None:
        return levels - 1 if name.startswith("mid_block") else 0
    level = int(place.group(2))
    return level if place.group(1) == "down" else levels - 1 - level


def _listed(value: object, count: int) -> list[object]:
    return list(value) if isinstance(value, list) else [None] * count


def _whole(value: object, default: int) -> int:
    return value if isinstance(value, int) else default
