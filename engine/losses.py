"""The denoising loss: what the base predicts of training data at random levels, and what it should predict."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from engine.adapters.choosing import Guidance
from engine.adapters.learnt import Learnt
from engine.bases.base import Base
from engine.bases.family import Conditioning
from engine.data.encoding import EncodedClip, EncodedImages
from engine.methods.common import MotionSettings, SubjectSettings, TrainingConfig
from engine.sampling.noise import offset_noise


@dataclass(frozen=True)
class Denoised:
    """A prediction `(B, C, f, h, w)` and its target. A `mask` `(B, 1, 1, h, w)` multiplies both."""

    prediction: Tensor
    target: Tensor
    mask: Tensor | None = None

    @property
    def loss(self) -> Tensor:
        """The mean squared error. With a mask the mean is still over everything (the authors' code)."""
        error = self.prediction - self.target
        return (error if self.mask is None else error * self.mask).square().mean()


Denoise = Callable[[torch.Generator], Denoised]
"""Draws a batch of training data with its noise and levels by a generator, and has the base predict."""


def denoised(
    base: Base,
    config: TrainingConfig,
    clean: Tensor,
    text: Conditioning,
    generator: torch.Generator,
    mask: Tensor | None = None,
    samples: slice = slice(None),
) -> Denoised:
    """What the base predicts at random levels, with the noise that `config` asks for.

    `clean` is `(B, C, f, h, w)`. Predicted are `samples` of the batch, of whose prompts alone `text` is: noise and
    levels are drawn for all of it, so that each sample's are the same whoever computes it.
    """
    noise = offset_noise(tuple(clean.shape), config.offset_noise, generator)[samples].to(base.device)
    levels = base.objective.draw(len(clean), config.noise_bias, generator).take(samples)
    clean, mask = clean[samples].to(base.device), None if mask is None else mask[samples]
    noisy = base.objective.add_noise(clean, noise, levels)
    target = base.objective.target(clean, noise, levels)
    return Denoised(base.predict(noisy, levels.timesteps, text), target, mask)


def denoised_images(
    base: Base,
    config: SubjectSettings,
    images: EncodedImages,
    text_of: Callable[[Tensor], Conditioning],
    samples: slice,
    generator: torch.Generator,
) -> Denoised:
    """`samples` of a batch of images of one size, each a video of one frame; the loss is inside the masks where given.

    `text_of` gives the conditioning of images by their numbers `(B,)`.
    """
    views, chosen = images.draw(config.batch_size, generator)
    clean = views.latents.sample(chosen, generator)
    mask = views.masks[chosen].unsqueeze(2).to(base.device) if views.masks is not None else None
    text = text_of(views.image_of[chosen[samples]])
    return denoised(base, config, clean, text, generator, mask, samples)


@dataclass(frozen=True)
class Captioned:
    """Clips, and the conditioning of the empty prompt and then of each clip's."""

    clips: Sequence[EncodedClip]
    texts: Conditioning

    def split(self, held_out: int) -> tuple[Captioned, Captioned]:
        """All but the last `held_out` clips, and those; of 0, all of them twice."""
        first = len(self.clips) - held_out
        return self._part(range(first)), self._part(range(first if held_out else 0, len(self.clips)))

    def _part(self, which: range) -> Captioned:
        kept = torch.tensor([0, *(1 + number for number in which)])
        return Captioned([self.clips[number] for number in which], self.texts.take(kept))


def denoised_windows(
    base: Base,
    config: MotionSettings,
    captioned: Captioned,
    weights: Learnt | None,
    guidance: Guidance | None,
    share: slice,
    generator: torch.Generator,
) -> Denoised:
    """A `share` of a batch of windows, drawn anew, under appearance guidance by a random frame.

    A batch holds windows of one length, that of the clip drawn first, so each clip is still drawn as often as any
    other.
    """
    clips, texts = captioned.clips, captioned.texts
    lengths = [clip.windows.frames for clip in clips]
    first = int(torch.randint(len(clips), (), generator=generator))
    alike = [i for i, length in enumerate(lengths) if length == lengths[first]]
    others = torch.randint(len(alike), (config.batch_size - 1,), generator=generator).tolist()
    chosen = [first, *(alike[i] for i in others)]
    samples, embeddings = [], []
    for index in chosen:
        clip = clips[index]
        samples.append(clip.windows.draw(generator))
        if clip.embeddings is not None:
            embeddings.append(clip.embeddings[int(torch.randint(len(clip.embeddings), (), generator=generator))])
    with_caption = torch.rand(len(chosen), generator=generator) >= config.p_zero
    draw = torch.rand(len(chosen), generator=generator)
    text = texts.take(torch.where(with_caption, 1 + torch.tensor(chosen), 0)[share])
    if embeddings and weights is not None and guidance is not None:
        seen = (torch.stack(embeddings) * (draw >= guidance.p_image_zero)[:, None])[share]
        strength = torch.full((len(seen),), guidance.strength, device=base.device)
        with base.compute.autocast():
            weights.condition(seen.to(base.device), strength)
    return denoised(base, config, torch.stack(samples), text, generator, samples=share)
