"""The family of AnimateDiff (arXiv 2307.04725): Stable Diffusion 1.5, or a fine-tune of it, with a motion module.

The module's temporal transformers stand behind those of the image model. A frame alone is a picture, and the image
model's: the motion module, which never saw less than its window, is left out. So subjects are learnt in the image
model, as its authors do (section 4.1), and a video of one frame is what the image model draws.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from engine.bases.family import (
    Compute,
    Conditioning,
    Config,
    Facts,
    Loaded,
    Parts,
    ReadPart,
    Recommended,
    whole,
)
from engine.bases.unets import (
    BLOCK,
    IMAGE_RULES,
    TRANSFORMER,
    FrameByFrameUNet,
    Rules,
    check_image_model,
    image_latents_facts,
    recomputed,
)
from engine.errors import BaseError

if TYPE_CHECKING:
    from torch import Tensor, nn

    from engine.bases.location import BaseInfo

_RULES: Rules = ((rf"{BLOCK}\.motion_modules\.\d+\.{TRANSFORMER}", "temporal"), *IMAGE_RULES)
_SCHEDULE = {"beta_schedule": "linear", "clip_sample": False}
"""The noise that motion modules are trained with, whatever the image model's own schedule is (authors' settings)."""
_CHANNELS = [320, 640, 1280, 1280]
"""Those of Stable Diffusion 1, which both libraries' classes have where a config leaves them out."""


class AnimateDiff(FrameByFrameUNet):
    """See `engine.bases.family.Family` for what each method answers."""

    name = "animatediff"
    rules = _RULES
    parts = Parts(
        denoiser="unet",
        folders=("unet", "motion_module", "vae", "text_encoder", "tokenizer", "scheduler"),
        weights=("unet", "motion_module", "text_encoder", "vae"),
        apart=("image_encoder", "motion_module"),
    )
    has_dropout = False
    # Motion modules are trained on 16 frames; guidance and noise are those of the library's pipeline.
    recommended: Recommended = MappingProxyType({
        "motion": {"frames": 16},
        "compose": {"frames": 16, "guidance_scale": 7.5, "offset_noise": 0.0},
    })  # fmt: skip

    def facts(self, configs: Mapping[str, Config]) -> Facts:
        """The module's positions are the most frames of a window. Raises `BaseError` where image model and motion
        module don't fit each other."""
        unet, module = configs["unet"], configs["motion_module"]
        if module.get("_class_name") != "MotionAdapter":
            raise BaseError(f"the motion module is a {module.get('_class_name')}: it must be a MotionAdapter")
        blocks, theirs = (config.get("block_out_channels", _CHANNELS) for config in (unet, module))
        if blocks != theirs:
            raise BaseError(f"the motion module is for an image model of widths {theirs}, and this one has {blocks}")
        check_image_model(configs)
        if module.get("conv_in_channels"):
            raise BaseError("the motion module takes a picture beside the text, which dv can't give")
        most = whole(module.get("motion_max_seq_length"), 32)
        return image_latents_facts(configs, text_width=1280, sample_size=64, most_frames=most)

    def load(self, info: BaseInfo, read: ReadPart, compute: Compute) -> Loaded:
        from diffusers import MotionAdapter, UNet2DConditionModel

        image_model, module = read(UNet2DConditionModel, "unet"), read(MotionAdapter, "motion_module")
        denoiser = self.skeleton(info)
        # Both call their parameters as the model of both does.
        denoiser.load_state_dict({**image_model.state_dict(), **module.state_dict()}, assign=True)
        return self.loaded(denoiser.eval().requires_grad_(False), _SCHEDULE, info, read, compute)

    def skeleton(self, info: BaseInfo) -> nn.Module:
        import torch
        from diffusers import MotionAdapter, UNet2DConditionModel, UNetMotionModel

        def bare(kind: Any, part: str) -> Any:
            return kind.from_config(kind.load_config(info.places[part]))

        with torch.device("meta"):
            image_model, module = bare(UNet2DConditionModel, "unet"), bare(MotionAdapter, "motion_module")
            model: nn.Module = UNetMotionModel.from_unet2d(image_model, module, load_weights=False)
        return model.eval().requires_grad_(False)

    def stored_in(self, name: str) -> str | None:
        return "motion_module" if ".motion_modules." in name else "unet"

    def predict(self, denoiser: nn.Module, noisy: Tensor, timesteps: Tensor, text: Conditioning) -> Tensor:
        frames = noisy.shape[2]
        with nullcontext() if frames > 1 else _without_motion(denoiser):
            prediction: Tensor = denoiser(noisy, timesteps, text.embeddings.repeat_interleave(frames, dim=0)).sample
        return prediction

    def dropouts(self, denoiser: nn.Module) -> list[nn.Dropout]:
        return []

    @contextmanager
    def checkpointed(self, denoiser: nn.Module) -> Iterator[None]:
        """At resnets and transformers of both kinds."""
        from diffusers.models.resnet import ResnetBlock2D
        from diffusers.models.transformers.transformer_2d import Transformer2DModel

        kinds = (ResnetBlock2D, Transformer2DModel)
        with recomputed(m for m in denoiser.modules() if isinstance(m, kinds) or _is_motion(m)):
            yield


ANIMATEDIFF = AnimateDiff()


def _is_motion(module: nn.Module) -> bool:
    from diffusers.models.unets.unet_motion_model import AnimateDiffTransformer3D

    return isinstance(module, AnimateDiffTransformer3D)


@contextmanager
def _without_motion(denoiser: nn.Module) -> Iterator[None]:
    """Every motion module gives what it takes, inside the context."""

    def unchanged(hidden_states: Tensor, *_: object, **__: object) -> Tensor:
        return hidden_states

    modules = [vars(module) for module in denoiser.modules() if _is_motion(module)]
    before = [attributes.get("forward") for attributes in modules]
    for attributes in modules:
        attributes["forward"] = unchanged
    try:
        yield
    finally:
        for attributes, own in zip(modules, before, strict=True):
            if own is None:
                del attributes["forward"]
            else:
                attributes["forward"] = own
