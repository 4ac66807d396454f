"""DreamVideo (arXiv 2312.04433): its settings. Defaults are the paper's, or its authors' where the paper is silent.

The authors' are those of their published settings files for several videos ("playing guitar") and for one ("car turn").
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, Self

from engine.adapters.choosing import (
    IDENTITY_LAYERS,
    MOTION_LAYERS,
    Bottlenecks,
    Guidance,
    Token,
)
from engine.errors import InputError
from engine.methods.common import (
    Checked,
    IdentifierSettings,
    Method,
    MotionSettings,
    Part,
    Recipe,
    TokenSettings,
    called,
    setting,
)


@dataclass(frozen=True)
class AdapterSettings(Checked):
    """The bottlenecks that DreamVideo's methods train (paper, section 3.2; Tables A4 and A5)."""

    hidden_ratio: float = setting(
        0.5, "Adapter's hidden width over the layer's width.", least=0.001, below=100, needs="identity_adapter"
    )
    hidden_width: int | None = setting(
        None, "Adapter's hidden width itself, everywhere the same.", least=1, below=100_000, needs="identity_adapter"
    )
    placement: Literal["parallel", "serial"] = setting(
        "parallel",
        "Adapter beside the layer, or after it (serial).",
        choices=("parallel", "serial"),
        needs="identity_adapter",
    )


