"""DreamVideo (arXiv 2312.04433): its settings. Defaults are the paper's, or its authors' where the paper is silent."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any

from engine.errors import InputError


def _setting(default: object, text: str, *, least: float | None = None, below: float | None = None) -> Any:
    """A field with its help text and the range that its values must lie in."""
    return field(default=default, metadata={"help": text, "least": least, "below": below})


@dataclass(frozen=True)
class _Checked:
    """A config that refuses values outside the ranges its fields give. Raises `InputError`."""

    def __post_init__(self) -> None:
        for f in fields(self):
            value, least, most = getattr(self, f.name), f.metadata.get("least"), f.metadata.get("below")
            for part in value if isinstance(value, tuple) else (value,):
                low = least is not None and part is not None and not part >= least
                high = most is not None and part is not None and not part <= most
                if low or high:
                    bounds = f"at least {least:g}" if most is None else f"between {least:g} and {most:g}"
                    option = "--" + f.name.replace("_", "-")
                    raise InputError(f"{option} is {part}: it must be {bounds}")


@dataclass(frozen=True)
class OptimizerConfig(_Checked):
    """What the learning of subjects and motions has in common (paper, appendix A; authors' code)."""

    batch_size: int = _setting(4, "Samples a step.", least=1)
    size: tuple[int, int] = _setting((256, 256), "Width and height of the training frames.", least=16)
    hidden_ratio: float = _setting(0.5, "Adapter's hidden width over the layer's width.", least=0.001)
    offset_noise: float = _setting(0.1, "Strength of the noise that is constant over a frame.", least=0)
    beta1: float = _setting(0.9, "AdamW's first beta.", least=0, below=0.9999999)
    beta2: float = _setting(0.999, "AdamW's second beta.", least=0, below=0.9999999)
    eps: float = _setting(1e-8, "AdamW's epsilon.", least=0)
    weight_decay: float = _setting(0.0, "AdamW's weight decay.", least=0)
    max_grad_norm: float | None = _setting(None, "Clip the gradient's norm to this.", least=0)
    gradient_accumulation: int = _setting(1, "Micro-batches a step; their mean gradient is applied.", least=1)
    gradient_checkpointing: bool = _setting(False, "Recompute activations: slower, far less memory.")
    snapshot_every: int = _setting(100, "Steps between the snapshots that --resume continues from.", least=1)
    seed: int = _setting(0, "Seed of everything random in the run.", least=0)


@dataclass(frozen=True)
class SubjectConfig(OptimizerConfig):
    """Subject learning in two steps: textual inversion, then the identity adapter (paper, section 3.2)."""

    token_steps: int = _setting(3000, "Steps of textual inversion.", least=0)
    token_learning_rate: float = _setting(1e-4, "Learning rate of textual inversion.", least=0)
    token_prompt: str = _setting("a *", "Prompt of the training images; * is the new token.")
    adapter_steps: int = _setting(800, "Steps of the identity adapter.", least=0)
    adapter_learning_rate: float = _setting(1e-5, "Learning rate of the identity adapter.", least=0)
    use_masks: bool = _setting(True, "Mask the loss where masks are found.")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.token_prompt.count("*") != 1:
            raise InputError(f'--token-prompt is "{self.token_prompt}": it must hold exactly one *')
        if self.token_steps == self.adapter_steps == 0:
            raise InputError("--token-steps and --adapter-steps are both 0: there is nothing to learn")


@dataclass(frozen=True)
class MotionConfig(OptimizerConfig):
    """Motion learning: the motion adapter with appearance guidance (paper, section 3.3).

    Defaults are the authors' shipped settings for several videos; `for_clips` gives those for one.
    """

    batch_size: int = _setting(2, "Clips a step.", least=1)
    steps: int = _setting(1000, "Steps of the motion adapter.", least=1)
    learning_rate: float = _setting(1e-5, "Learning rate of the motion adapter.", least=0)
    frames: int = _setting(32, "Frames of a training window.", least=1)
    fps: float = _setting(8.0, "Frame rate to which clips are thinned.", least=0.001)
    appearance_guidance: bool = _setting(True, "Give the adapter the image embedding of a random frame.")
    p_zero: float = _setting(0.5, "Probability of the empty caption.", least=0, below=1)
    p_image_zero: float = _setting(0.0, "Probability of a zero image embedding.", least=0, below=1)
    appearance_strength: float = _setting(1.0, "Strength of appearance guidance.", least=0)
    unconditional_appearance_strength: float = _setting(
        0.0, "The same on the unconditional branch when sampling.", least=0
    )

    @classmethod
    def for_clips(cls, count: int) -> MotionConfig:
        """The authors' settings for `count` clips: several ("playing guitar") or a single one ("car turn")."""
        if count > 1:
            return cls()
        return cls(batch_size=1, steps=3000, p_image_zero=0.5, unconditional_appearance_strength=1.0)


@dataclass(frozen=True)
class ComposeConfig(_Checked):
    """Sampling (paper, section 4.1 and appendix A; the strengths are the authors')."""

    steps: int = _setting(50, "DDIM steps.", least=1, below=1000)
    guidance_scale: float = _setting(9.0, "Classifier-free guidance; 1 is off.", least=0)
    negative_prompt: str = _setting("", "What guidance leads away from.")
    frames: int = _setting(32, "Frames of the video.", least=1)
    size: tuple[int, int] = _setting((256, 256), "Width and height of the video.", least=16)
    fps: float = _setting(8.0, "Frames a second of the file.", least=0.001)
    eta: float = _setting(0.0, "DDIM's eta: 0 is deterministic, 1 is DDPM.", least=0, below=1)
    offset_noise: float = _setting(0.1, "Strength of the starting noise that is constant over a frame.", least=0)
    subject_strength: float = _setting(1.0, "Strength of the identity adapter; 0 leaves it out.")
    motion_strength: float = _setting(1.0, "Strength of the motion adapter; 0 leaves it out.")
    appearance_strength: float = _setting(1.0, "Strength of appearance guidance.", least=0)
    unconditional_appearance_strength: float = _setting(0.0, "The same on the unconditional branch.", least=0)
