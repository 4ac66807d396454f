"""What every customization method is made of: settings with their ranges, and a recipe of what is trained."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, Literal, Self

from engine.adapters.choosing import Bottlenecks, Form, Guidance, Token, Trained
from engine.errors import InputError
from engine.prompts import MOST_VECTORS, PLACEHOLDER
from engine.settings import MOST_SEED, check_number

Kind = Literal["subject", "motion"]
Origin = Literal["paper", "authors", "dv"]
"""Who says a default: the paper's text; the published code and settings files of its authors, where the paper is
silent; or dv, for what neither of them has, whose default is neutral."""
CLASS = "{class}"
"""Where a method's prompt says the class word."""


def setting(
    default: object,
    text: str,
    *,
    least: float | None = None,
    below: float | None = None,
    choices: tuple[str, ...] = (),
    needs: str = "",
    origin: Origin = "paper",
    unset: str = "off",
) -> Any:
    """A field with its help text and the range, or the choice, that its values must lie in.

    `needs` is what nothing reads the field without: a flag of the config, or, for composing, a kind of adapter.
    `origin` is who says the default, `unset` what a default of None means.
    """
    about = {
        "help": text, "least": least, "below": below, "choices": choices, "needs": needs, "origin": origin,
        "unset": unset,
    }  # fmt: skip
    return field(default=default, metadata=about)


def switch_of(config: Checked, name: str) -> str | None:
    """The flag without which nothing reads the setting `name`, where `config` has it off; None where it is read."""
    about = {f.name: f.metadata.get("needs", "") for f in fields(config)}
    flag = about.get(name, "")
    return flag if flag in about and not getattr(config, flag) else None


def check_read(config: Checked, given: Iterable[str]) -> None:
    """Raise `InputError` for a setting that was `given` and that nothing reads, as a flag of `config` is off."""
    for name in given:
        flag = switch_of(config, name)
        if flag is not None:
            raise InputError(f"`{name}` is read with `{flag}` only, which is off here: leave one of the two out")


@dataclass(frozen=True)
class Checked:
    """A config that refuses values outside the ranges its fields give. Raises `InputError`."""

    def __post_init__(self) -> None:
        for f in fields(self):
            value, least, most = getattr(self, f.name), f.metadata.get("least"), f.metadata.get("below")
            named = f"`{f.name}`"
            for part in value if isinstance(value, tuple) else (value,):
                if isinstance(part, int | float) and not isinstance(part, bool):
                    check_number(named, part, least=least, most=most)
            if (choices := f.metadata.get("choices")) and value not in choices:
                raise InputError(f"{named} is {value}: it must be one of {', '.join(choices)}")


@dataclass(frozen=True)
class TrainingConfig(Checked):
    """What all training has in common: how noisy samples are made, and how weights are updated (paper, appendix A)."""

    batch_size: int = setting(4, "Samples a step.", least=1, below=10_000)
    size: tuple[int, int] = setting(
        (256, 256), "Width and height of the training frames.", least=16, below=8192, origin="authors"
    )
    offset_noise: float = setting(
        0.1, "Strength of the noise that is constant over a frame.", least=0, origin="authors"
    )
    noise_bias: float = setting(
        1.0,
        "How much noisy timesteps are preferred; 1 is not at all, below 1 it is the clean ones.",
        least=0.1,
        origin="dv",
    )
    learning_rate_decay: float = setting(
        0.0,
        "Share of a part's steps, its last ones, over which the learning rate falls to zero.",
        least=0,
        below=1,
        origin="authors",
    )
    optimizer: Literal["adamw", "muon"] = setting(
        "adamw", "What updates the weights; muon takes matrices and kernels, AdamW the rest.", choices=("adamw", "muon")
    )
    beta1: float = setting(0.9, "AdamW's first beta.", least=0, below=0.9999999)
    beta2: float = setting(0.999, "AdamW's second beta.", least=0, below=0.9999999)
    eps: float = setting(1e-8, "AdamW's epsilon.", least=0)
    weight_decay: float = setting(0.0, "AdamW's weight decay.", least=0)
    max_grad_norm: float | None = setting(None, "Clip the gradient's norm to this.", least=0, origin="dv")
    gradient_accumulation: int = setting(
        1, "Micro-batches a step; their mean gradient is applied.", least=1, origin="dv"
    )
    dropout: float = setting(
        0.0, "Share of activations that the base's layers over frames drop while learning.", least=0, below=0.9,
        origin="dv",
    )  # fmt: skip
    """The authors' code has 0.1 in temporal convolutions, of which the paper says nothing. With it an adapter learns
    beside another base than the one it is used in, and every loss is noisier."""
    gradient_checkpointing: bool = setting(False, "Recompute activations: slower, far less memory.", origin="dv")
    snapshot_every: int = setting(
        100, "Steps between the snapshots that a stopped run goes on from.", least=1, origin="dv"
    )
    seed: int = setting(0, "Seed of everything random in the run.", least=0, below=MOST_SEED, origin="dv")


@dataclass(frozen=True)
class OptimizerConfig(TrainingConfig):
    """What the learning of subjects and motions has in common (paper, appendix A, at batch size 4 for subjects)."""

    keep_every: int = setting(
        0, "Steps between those that are kept, to compose with as NAME@N:STEP; 0 keeps none.", least=0, origin="dv"
    )
    held_out_every: int = setting(
        100, "Steps between measurements of the held-out loss; 0 measures nothing.", least=0, origin="dv"
    )
    hold_out: int = setting(
        0, "Images or clips, the last ones, that the held-out loss is of and nothing is learnt from.", least=0,
        origin="dv",
    )  # fmt: skip
    """With 0 the held-out loss is of what is learnt from too, at noise and levels that no step has."""
    preview_every: int = setting(0, "Steps between short videos of what is learnt so far; 0 makes none.", least=0,
                                 origin="dv")  # fmt: skip
    preview_prompt: str = setting(
        "", 'Their prompt; where it is empty, "a *" for a subject and the clips\' own for a motion.', origin="dv"
    )


