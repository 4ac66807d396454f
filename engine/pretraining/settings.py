"""Every setting of the recipe, in one place.

`CPU` is meant for hours on two cores, over several sittings; `GPU` for a data-centre card, where batches are as large
as keep it busy (on an H200 83 ms a step of images, 152 ms a step of clips). The models are the same in both, so that
either may go on where the other stopped.
"""

from __future__ import annotations

from dataclasses import dataclass

from engine.training import LoopConfig


@dataclass(frozen=True)
class AutoencoderSettings:
    """`AutoencoderKL`, 4x down, 8 channels; L1 + squared error, weighted on the sprite, + gradients.

    Half an hour on two cores teaches a 4x one what an 8x one of 16 channels learns in several hours. Six
    channels end below 23 dB on the pixels of sprites never seen.
    """

    loop: LoopConfig
    batch_size: int = 16
    widths: tuple[int, ...] = (24, 48, 64)
    latent_channels: int = 8
    kl_weight: float = 3e-4
    squared_weight: float = 4.0
    gradient_weight: float = 0.5
    sprite_weight: float = 4.0
    """Weight of the sprite's pixels; the background's have 1."""
    any_emoji_share: float = 0.8
    ema_decay: float = 0.998


@dataclass(frozen=True)
class DecoderSettings:
    """The autoencoder's decoder alone, on the finished encoder's latents: sharper pictures, the same latents."""

    loop: LoopConfig
    batch_size: int = 16
    any_emoji_share: float = 0.8
    ema_decay: float = 0.998


@dataclass(frozen=True)
class ContrastiveSettings:
    """A CLIP: image and text tower of the same width, trained with the symmetric contrastive loss."""

    loop: LoopConfig
    batch_size: int = 96
    width: int = 96
    image_layers: int = 4
    text_layers: int = 3
    patch_size: int = 8
    projection: int = 96
    max_tokens: int = 32
    any_emoji_share: float = 0.5
    ema_decay: float = 0.995


@dataclass(frozen=True)
class MotionWordsSettings:
    """Directions for motions in the conditioning text tower's hidden states."""

    loop: LoopConfig
    batch_size: int = 64
    strength: float = 6.0
    """Length of a motion's offset; a hidden state's own is 9.5."""
    named_share: float = 0.7
    sceneless_share: float = 0.15
    ema_decay: float = 0.99


@dataclass(frozen=True)
class SelfSupervisedSettings:
    """A small ViT trained DINO's way (arXiv 2104.14294): two global and four local views, centred teacher."""

    loop: LoopConfig
    batch_size: int = 32
    width: int = 96
    layers: int = 4
    patch_size: int = 8
    prototypes: int = 1024
    teacher_momentum: float = 0.99
    student_temperature: float = 0.1
    teacher_temperature: float = 0.04
    centre_momentum: float = 0.9


@dataclass(frozen=True)
class DenoiserSettings:
    """`UNet3DConditionModel` with v-prediction; images with the temporal layers skipped, then clips."""

    images: LoopConfig
    clips: LoopConfig
    image_batch: int = 48
    clip_batch: int = 4
    pool_clips: int = 6000
    nameless_clips: int = 3000
    stranger_clips: int = 6000
    pool_share: float = 0.4
    nameless_share: float = 0.25
    stranger_share: float = 0.35
    """Of what is drawn for a batch, how much is of the world's objects and motions, of its objects in nameless
    motions, through points drawn by chance, and of any other drawing. A base that knows nine motions only lets a
    sprite dissolve where it is taught to move otherwise; one that knows 24 objects only, where it is taught another."""
    widths: tuple[int, ...] = (48, 96, 112)
    """Attention stands in every level but the first, whose 16 x 16 positions would make it dear."""
    attention_head_dim: int = 16
    caption_dropout: float = 0.1
    snr_cap: float = 5.0
    odd_word_share: float = 0.1
    """Of the captions, how many name the motion by a made-up word: one that nobody has read must not spoil the
    object and the scene beside it."""
    odd_name_share: float = 0.3
    """Of the captions of other drawings, how many call the object by a made-up word."""
    image_noise_bias: float = 1.5
    clip_noise_bias: float = 2.0
    """How much noisy timesteps are preferred: 1 is not at all, at 2 half of them lie above 0.75. What stands
    where is decided early."""
    image_step_share: float = 0.15
    """Of the clip stage's steps, how many are of single frames, so that F = 1 stays in range."""
    ema_decay: float = 0.999
    compiled: bool = False
    """Compile the UNet for clips on a GPU (`torch.compile`): 149 s once on an H100 with 16 cores, then a third less
    time for forward and backward passes (0.173 s in place of 0.256 s at 240 clips)."""


@dataclass(frozen=True)
class Recipe:
    """The whole recipe: one entry a stage, in the order in which they run."""

    autoencoder: AutoencoderSettings
    decoder: DecoderSettings
    text_image: ContrastiveSettings
    motion_words: MotionWordsSettings
    denoiser: DenoiserSettings
    judge: ContrastiveSettings
    self_supervised: SelfSupervisedSettings
    merges: int = 900


def _loop(steps: int, learning_rate: float, seed: int) -> LoopConfig:
    return LoopConfig(
        steps=steps, learning_rate=learning_rate, seed=seed, betas=(0.9, 0.99), weight_decay=0.01,
        max_grad_norm=1.0, warmup_steps=100, decay_steps=steps // 4,
    )  # fmt: skip


CPU = Recipe(
    autoencoder=AutoencoderSettings(_loop(4600, 1.5e-3, 11)),
    decoder=DecoderSettings(_loop(4000, 1e-3, 77)),
    text_image=ContrastiveSettings(_loop(800, 1e-3, 22)),
    motion_words=MotionWordsSettings(_loop(400, 1e-3, 66)),
    denoiser=DenoiserSettings(_loop(4900, 6e-4, 33), _loop(6200, 5e-4, 34)),
    judge=ContrastiveSettings(_loop(1600, 1e-3, 44), text_layers=2),
    self_supervised=SelfSupervisedSettings(_loop(1200, 5e-4, 55)),
)
GPU = Recipe(
    autoencoder=AutoencoderSettings(_loop(20000, 1.5e-3, 11)),
    decoder=DecoderSettings(_loop(4000, 1e-3, 77)),
    text_image=ContrastiveSettings(_loop(6000, 1e-3, 22)),
    motion_words=MotionWordsSettings(_loop(400, 1e-3, 66)),
    denoiser=DenoiserSettings(
        _loop(6000, 6e-4, 33), _loop(9500, 1e-3, 34),
        image_batch=192, clip_batch=128, pool_clips=24000, nameless_clips=16000, stranger_clips=32000,
        clip_noise_bias=1.5, compiled=True,
    ),
    judge=ContrastiveSettings(_loop(6000, 1e-3, 44), text_layers=2),
    self_supervised=SelfSupervisedSettings(_loop(4000, 5e-4, 55)),
)  # fmt: skip
PRESETS = {"cpu": CPU, "gpu": GPU}
