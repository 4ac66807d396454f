"""The family of `WanTransformer3DModel`: Wan 2.1, text to video, of any size (arXiv 2503.20314).

Every layer mixes space and time at once; a causal autoencoder makes one frame of latents of the first frame of a
window, and one of every four that follow; a flow is predicted. Photographs are windows of one frame.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
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
    ReadPart,
    Recommended,
    Role,
    Site,
    projection_of,
    whole,
)
from engine.errors import BaseError

if TYPE_CHECKING:
    from torch import Tensor, nn

    from engine.bases.location import BaseInfo
    from engine.bases.umt5 import Umt5Prompts

_TEXT_TOKENS = 512
"""Tokens of a prompt that Wan was trained with, unless the text encoder's config has `n_positions`, as T5's have. Wan's
has none; diffusers' pipeline fills up to the same."""
_SIDE = 480
"""Pixels along the shorter side that Wan was trained at first."""
_CHUNK = 4
"""Frames that diffusers' code for the autoencoder takes at a time, whatever its config says."""
_LAYERS: dict[str, LayerKind] = {
    "attn1": "self_attention",
    "norm1": "self_attention",
    "attn2": "cross_attention",
    "norm2": "cross_attention",
    "ffn": "feed_forward",
    "norm3": "feed_forward",
    "scale_shift_table": "other",
}
_MATRICES = {"to_q": "q", "to_k": "k", "to_v": "v", "to_out.0": "o"}
_NATIVE = {
    **{f"attn1.{ours}": f"self_attn.{theirs}" for ours, theirs in _MATRICES.items()},
    **{f"attn2.{ours}": f"cross_attn.{theirs}" for ours, theirs in _MATRICES.items()},
    "ffn.net.0.proj": "ffn.0",
    "ffn.net.2": "ffn.2",
}
"""A block's matrices in Wan's own code, by diffusers' names."""
_COMMON: dict[str, object] = {"offset_noise": 0.0, "hidden_width": 64, "gradient_checkpointing": True}
_RECOMMENDED: Recommended = {
    "subject": {**_COMMON, "size": [480, 480]},
    "motion": {**_COMMON, "size": [416, 240], "frames": 33, "fps": 16.0},
    "subject/lora": {"targets": "appearance"},
    "motion/lora": {"attention": "query-key"},
    "compose": {
        "size": [832, 480],
        "frames": 81,
        "fps": 16.0,
        "sampler": "unipc",
        "steps": 50,
        "guidance_scale": 5.0,
        "offset_noise": 0.0,
    },
}
"""Sizes, frames, rate, sampler and guidance are those of Wan's own examples. Of a hidden width of half of a layer's,
as in the paper, adapters would have a billion parameters in the larger model: 64 is DualReal's (ICCV 2025). Low-rank
updates of a subject and of a motion are of other matrices, so that no two are added on one."""