@dataclass(frozen=True)
class SubjectSettings(OptimizerConfig):
    """What all methods of subject learning read."""

    use_masks: bool = setting(True, "Mask the loss where masks are found.", origin="authors")
    shift: float = setting(
        0.0, "Shift training images at random, by up to this share of their sides.", least=0, below=0.5, origin="dv"
    )
    """What stands in the middle of every photograph is learnt as something that stands in the middle."""
    aspect_ratios: bool = setting(
        False, "Keep the images' aspect ratios, at about the area of the training frames, instead of a centre crop.",
        origin="dv",
    )  # fmt: skip
    """Each image has the nearest of the sizes that the base takes, and a batch is of one size (multi-aspect training:
    SDXL, arXiv 2307.01952, section 2.3). The paper and its authors crop to a square."""


@dataclass(frozen=True)
class IdentifierSettings(SubjectSettings):
    """Subjects called by a rare word and their class word, "a sks dog" (DreamBooth, arXiv 2208.12242)."""

    identifier: str = setting("sks", "Rare word that calls a subject without a token of its own.")

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.identifier.strip() or PLACEHOLDER in self.identifier or " " in self.identifier:
            raise InputError(f'`identifier` is "{self.identifier}": it must be one word, as in `identifier` sks')


def called(identifier: str) -> str:
    """What stands for a subject that is called so: `sks {class}`."""
    return f"{identifier} {CLASS}"


@dataclass(frozen=True)
class MotionSettings(OptimizerConfig):
    """What all methods of motion learning read (paper, appendix A.2)."""

    batch_size: int = setting(2, "Clips a step.", least=1, below=10_000)
    steps: int = setting(1000, "Steps of training.", least=1)
    learning_rate: float = setting(1e-5, "Learning rate.", least=0)
    frames: int = setting(32, "Frames of a training window.", least=2, below=10_000, origin="authors")
    fps: float = setting(8.0, "Frame rate to which clips are thinned.", least=0.001, below=1000, origin="authors")
    p_zero: float = setting(0.5, "Probability of the empty caption.", least=0, below=1, origin="authors")
    control: Literal["none", "shuffled", "still"] = setting(
        "none",
        "What half of the windows hold instead: their frames shuffled, or one frame that stands still.",
        choices=("none", "shuffled", "still"),
        origin="dv",
    )

    @classmethod
    def for_clips(cls, count: int) -> Self:
        """The defaults for `count` clips: a single one has batches of 1 (A.2)."""
        return cls() if count > 1 else cls(batch_size=1)


@dataclass(frozen=True)
class TokenSettings(Checked):
    """What all methods that learn a token read."""

    token_vectors: int = setting(
        1, "Vectors of the new token, which stand in a prompt in a row.", least=1, below=MOST_VECTORS + 1,
        needs="textual_identity", origin="dv",
    )  # fmt: skip
    """More hold more of a subject's looks, and leave less room for the other words of a prompt (arXiv 2208.01618,
    section 5.1)."""


@dataclass(frozen=True)
class Part:
    """One stretch of training. `prompt` is that of a subject's images, with the class word as `{class}`;
    a motion's prompts are its clips' own."""

    name: str
    trains: tuple[Literal["token", "weights"], ...]
    steps: int
    learning_rate: float
    prompt: str = ""
    rate_setting: str = "learning_rate"
    """The setting that the learning rate comes from."""


@dataclass(frozen=True)
class Recipe:
    """What a method does: its parts in order, and what they train. `word` stands for a subject in prompts.
    `starts_from_clips`: compositions start from the latents of a clip, inverted, and not from noise that is drawn."""

    parts: tuple[Part, ...]
    token: Token | None = None
    weights: Trained | None = None
    word: str = PLACEHOLDER
    starts_from_clips: bool = False

    @property
    def vectors(self) -> int:
        """How many vectors stand for a `*` in prompts: none where no token is learnt."""
        return 0 if self.token is None else self.token.vectors

    @property
    def form(self) -> Form | None:
        """The form of the weights that are trained, if any are."""
        return None if self.weights is None else self.weights.form

    @property
    def guidance(self) -> Guidance | None:
        """The appearance guidance that is learnt with, if any."""
        return self.weights.guidance if isinstance(self.weights, Bottlenecks) else None


@dataclass(frozen=True)
class Method:
    """A way to learn a subject or a motion: sourced defaults, and one function from settings to a recipe.

    `defaults` are those for a number of sources, `changed` what an ablation sets otherwise. `summary` says
    what is trained, `source` where the defaults come from. `families` are those of the bases that it is a method on;
    none: all that have what it trains.
    """

    name: str
    kind: Kind
    config: type[OptimizerConfig]
    recipe: Callable[[Any], Recipe]
    summary: str
    source: str
    defaults: Callable[[int], Any]
    changed: Mapping[str, object] = field(default_factory=dict)
    families: tuple[str, ...] = ()

    def settings(self, sources: int = 2) -> OptimizerConfig:
        """The paper's settings for a number of images or clips."""
        config: OptimizerConfig = replace(self.defaults(sources), **self.changed)
        return config

    def ablation(self, suffix: str, summary: str, source: str, **changed: object) -> Method:
        """The same method with other defaults, under a name of its own."""
        return replace(self, name=f"{self.name}-{suffix}", summary=summary, source=source, changed=changed)
