"""What the families of UNets over Stable Diffusion's latents share: parts, names of layers, sites and labels by these.

Frames go through the autoencoder one by one; spatial and temporal layers are apart.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.bases.family import (
    Axis,
    Compute,
    Config,
    Facts,
    Label,
    LayerKind,
    Layout,
    Loaded,
    ReadPart,
    Role,
    Site,
    projection_of,
    whole,
)
from engine.errors import BaseError

if TYPE_CHECKING:
    from torch import nn

    from engine.bases.location import BaseInfo
    from engine.bases.text import ClipPrompts

Rules = tuple[tuple[str, Axis], ...]
"""Patterns of the names of parameters and sites, with their axis: a name that matches none of them is an error."""

BLOCK = r"(down_blocks\.\d+|mid_block|up_blocks\.\d+)"
TRANSFORMER = r"(norm|proj_in|proj_out|transformer_blocks\.\d+\.(attn1|attn2|ff|norm1|norm2|norm3))(\.|$)"
_RESNET = r"(norm1|conv1|time_emb_proj|norm2|conv2|conv_shortcut)\."
IMAGE_RULES: Rules = (
    (r"time_embedding\.(linear_1|linear_2|cond_proj)\.", "embedding"),
    (rf"{BLOCK}\.attentions\.\d+\.{TRANSFORMER}", "spatial"),
    (rf"{BLOCK}\.resnets\.\d+\.{_RESNET}", "spatial"),
    (rf"{BLOCK}\.(downsamplers|upsamplers)\.\d+\.conv\.", "spatial"),
    (r"conv_(in|norm_out|out)\.", "spatial"),
)
"""The layers that a UNet of images has."""


class FrameByFrameUNet:
    """What these families answer alike; see `engine.bases.family.Family` for what each method answers. `rules` are a
    family's own."""

    name: str
    rules: Rules
    roles: frozenset[Role] = frozenset({"identity", "motion"})
    axes: frozenset[Axis] = frozenset({"spatial", "temporal", "embedding"})
    block_cache = None

    def prompts(self, info: BaseInfo, read: ReadPart) -> ClipPrompts:
        from transformers import CLIPTokenizer

        from engine.bases.text import ClipPrompts

        return ClipPrompts(read(CLIPTokenizer, "tokenizer"), info.text_tokens)

    def loaded(
        self, denoiser: nn.Module, schedule: Mapping[str, Any], info: BaseInfo, read: ReadPart, compute: Compute
    ) -> Loaded:
        """What surrounds a family's own `denoiser`; `schedule` has what differs from the scheduler's config."""
        from diffusers import AutoencoderKL, DDIMScheduler
        from transformers import CLIPTextModel

        from engine.bases.codecs import PictureCodec
        from engine.bases.objectives import objective_of
        from engine.bases.text import ClipText

        return Loaded(
            denoiser=denoiser,
            codec=PictureCodec(read(AutoencoderKL, "vae"), compute),
            text=ClipText(read(CLIPTextModel, "text_encoder"), self.prompts(info, read), compute),
            objective=objective_of({**read(DDIMScheduler, "scheduler").config, **schedule}),
        )

    def encoder_skeleton(self, folder: Path) -> nn.Module:
        import torch
        from diffusers import AutoencoderKL

        from engine.bases.codecs import FrameEncoder

        with torch.device("meta"):
            return FrameEncoder(AutoencoderKL.from_config(AutoencoderKL.load_config(folder / "vae"))).eval()

    def sites(self, denoiser: nn.Module) -> list[Site]:
        """Attention and feed-forward layers of all transformer blocks.

        A spatial block has self-attention, cross-attention, feed-forward, and an inflated one self-attention over
        frames at its end; a temporal one has two self-attentions over frames, and a feed-forward. Identity adapters
        sit at every spatial cross-attention, motion adapters at every temporal layer (paper, sections 3.2 and 3.3).
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
                *([("attn_temp", block.norm_temp, block.attn_temp)] if hasattr(block, "attn_temp") else []),
            ):
                place = f"{name}.{leaf}"
                axis = self._axis(place)
                kind, width = _kind(place, axis), int(block.norm1.normalized_shape[0])
                found.append(Site(place, norm, layer, width, axis, kind, _depth(place, denoiser), _role(axis, kind)))
        return found

    def labels(self, denoiser: nn.Module) -> dict[str, Label]:
        """A label for every parameter; norms of a transformer block count with the layer that they feed."""
        labels = {}
        for name, _ in denoiser.named_parameters():
            axis = self._axis(name)
            labels[name] = Label(axis, _kind(name, axis), _depth(name, denoiser), projection_of(name))
        return labels

    def stored_in(self, name: str) -> str | None:
        return "unet"

    def native_name(self, layer: str) -> str | None:
        return None

    def _axis(self, name: str) -> Axis:
        for pattern, axis in self.rules:
            if re.match(pattern, name):
                return axis
        raise BaseError(f"the denoiser has a parameter {name}, which the family {self.name} does not know")


def check_image_model(configs: Mapping[str, Config]) -> None:
    """Raise `BaseError` for an image model that takes more than text."""
    unet, channels = configs["unet"], whole(configs["vae"].get("latent_channels"), 4)
    if whole(unet.get("in_channels"), 4) != channels:
        raise BaseError("the image model takes a picture beside the text, which dv can't give")
    if unet.get("addition_embed_type") or unet.get("encoder_hid_dim_type"):
        raise BaseError("the image model takes more than text (as SDXL does): dv knows Stable Diffusion 1")


def image_latents_facts(
    configs: Mapping[str, Config], *, text_width: int, sample_size: int, most_frames: int | None = None
) -> Facts:
    """What the configs of UNet, autoencoder and text encoder say; width and size are what the UNet's class has where
    its config leaves them out."""
    unet, vae, text = (configs[part] for part in ("unet", "vae", "text_encoder"))
    # Where a config leaves something out, the libraries' classes have these defaults.
    levels, halvings = (
        len(_listed(config.get("block_out_channels"), default))
        for config, default in ((unet, 4), (vae, 1))
    )  # fmt: skip
    scale = 2 ** (halvings - 1)
    channels = whole(vae.get("latent_channels"), 4)
    return Facts(
        layout=Layout(channels, scale, scale * 2 ** (levels - 1), most_frames=most_frames),
        text_width=whole(unet.get("cross_attention_dim"), text_width),
        text_tokens=whole(text.get("max_position_embeddings"), 77),
        sample_size=whole(unet.get("sample_size"), sample_size),
        prediction_type=str(configs["scheduler"].get("prediction_type", "epsilon")),
    )


@contextmanager
def recomputed(blocks: Iterable[Any]) -> Iterator[None]:
    """Recompute what these modules compute in the backward pass, inside the context."""
    from torch.utils.checkpoint import checkpoint

    chosen = list(blocks)
    for block in chosen:
        block.forward = partial(checkpoint, block.forward, use_reentrant=False)
    try:
        yield
    finally:
        for block in chosen:
            del block.forward


def _kind(name: str, axis: Axis) -> LayerKind:
    inner = re.search(r"transformer_blocks\.\d+\.(attn1|attn2|attn_temp|ff|norm1|norm2|norm3|norm_temp)", name)
    if inner is None:
        return "other"
    leaf = inner.group(1)
    if leaf in ("ff", "norm3"):
        return "feed_forward"
    return "cross_attention" if leaf in ("attn2", "norm2") and axis == "spatial" else "self_attention"


def _role(axis: Axis, kind: LayerKind) -> Role | None:
    if axis == "temporal":
        return "motion"
    return "identity" if kind == "cross_attention" else None


def _depth(name: str, denoiser: Any) -> int:
    levels = len(denoiser.config.block_out_channels)
    place = re.match(r"(down|up)_blocks\.(\d+)", name)
    if place is None:
        return levels - 1 if name.startswith("mid_block") else 0
    level = int(place.group(2))
    return level if place.group(1) == "down" else levels - 1 - level


def _listed(value: object, count: int) -> list[object]:
    return list(value) if isinstance(value, list) else [None] * count