@dataclass(frozen=True)
class SubjectConfig(AdapterSettings, TokenSettings, IdentifierSettings):
    """Subject learning in two steps: textual inversion, then the identity adapter (paper, section 3.2)."""

    textual_identity: bool = setting(True, "Learn a token; without it the identifier and the class word are said.")
    token_steps: int = setting(3000, "Steps of textual inversion.", least=0, needs="textual_identity")
    token_learning_rate: float = setting(1e-4, "Learning rate of textual inversion.", least=0, needs="textual_identity")
    token_prompt: str = setting("a *", "Prompt of the training images; * is the new token.", needs="textual_identity")
    identity_adapter: bool = setting(True, "Learn the adapter.")
    layers: Literal[
        "cross-attention", "self-attention", "feed-forward", "attention", "cross-attention+feed-forward",
        "self-attention+feed-forward", "all",
    ] = setting(
        "cross-attention",
        "Layers of pictures that get an adapter: cross-attention, self-attention, feed-forward, two of them, or all.",
        choices=tuple(IDENTITY_LAYERS),
        needs="identity_adapter",
    )  # fmt: skip
    """The paper's is cross-attention, where text meets the picture (section 3.2). Where one layer mixes space and time
    (Wan), self-attention and feed-forward are a motion's, too: an adapter of each may sit beside the same layer."""
    adapter_steps: int = setting(800, "Steps of the identity adapter.", least=0, needs="identity_adapter")
    adapter_learning_rate: float = setting(
        1e-5, "Learning rate of the identity adapter.", least=0, needs="identity_adapter"
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.token_prompt.count("*") != 1:
            raise InputError(f'`token_prompt` is "{self.token_prompt}": it must hold exactly one *')
        if self.token_steps == self.adapter_steps == 0:
            raise InputError("`token_steps` and `adapter_steps` are both 0: there is nothing to learn")
        token, adapter = self.textual_identity and self.token_steps, self.identity_adapter and self.adapter_steps
        if not token and not adapter:
            raise InputError("neither a token nor an adapter is to be learnt: give one of them its steps back")


def subject_recipe(config: SubjectConfig) -> Recipe:
    """First a token, starting from the class word; then, the token frozen, an adapter at every spatial
    cross-attention, or beside other layers."""
    prompt = config.token_prompt if config.textual_identity else f"a {called(config.identifier)}"
    token = Part("token", ("token",), config.token_steps, config.token_learning_rate, prompt, "token_learning_rate")
    identity = Part(
        "identity", ("weights",), config.adapter_steps, config.adapter_learning_rate, prompt, "adapter_learning_rate"
    )
    adapters = Bottlenecks(IDENTITY_LAYERS[config.layers], config.hidden_ratio, config.hidden_width, config.placement)
    if not config.textual_identity:
        return Recipe((identity,), weights=adapters, word=called(config.identifier))
    if not config.identity_adapter:
        return Recipe((token,), Token(vectors=config.token_vectors))
    return Recipe((token, identity), Token(vectors=config.token_vectors), adapters)


@dataclass(frozen=True)
class MotionConfig(AdapterSettings, MotionSettings):
    """Motion learning: the motion adapter with appearance guidance (paper, section 3.2, A.2).

    Defaults are those for several videos; `for_clips` gives those for one.
    """

    layers: Literal["all", "attention", "feed-forward"] = setting(
        "all", "Temporal layers that get an adapter.", choices=("all", "attention", "feed-forward")
    )
    appearance_guidance: bool = setting(True, "Give the adapter the image embedding of a random frame.")
    p_image_zero: float = setting(
        0.0,
        "Probability of a zero image embedding.",
        least=0,
        below=1,
        needs="appearance_guidance",
        origin="authors",
    )
    appearance_strength: float = setting(
        1.0, "Strength of appearance guidance.", least=0, needs="appearance_guidance", origin="authors"
    )
    unconditional_appearance_strength: float = setting(
        0.0,
        "The same on the unconditional branch when sampling.",
        least=0,
        needs="appearance_guidance",
        origin="authors",
    )

    @classmethod
    def for_clips(cls, count: int) -> Self:
        """The defaults for `count` clips. A single one has batches of 1 (A.2), and the authors' own strengths.

        Steps are the paper's for both: about 1000 (A.2). The authors' file for a single clip trains 3000 and then
        composes with what was learnt after 1500.
        """
        if count > 1:
            return cls()
        return cls(batch_size=1, p_image_zero=0.5, unconditional_appearance_strength=1.0)


def motion_recipe(config: MotionConfig) -> Recipe:
    """Adapters at every layer of the temporal transformers, that look at a random frame of the clip."""
    guidance = None
    if config.appearance_guidance:
        guidance = Guidance(config.appearance_strength, config.p_image_zero, config.unconditional_appearance_strength)
    adapters = Bottlenecks(
        MOTION_LAYERS[config.layers], config.hidden_ratio, config.hidden_width, config.placement, guidance
    )
    return Recipe((Part("motion", ("weights",), config.steps, config.learning_rate),), weights=adapters)


SUBJECT = Method(
    "dreamvideo",
    "subject",
    SubjectConfig,
    subject_recipe,
    "a token; then adapters at spatial cross-attention",
    "section 3.2, A.1",
    lambda _images: SubjectConfig(),
)
MOTION = Method(
    "dreamvideo",
    "motion",
    MotionConfig,
    motion_recipe,
    "adapters at temporal attention and feed-forward, with appearance guidance",
    "section 3.2, A.2",
    MotionConfig.for_clips,
)
_A4 = "Table A4, C.2"
METHODS = (
    SUBJECT,
    SUBJECT.ablation("no-token", "the identity adapter without textual identity", "Table 5", textual_identity=False),
    SUBJECT.ablation("no-adapter", "the token without the identity adapter", "ours", identity_adapter=False),
    SUBJECT.ablation(
        "width-32", "the identity adapter, 32 wide, without textual identity", _A4,
        hidden_width=32, textual_identity=False,
    ),
    MOTION,
    MOTION.ablation("no-guidance", "without appearance guidance", "Table 5", appearance_guidance=False),
    MOTION.ablation("serial", "adapters after the layers, not beside them", "Table A5", placement="serial"),
    MOTION.ablation("attention", "adapters at temporal attention only", "Table A5", layers="attention"),
    MOTION.ablation("feed-forward", "adapters at temporal feed-forward only", "Table A5", layers="feed-forward"),
    MOTION.ablation("shuffled", "half of the windows with their frames shuffled", "ours", control="shuffled"),
    MOTION.ablation("still", "half of the windows with one frame that stands still", "ours", control="still"),
    MOTION.ablation(
        "width-32", "adapters, 32 wide, without appearance guidance", _A4,
        hidden_width=32, appearance_guidance=False,
    ),
)  # fmt: skip


@dataclass(frozen=True)
class ComposeConfig(Checked):
    """Sampling (paper, section 4.1 and appendix A)."""

    steps: int = setting(50, "Denoising steps.", least=1, below=1000)
    sampler: Literal["ddim", "dpm-solver++", "unipc", "euler"] = setting(
        "ddim",
        "What steps from noise to the video: ddim, dpm-solver++ (2M), unipc, or euler.",
        choices=("ddim", "dpm-solver++", "unipc", "euler"),
    )
    guidance_scale: float = setting(9.0, "Classifier-free guidance; 1 is off.", least=0)
    guidance_from: float = setting(
        0.0, "Share of the steps that pass before guidance acts.", least=0, below=1, origin="dv"
    )
    guidance_until: float = setting(
        1.0, "Share of the steps after which guidance no longer acts.", least=0, below=1, origin="dv"
    )
    """A step without guidance takes half of the work. In the middle of the steps guidance helps, early it costs variety
    and late it does next to nothing (Kynkaanniemi et al., arXiv 2404.07724)."""
    negative_prompt: str = setting("", "What guidance leads away from.", origin="authors")
    frames: int = setting(32, "Frames of the video.", least=1, below=10_000)
    size: tuple[int, int] = setting((256, 256), "Width and height of the video.", least=16, below=8192)
    fps: float = setting(8.0, "Frames a second of the file.", least=0.01, below=1000)
    cache: float = setting(
        0.0,
        "First Block Cache, where the base has it: a step whose first block changes less (0.1: by a tenth) reuses what "
        "the other blocks added before. 0 is off.",
        least=0,
        below=1,
        origin="dv",
    )
    eta: float = setting(0.0, "Of ddim: 0 is deterministic, 1 is DDPM.", least=0, below=1)
    offset_noise: float = setting(
        0.1, "Strength of the starting noise that is constant over a frame.", least=0, origin="authors"
    )
    subject_strength: float = setting(1.0, "Strength of the identity adapter; 0 leaves it out.", needs="subject")
    subject_delay: float = setting(
        0.0,
        "Share of the steps that pass before the identity adapter acts.",
        least=0,
        below=1,
        needs="subject",
        origin="dv",
    )
    """The early steps decide who moves where, the late ones what it looks like: delayed subject conditioning
    (FastComposer, arXiv 2305.10431, section 4.3)."""
    motion_strength: float = setting(1.0, "Strength of the motion adapter; 0 leaves it out.", needs="motion")
    motion_init: float = setting(
        0.0,
        "Share of the motion's own clip, inverted to noise, in the starting noise; 0 starts from fresh noise.",
        least=0,
        below=1,
        needs="motion",
        origin="authors",
    )
    """sqrt(s) * inverted + sqrt(1 - s) * fresh: the video moves more as the clip does. The authors take 0 to 0.5 with
    a motion of a single clip. The inversion costs four predictions a step."""
    motion_until: float = setting(
        1.0,
        "Share of the steps after which the motion adapter no longer acts.",
        least=0,
        below=1,
        needs="motion",
        origin="dv",
    )
    """Ours: the early steps decide what moves where; in the late ones a motion adapter mostly disturbs the looks."""
    appearance_strength: float | None = setting(
        None, "Strength of appearance guidance.", least=0, needs="motion", origin="authors", unset="the motion's own"
    )
    unconditional_appearance_strength: float | None = setting(
        None,
        "The same on the unconditional branch.",
        least=0,
        needs="motion",
        origin="authors",
        unset="the motion's own",
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.eta > 0 and self.sampler != "ddim":
            raise InputError(f"`eta` is {self.eta:g}, and {self.sampler} draws no noise: set it to 0, or choose ddim")
        if self.guidance_from >= self.guidance_until:
            raise InputError(
                f"`guidance_from` is {self.guidance_from:g} and `guidance_until` {self.guidance_until:g}: the first "
                "must be less, and for no guidance at all `guidance_scale` is 1"
            )

    def completed(self, learnt: Guidance | None = None) -> ComposeConfig:
        """The same, where no strengths of appearance guidance are set with those that a motion was learnt for."""
        own, first, second = learnt or Guidance(), self.appearance_strength, self.unconditional_appearance_strength
        return replace(
            self,
            appearance_strength=own.strength if first is None else first,
            unconditional_appearance_strength=own.unconditional_strength if second is None else second,
        )