class Wan:
    """See `engine.bases.family.Family` for what each method answers."""

    name = "wan"
    parts = Parts(
        denoiser="transformer",
        folders=("transformer", "vae", "text_encoder", "tokenizer", "scheduler"),
        weights=("transformer", "text_encoder", "vae"),
        passing=("text_encoder",),
        wide=("vae",),
    )
    roles: frozenset[Role] = frozenset({"identity", "motion"})
    axes: frozenset[Axis] = frozenset({"joint", "embedding"})
    has_dropout = False
    recommended = _RECOMMENDED

    def facts(self, configs: Mapping[str, Config]) -> Facts:
        transformer, vae, index = configs["transformer"], configs["vae"], configs["model_index.json"]
        channels = whole(vae.get("z_dim"), 16)
        _refuse_others(transformer, index, channels)
        # Where a config leaves something out, the libraries' classes have these defaults.
        levels, halved = vae.get("dim_mult", [1, 2, 4, 4]), vae.get("temperal_downsample", [False, True, True])
        patch = transformer.get("patch_size", [1, 2, 2])
        if not (isinstance(levels, list) and isinstance(halved, list) and isinstance(patch, list) and len(patch) == 3):
            raise BaseError("the base's configs of vae or transformer have no lists where they must have some")
        if 2 ** sum(map(bool, halved)) != _CHUNK or patch[0] != 1:
            raise BaseError(
                f"the base's vae must make one frame of latents of {_CHUNK}, which are patches of one frame"
            )
        scale = 2 ** (len(levels) - 1)
        return Facts(
            layout=Layout(channels, scale, scale * whole(patch[1], 2), frame_step=_CHUNK),
            text_width=whole(transformer.get("text_dim"), 4096),
            text_tokens=whole(configs["text_encoder"].get("n_positions"), _TEXT_TOKENS),
            sample_size=_SIDE // scale,
            prediction_type=str(configs["scheduler"].get("prediction_type", "flow_prediction")),
        )

    def prompts(self, info: BaseInfo, read: ReadPart) -> Umt5Prompts:
        from transformers import T5TokenizerFast

        from engine.bases.umt5 import Umt5Prompts

        return Umt5Prompts(read(T5TokenizerFast, "tokenizer"), info.text_tokens)

    def load(self, info: BaseInfo, read: ReadPart, compute: Compute) -> Loaded:
        import torch
        from diffusers import (
            AutoencoderKLWan,
            FlowMatchEulerDiscreteScheduler,
            UniPCMultistepScheduler,
            WanTransformer3DModel,
        )
        from transformers import UMT5EncoderModel

        from engine.bases.objectives import objective_of
        from engine.bases.umt5 import Umt5Text
        from engine.bases.wan_blocks import opened
        from engine.bases.wan_vae import WanCodec

        schedulers: dict[str, Any] = {
            kind.__name__: kind for kind in (FlowMatchEulerDiscreteScheduler, UniPCMultistepScheduler)
        }
        scheduler = read(schedulers.get(info.scheduler, UniPCMultistepScheduler), "scheduler")
        return Loaded(
            denoiser=opened(read(WanTransformer3DModel, "transformer")),
            codec=WanCodec(read(AutoencoderKLWan, "vae", dtype=torch.float32), info.layout, compute),
            text=Umt5Text(
                lambda: read(UMT5EncoderModel, "text_encoder"),
                self.prompts(info, read),
                info.folder / "text_encoder",
                info.cross_attention_dim,
                compute,
            ),
            objective=objective_of(scheduler.config),
        )

    def skeleton(self, info: BaseInfo) -> nn.Module:
        import torch
        from diffusers import WanTransformer3DModel

        from engine.bases.wan_blocks import opened

        with torch.device("meta"):
            model = WanTransformer3DModel.from_config(WanTransformer3DModel.load_config(info.places["transformer"]))
            skeleton: nn.Module = opened(model).eval()
        return skeleton.requires_grad_(False)

    def encoder_skeleton(self, folder: Path) -> nn.Module:
        import torch
        from diffusers import AutoencoderKLWan

        from engine.bases.wan_vae import WindowEncoder

        with torch.device("meta"):
            return WindowEncoder(AutoencoderKLWan.from_config(AutoencoderKLWan.load_config(folder / "vae"))).eval()

    def sites(self, denoiser: nn.Module) -> list[Site]:
        """Identity adapters beside cross-attention, as in the paper (section 3.2); motion adapters beside
        self-attention and feed-forward, whose outputs a block weighs by gates of the time of denoising."""
        from engine.bases.wan_blocks import OpenBlock

        found = []
        for name, block in denoiser.named_modules():
            if not isinstance(block, OpenBlock):
                continue
            width = int(block.attn1.to_q.in_features)
            layers: tuple[tuple[str, nn.Module, nn.Module, LayerKind, Role, bool], ...] = (
                ("attn1", block.norm1, block.after_attn1, "self_attention", "motion", True),
                ("attn2", block.norm2, block.attn2, "cross_attention", "identity", False),
                ("ffn", block.norm3, block.after_ffn, "feed_forward", "motion", True),
            )
            found += [
                Site(f"{name}.{leaf}", norm, layer, width, "joint", kind, _depth(name), role, gives_sum)
                for leaf, norm, layer, kind, role, gives_sum in layers
            ]
        return found

    def labels(self, denoiser: nn.Module) -> dict[str, Label]:
        """Norms count with the layer that they feed; the projection of the text counts with cross-attention."""
        return {name: _label(name) for name, _ in denoiser.named_parameters()}

    def stored_in(self, name: str) -> str | None:
        return "transformer"

    def native_name(self, layer: str) -> str | None:
        place = re.fullmatch(r"(blocks\.\d+)\.(\w+\..+)", layer)
        native = _NATIVE.get(place.group(2)) if place is not None else None
        return f"{place.group(1)}.{native}" if place is not None and native is not None else None

    def predict(self, denoiser: nn.Module, noisy: Tensor, timesteps: Tensor, text: Conditioning) -> Tensor:
        prediction: Tensor = denoiser(noisy, timesteps, text.embeddings, return_dict=False)[0]
        return prediction

    def dropouts(self, denoiser: nn.Module) -> list[nn.Dropout]:
        return []

    @contextmanager
    def checkpointed(self, denoiser: nn.Module) -> Iterator[None]:
        """By block, as diffusers does it."""
        model: Any = denoiser
        model.enable_gradient_checkpointing()
        try:
            yield
        finally:
            model.disable_gradient_checkpointing()

    def block_cache(self, denoiser: nn.Module, threshold: float) -> AbstractContextManager[None]:
        """diffusers' own, which looks at guidance's two passes at once, since these are predicted at once."""
        from engine.bases.wan_blocks import skipping_blocks

        return skipping_blocks(denoiser, threshold)


WAN = Wan()


def _refuse_others(transformer: Config, index: Config, channels: int) -> None:
    """Refuse Wan's other models, which this family would load in part, or run without what they need."""
    reasons = {
        "it makes videos of images": transformer.get("image_dim") is not None
        or whole(transformer.get("in_channels"), 16) != channels,
        "it has two experts (Wan 2.2 A14B)": index.get("boundary_ratio") is not None,
        "it has a time of denoising for every place (Wan 2.2 TI2V)": bool(index.get("expand_timesteps")),
    }
    for reason, applies in reasons.items():
        if applies:
            raise BaseError(f"the base is no text-to-video model like Wan 2.1: {reason}, which dv doesn't know")


def _depth(name: str) -> int:
    return int(name.split(".")[1])


def _label(name: str) -> Label:
    if re.match(r"condition_embedder\.time_(embedder|proj)\.", name):
        return Label("embedding", "other", 0)
    if name.startswith("condition_embedder.text_embedder."):
        return Label("joint", "cross_attention", 0)
    if re.match(r"(patch_embedding|proj_out)\.|scale_shift_table$", name):
        return Label("joint", "other", 0)
    place = re.match(r"blocks\.\d+\.(\w+)", name)
    if place is None or place.group(1) not in _LAYERS:
        raise BaseError(f"the denoiser has a parameter {name}, which the family {Wan.name} does not know")
    return Label("joint", _LAYERS[place.group(1)], _depth(name), projection_of(name))
