"""What the denoiser learns from: latents of clips, made ahead, and the captions drawn for them.

Three pools. `known`: the world's objects and motions. `nameless`: its objects on paths drawn by chance, which teach
that a word may ask for any motion. `strangers`: any other drawing, on either kind of path, which teaches that a word
may ask for any looks. A base that was shown 24 objects and nine motions only can draw and move nothing else.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from accelerate import Accelerator
from diffusers import AutoencoderKL
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from engine.files import written_aside
from engine.pretraining.emoji import Drawings
from engine.pretraining.settings import DenoiserSettings
from engine.training import generator_at
from engine.world import clips, motions, sprites

NAMES = ("pool", "nameless", "strangers")
"""The pools' files in the work folder, without their suffix."""
_CHUNK = 16


@dataclass(frozen=True)
class Drawn:
    """A clip to render: what it shows, and the sprite's texture `(4, h, w)`."""

    spec: clips.ClipSpec
    texture: Tensor


@dataclass(frozen=True)
class Pool:
    """Latents of clips: scaled means `(N, F, C, h, w)` in float16, and what each clip shows."""

    latents: Tensor
    specs: list[clips.ClipSpec]


def spare_processors() -> int:
    """How many processes may prepare data beside the training: none on few processors, which have enough to do."""
    processors = os.cpu_count() or 1
    return processors - 2 if processors > 4 else 0


def make_pools(
    settings: DenoiserSettings, drawings: Drawings, autoencoder: AutoencoderKL, work: Path, accelerator: Accelerator
) -> dict[str, Pool]:
    """Render and encode the three pools, or read from `work` what was encoded before, if it is as many."""
    seed = settings.images.seed
    drawn = (
        draw_known(settings.pool_clips, seed),
        draw_nameless(settings.nameless_clips, seed),
        draw_strangers(settings.stranger_clips, seed, drawings),
    )
    return {
        name: _encoded(clips_of_it, autoencoder, work / f"{name}.safetensors", accelerator)
        for name, clips_of_it in zip(NAMES, drawn, strict=True)
    }


def draw_known(count: int, seed: int) -> list[Drawn]:
    """Clips of the known world."""
    words, generator = sprites.words("known"), generator_at(seed, 0, "pool")
    return [_of_the_world(clips.draw_spec(generator, words=words)) for _ in range(count)]


def draw_nameless(count: int, seed: int) -> list[Drawn]:
    """Clips of the known world in which objects move through points drawn by chance."""
    words, generator = sprites.words("known"), generator_at(seed, 0, "nameless")
    return [
        _of_the_world(replace(clips.draw_spec(generator, words=words), points=motions.draw_points(generator)))
        for _ in range(count)
    ]


def draw_strangers(count: int, seed: int, drawings: Drawings) -> list[Drawn]:
    """Clips of other drawings than the world's, every second on a path drawn by chance."""
    generator = generator_at(seed, 0, "strangers")
    known = set(sprites.words("known"))
    others = [i for i, name in enumerate(drawings.names) if name not in known]
    drawn = []
    for n in range(count):
        i = others[int(torch.randint(len(others), (), generator=generator))]
        spec = clips.draw_spec(generator, words=(drawings.names[i],))
        if n % 2:
            spec = replace(spec, points=motions.draw_points(generator))
        drawn.append(Drawn(spec, drawings.textures[i]))
    return drawn


def _of_the_world(spec: clips.ClipSpec) -> Drawn:
    return Drawn(spec, sprites.textures()[sprites.index_of(spec.word)])


class _Rendered(Dataset[Tensor]):
    """Chunks of clips as frames `(n * F, 3, H, W)` in [-1, 1]."""

    def __init__(self, drawn: Sequence[Drawn]) -> None:
        self.drawn = drawn

    def __len__(self) -> int:
        return -(-len(self.drawn) // _CHUNK)

    def __getitem__(self, i: int) -> Tensor:
        chunk = self.drawn[_CHUNK * i : _CHUNK * (i + 1)]
        textures = torch.stack([d.texture.float() for d in chunk])
        return clips.render_textures(textures, [d.spec for d in chunk])[0].flatten(0, 1) * 2 - 1


def _encoded(drawn: list[Drawn], autoencoder: AutoencoderKL, path: Path, accelerator: Accelerator) -> Pool:
    """The pool of these clips, from `path` if it is there."""
    specs = [d.spec for d in drawn]
    if path.exists():
        kept = load_file(path)["latents"]
        if len(kept) == len(specs):
            return Pool(kept, specs)
    rendered = DataLoader(_Rendered(drawn), batch_size=None, num_workers=spare_processors())
    chunks = []
    with torch.no_grad(), accelerator.autocast():
        for pixels in rendered:
            mean = autoencoder.encode(pixels.to(accelerator.device)).latent_dist.mean
            scaled = mean.float() * autoencoder.config.scaling_factor
            chunks.append(scaled.unflatten(0, (-1, clips.FRAMES)).half().cpu())
    latents = torch.cat(chunks)
    with written_aside(path) as partial:
        save_file({"latents": latents}, partial)
    return Pool(latents, specs)


def caption_of(spec: clips.ClipSpec, settings: DenoiserSettings, generator: torch.Generator) -> str:
    """The caption of a clip or of one of its frames, whole or in part, drawn by chance.

    A single frame's names the motion too: what moves left stands left of the middle more often than not, and
    words that are learnt so, at an image's cost, need only be tied to the time once clips come. A stranger is
    called by its name or by a made-up one.
    """
    draw, odd, odd_name = torch.rand(3, generator=generator).tolist()
    if draw < settings.caption_dropout:
        return ""
    scene = None if draw > 0.82 else spec.scene
    if draw < settings.caption_dropout + 0.2:
        phrase = None
    elif spec.points or odd < settings.odd_word_share:
        phrase = odd_word(generator) + "ing"
    else:
        phrase = motions.ALL[spec.motion].phrase
    stranger = spec.word not in sprites.catalogue()
    word = odd_word(generator) if stranger and odd_name < settings.odd_name_share else spec.word
    return clips.caption_with(word, phrase, scene)


_ONSETS = ("b", "br", "c", "d", "dr", "f", "fl", "g", "gr", "h", "k", "l", "m", "n", "p", "r", "s", "st", "t", "v", "w")


def odd_word(generator: torch.Generator) -> str:
    """A word that no language has, e.g. "trozup"."""

    def pick(choices: Sequence[str]) -> str:
        return choices[int(torch.randint(len(choices), (), generator=generator))]

    syllables = 1 + int(torch.randint(2, (), generator=generator))
    return "".join(pick(_ONSETS) + pick("aeiou") for _ in range(syllables)) + pick("bdgklmnprtz")
