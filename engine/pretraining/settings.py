"""Every setting of the recipe, in one place.

`CPU` is meant for hours on a core or two, over several sittings; `GPU` for a quarter of an hour of a data-centre card
and its processors, with batches as large as keep it busy. The models are the same in both, so that either may go on
where the other stopped.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from engine.training import LoopConfig


@dataclass(frozen=True)
class WindowSettings:
    """Windows of frames that a causal autoencoder learns beside photographs."""

    batch_size: int = 3
    start: float = 0.4
    """The share of the steps after which every second batch is of clips. Photographs come first, as in Wan's own
    training (arXiv 2503.20314, section 4.1): a step of them takes a fraction of the time."""


@dataclass(frozen=True)
class AutoencoderSettings:
    """8x down as ModelScope's and Wan's, 32 channels; L1 + squared error, weighted on the individual, + gradients. By
    Muon, which gets as far in 500 steps as AdamW in several times as many."""

    loop: LoopConfig
    batch_size: int = 8
    crop: int = 32
    """Side of the windows on individuals that the first `crop_share` of the steps see, four times as many: most of a
    picture is background, which is learnt soon."""
    crop_share: float = 0.75
    widths: tuple[int, ...] = (24, 48, 96, 128)
    latent_channels: int = 32
    kl_weight: float = 1e-3
    """Latents that bear noise are latents that a denoiser need not get exactly right."""
    squared_weight: float = 4.0
    gradient_weight: float = 0.5
    sprite_weight: float = 4.0
    """Weight of the individual's pixels; the background's have 1."""
    ema_decay: float = 0.998
    windows: WindowSettings | None = None
    """None where every frame is encoded by itself."""


@dataclass(frozen=True)
class DecoderSettings:
    """The autoencoder's decoder alone, on the finished encoder's latents: sharper pictures, the same latents."""

    loop: LoopConfig
    batch_size: int = 16
    noise: float = 0.4
    """Up to how much noise latents bear, in their own standard deviations: what is denoised is never quite clean
    (RAE, arXiv 2510.11690, section 4.3)."""
    ema_decay: float = 0.998


@dataclass(frozen=True)
class ContrastiveSettings:
    """A CLIP: image and text tower of the same width, trained to match captions and individuals."""

    loop: LoopConfig
    batch_size: int = 96
    width: int = 96
    image_layers: int = 4
    text_layers: int = 3
    patch_size: int = 8
    projection: int = 96
    max_tokens: int = 32
    group: int = 12
    """How many individuals of one class and colour word stand together in a batch."""
    identity_weight: float = 1.0
    identity_scale: float = 14.0
    """The inverse temperature at which two photographs of an individual find each other."""
    ema_decay: float = 0.995


@dataclass(frozen=True)
class SelfSupervisedSettings:
    """A small ViT that tells individuals apart (SimCLR's loss, arXiv 2002.05709).

    By Muon at 4e-3, 396 steps (100 s of one core, the rate falling to zero) tell .85 of 240 pairs of individuals never
    seen apart over another scene, .78 over the same; AdamW at 1e-3 took 750 for .81. Patches of 4 take nine times as
    long a step: in 160 s they are at chance.
    """

    loop: LoopConfig
    batch_size: int = 96
    width: int = 96
    layers: int = 4
    patch_size: int = 8
    group: int = 12
    identity_scale: float = 14.0
    area: tuple[float, float] = (0.7, 1.0)
    """How much of a photograph a view shows."""
    ema_decay: float = 0.995


@dataclass(frozen=True)
class CaptionSettings:
    """How often a caption says what."""

    dropped: float = 0.1
    """Of all captions, those that are empty, for guidance."""
    colour: float = 0.5
    motion: float = 0.8
    scene: float = 0.85
    odd_motion: float = 0.1
    """Of the motions named, those by a made-up word: one that nobody has read must not spoil what stands beside it."""


@dataclass(frozen=True)
class DenoiserSettings:
    """What every family's denoiser learns by: single frames, then clips."""

    images: LoopConfig
    clips: LoopConfig
    together: LoopConfig | None = None
    """Images and clips in every step, all weights trained: where a base is to know individuals better, what moves them
    goes along, and two processes with a batch of one kind each compute it (`torchrun`)."""
    together_clips: int = 8
    """Of a step of these, which take as long as its images."""
    image_batch: int = 64
    clip_batch: int = 12
    pool_clips: int = 6000
    text_width: int = 96
    text_layers: int = 3
    max_tokens: int = 32
    """Of the text encoder, which is trained with the denoiser from the start: a CLIP's text tower, which learns from
    still pictures, puts "moving left" next to "moving right", and that has to be undone."""
    captions: CaptionSettings = CaptionSettings()
    named_share: float = 0.7
    """Of the captions, in how many the class word's embedding tells who the individual is. A large base has read names
    of breeds, of people, of models of cars: the embeddings near its class words are dense with individuals. Captions
    here say no more than a class and a colour, so what a name would say is added to the word."""
    name_noise: float = 0.1
    """Standard deviation of the noise on such an embedding, over that of the embeddings: neighbours are alike."""
    individual_weight: float = 3.0
    """Weight of the latents that an individual covers, a fifth of a frame or less; the scene's have 1."""
    image_noise_bias: float = 1.5
    clip_noise_bias: float = 2.0
    """How much noisy timesteps are preferred: 1 is not at all, at 2 half of them lie above 0.75. What stands
    where is decided early."""
    image_step_share: float = 0.15
    """Of the clip stage's steps, how many are of single frames, so that F = 1 stays in range."""
    ema_decay: float = 0.999


@dataclass(frozen=True)
class UnetSettings(DenoiserSettings):
    """`UNet3DConditionModel` with v-prediction; images with the temporal layers skipped, then clips."""

    widths: tuple[int, ...] = (96, 128)
    """Cross-attention stands at every level."""
    attention_head_dim: int = 32
    snr_cap: float = 5.0


@dataclass(frozen=True)
class WanSettings(DenoiserSettings):
    """`WanTransformer3DModel` with flow matching, levels shifted as Wan's own: no other preference of noise."""

    frames: int = 9
    width: int = 192
    layers: int = 8
    attention_head_dim: int = 32
    patch: int = 1
    """Latents along each side of a token: of 8 x 8 every one is a token."""
    compiled: bool = True
    """Whether blocks are compiled, where there is a compiler: 13 s of one core, for 64 single frames a second forward
    and backward in place of 39."""
    shift: float = 3.0
    image_noise_bias: float = 1.0
    clip_noise_bias: float = 1.0


@dataclass(frozen=True)
class Recipe:
    """The whole recipe: one entry a stage, in the order in which they run. The last three are the same for every
    family: None where they come from a base that has them."""

    autoencoder: AutoencoderSettings
    denoiser: UnetSettings | WanSettings
    decoder: DecoderSettings
    image_encoder: ContrastiveSettings | None = None
    judge: ContrastiveSettings | None = None
    self_supervised: SelfSupervisedSettings | None = None
    photographs: int = 72000
    merges: int = 400

    @property
    def stages(self) -> tuple[str, ...]:
        """The names of the recipe's own stages."""
        held = {name: self.denoiser if name in DENOISER_STAGES else self for name in STAGES}
        return tuple(name for name, owner in held.items() if getattr(owner, name) is not None)


def _loop(steps: int, learning_rate: float, seed: int, decay: float = 0.25) -> LoopConfig:
    return LoopConfig(
        steps=steps, learning_rate=learning_rate, seed=seed, optimizer="muon", betas=(0.9, 0.99), weight_decay=0.01,
        max_grad_norm=1.0, warmup_steps=100, decay_steps=round(decay * steps),
    )  # fmt: skip


CPU = Recipe(
    autoencoder=AutoencoderSettings(_loop(3000, 8e-3, 11, decay=1.0)),
    denoiser=UnetSettings(
        _loop(11000, 4e-3, 33, decay=1.0), _loop(1100, 3e-3, 34, decay=1.0), _loop(2450, 3e-3, 35, decay=1.0)
    ),
    decoder=DecoderSettings(_loop(3000, 5e-3, 77)),
    image_encoder=ContrastiveSettings(_loop(1200, 1e-3, 22), text_layers=2),
    judge=ContrastiveSettings(_loop(2500, 1e-3, 44), text_layers=2),
    self_supervised=SelfSupervisedSettings(_loop(2500, 4e-3, 55)),
)
GPU = Recipe(
    autoencoder=AutoencoderSettings(_loop(6000, 8e-3, 11, decay=1.0), batch_size=64),
    denoiser=UnetSettings(
        _loop(1600, 1e-2, 33, decay=1.0),
        _loop(800, 6e-3, 34, decay=1.0),
        image_batch=768,
        clip_batch=160,
        pool_clips=16000,
    ),
    decoder=DecoderSettings(_loop(2000, 5e-3, 77), batch_size=64),
    image_encoder=ContrastiveSettings(_loop(1000, 1e-3, 22), text_layers=2, batch_size=256),
    judge=ContrastiveSettings(_loop(2500, 1e-3, 44), text_layers=2, batch_size=256),
    self_supervised=SelfSupervisedSettings(_loop(2500, 1e-3, 55), batch_size=256),
    photographs=60000,
)
_WAN_WIDTHS = (16, 32, 64, 96)
WAN_CPU = Recipe(
    autoencoder=AutoencoderSettings(_loop(4000, 8e-3, 111, decay=1.0), widths=_WAN_WIDTHS, windows=WindowSettings()),
    denoiser=WanSettings(_loop(20000, 4e-3, 133, decay=1.0), _loop(5000, 3e-3, 134, decay=1.0)),
    decoder=DecoderSettings(_loop(2000, 5e-3, 177), batch_size=8),
)
WAN_GPU = Recipe(
    autoencoder=AutoencoderSettings(
        _loop(4000, 8e-3, 111, decay=1.0), batch_size=64, widths=_WAN_WIDTHS, windows=WindowSettings(16)
    ),
    denoiser=WanSettings(
        _loop(4000, 1e-2, 133, decay=1.0),
        _loop(2000, 6e-3, 134, decay=1.0),
        image_batch=768,
        clip_batch=256,
        pool_clips=16000,
    ),
    decoder=DecoderSettings(_loop(2000, 5e-3, 177), batch_size=64),
    photographs=60000,
)
PRESETS = {"unet3d": {"cpu": CPU, "gpu": GPU}, "wan": {"cpu": WAN_CPU, "gpu": WAN_GPU}}
"""By family: recipes for hours on a core or two, and for a data-centre card."""


def with_steps(recipe: Recipe, steps: Mapping[str, int]) -> Recipe:
    """The recipe with other numbers of steps for some stages. Raises `ValueError` for a stage that there isn't."""
    changed: dict[str, Any] = {}
    for name, count in steps.items():
        if name not in recipe.stages:
            raise ValueError(f"no stage {name}: stages are {', '.join(recipe.stages)}")
        owner, loop = ("denoiser", name) if name in DENOISER_STAGES else (name, "loop")
        settings: Any = changed.get(owner, getattr(recipe, owner))
        changed[owner] = replace(settings, **{loop: _shortened(getattr(settings, loop), count)})
    return replace(recipe, **changed)


def _shortened(loop: LoopConfig, steps: int) -> LoopConfig:
    return replace(loop, steps=steps, decay_steps=loop.decay_steps * steps // loop.steps)


DENOISER_STAGES = ("images", "clips", "together")
STAGES = ("autoencoder", *DENOISER_STAGES, "decoder", "image_encoder", "judge", "self_supervised")
