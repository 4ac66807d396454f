"""Composing: any subject with any motion in one frozen base."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from engine.adapters.applied import AppliedAdapter, Strength
from engine.adapters.choosing import Guidance
from engine.adapters.forms import restored
from engine.adapters.learnt import Learnt
from engine.adapters.storage import AdapterFiles, read_adapter
from engine.bases.base import Base
from engine.bases.composable import check_composable
from engine.bases.family import Conditioning
from engine.data.encoding import to_frames
from engine.data.files import sha256_of
from engine.data.images import read_image
from engine.errors import AdapterError, InputError, JobError
from engine.methods.common import Kind
from engine.methods.dreamvideo import ComposeConfig
from engine.prompt_limits import limit_of_base
from engine.prompts import PLACEHOLDER, with_subject_word
from engine.sampling.guidance import guided, guided_steps, prepared
from engine.sampling.inversion import inverted
from engine.sampling.levels import Level
from engine.sampling.noise import offset_noise
from engine.sampling.samplers import sampler_named
from engine.settings import as_values, check_seed
from engine.starting import Start, check_clips_fit, check_fresh_start, start_of_clips, start_of_stored
from engine.training import generator_at, raise_if_out_of_memory
from engine.versions import version_of_dv

__all__ = ["AppliedAdapter", "ComposeConfig", "Composition", "Shot", "Strength", "compose", "compose_batch"]


@dataclass(frozen=True)
class Shot:
    """One video to be made: its prompt, and the seed of its noise and of its choice of appearance."""

    prompt: str
    seed: int


@dataclass(frozen=True)
class Composition:
    """A video, `(F, H, W, 3)` uint8, and the record of how it was made (plain values)."""

    frames: npt.NDArray[np.uint8]
    record: dict[str, Any]


def compose(
    base: Base,
    prompt: str,
    *,
    seed: int,
    config: ComposeConfig,
    adapters: Sequence[AppliedAdapter] = (),
    appearance: Path | None = None,
    allow_other_base: bool = False,
    on_step: Callable[[int, int], None] | None = None,
) -> Composition:
    """Make one video of `prompt`: `compose_batch` of one."""
    (made,) = compose_batch(
        base, [Shot(prompt, seed)], config=config, adapters=adapters, appearance=appearance,
        allow_other_base=allow_other_base, on_step=on_step,
    )  # fmt: skip
    return made


def compose_batch(
    base: Base,
    shots: Sequence[Shot],
    *,
    config: ComposeConfig,
    adapters: Sequence[AppliedAdapter] = (),
    appearance: Path | None = None,
    allow_other_base: bool = False,
    on_step: Callable[[int, int], None] | None = None,
) -> list[Composition]:
    """Make a video of each shot, denoised together, with the adapters that are applied.

    Each is the video that its shot gives alone, up to the order in which a device adds.
    A `*` in a prompt stands for the subject, and is written as it was while learning. The image embedding of
    appearance guidance comes from the picture `appearance`, else from a stored one of the first subject, else of
    the first motion, that has any, chosen by the seed. Where `config` sets no strengths of appearance guidance,
    each motion has those that it was learnt for. With a motion that starts from its clips (Tune-A-Video), the video
    begins at the latents of one of them, chosen by the seed and inverted, instead of at noise. With `motion_init` the
    noise has a share of a clip of the first motion whose clips are known, chosen and inverted likewise. `on_step` is
    told which step is done, and of how many: those of an inversion come first.
    Raises `AdapterError` for an adapter that is damaged or made for another base, `InputError` for values
    that do not go together, `OutOfMemoryError` when the device is too small, `JobError` for a video that is not
    finite.
    """
    if config.cache > 0 and len(shots) > 1:  # Blocks are skipped for all that is denoised at once.
        return [
            compose(
                base, shot.prompt, seed=shot.seed, config=config, adapters=adapters, appearance=appearance,
                allow_other_base=allow_other_base, on_step=on_step,
            )
            for shot in shots
        ]  # fmt: skip
    used = [_Used(applied, _read(applied, base, allow_other_base)) for applied in adapters]
    _check_subjects(base, used)
    for shot in shots:
        check_seed(shot.seed, "the seed")
        _check(shot.prompt, config, base, used)
    looks = _appearances(base, used, appearance, [shot.seed for shot in shots])
    _check_embedding(used, looks)
    try:
        start = _start(base, used, config, [shot.seed for shot in shots])
        videos = _sample(base, shots, config, used, looks, start, on_step)
    except RuntimeError as error:
        raise_if_out_of_memory(error, "lower `frames` or `size`, make fewer videos at once, or use bf16")
        raise
    sources = [look.source for look in looks] if looks is not None else [None] * len(shots)
    starts: list[dict[str, Any]] = [{"start": told} for told in start.told] if start is not None else [{}] * len(shots)
    return [
        Composition(frames, {**_record(base, shot, config, used, source), **told})
        for shot, frames, source, told in zip(shots, videos, sources, starts, strict=True)
    ]


@dataclass(frozen=True)
class _Used:
    """An applied adapter, and what its files hold."""

    applied: AppliedAdapter
    stored: AdapterFiles

    @property
    def looks(self) -> bool:
        """Whether it has appearance guidance."""
        return self.applied.role == "motion" and any(key.endswith("/condition.weight") for key in self.stored.weights)

    def strength(self, config: ComposeConfig) -> Strength:
        """Its own strength, else that of its role in the settings."""
        if self.applied.strength is not None:
            return self.applied.strength
        if self.applied.role == "subject":
            return Strength(config.subject_strength, start=config.subject_delay)
        return Strength(config.motion_strength, stop=config.motion_until)

    def completed(self, config: ComposeConfig) -> ComposeConfig:
        """The settings, with the strengths of appearance guidance that it was learnt for where none are set."""
        strength, unconditional = self.stored.appearance_strengths
        return config.completed(Guidance(strength, unconditional_strength=unconditional))


def _of_role(used: Sequence[_Used], role: Kind) -> list[_Used]:
    return [each for each in used if each.applied.role == role]


def _start(base: Base, used: Sequence[_Used], config: ComposeConfig, seeds: Sequence[int]) -> Start | None:
    """What videos start from beside noise: the clips that the first motion that acts and has any starts from, or a
    share of those that a motion was learnt from."""
    acting = (each for each in used if each.strength(config).value != 0)
    stored = next((each.stored.clips for each in acting if each.stored.clips), ())
    if stored:
        check_fresh_start(config)
        check_clips_fit(stored, base.layout.shape(config.frames, config.size), base.layout.scale)
        return start_of_stored(stored, [_index(seed, len(stored)) for seed in seeds], config.frames)
    if not config.motion_init:
        return None
    clips = next((each.applied.clips for each in used if each.applied.clips), ())
    if not clips:
        raise InputError(
            f"`motion_init` is {config.motion_init:g}, and no clip is known that the motion was learnt from: set it to "
            "0"
        )
    return start_of_clips(base, clips, [_index(seed, len(clips)) for seed in seeds], config)


def _record(
    base: Base, shot: Shot, config: ComposeConfig, used: Sequence[_Used], appearance: dict[str, Any] | None
) -> dict[str, Any]:
    looking = [each for each in used if each.looks]
    return {
        "made_by": f"dv {version_of_dv()}",
        "prompt": shot.prompt,
        "seed": shot.seed,
        "base": {"name": base.name, "fingerprint": base.fingerprint},
        "dtype": base.precision,
        "settings": as_values(looking[0].completed(config) if looking else config.completed()),
        "adapters": [each.applied.record(each.strength(config)) for each in used],
        "appearance": appearance,
    }


@dataclass(frozen=True)
class Look:
    """An image embedding `(C',)` for appearance guidance, and what a record says of it."""

    embedding: Tensor
    source: dict[str, Any]


@torch.no_grad()
def _sample(
    base: Base,
    shots: Sequence[Shot],
    config: ComposeConfig,
    used: Sequence[_Used],
    looks: list[Look] | None,
    start: Start | None,
    on_step: Callable[[int, int], None] | None,
) -> npt.NDArray[np.uint8]:
    """The videos `(B, F, H, W, 3)`."""
    branches = 1 if config.guidance_scale == 1 else 2
    prompts = [config.negative_prompt] * len(shots) * (branches - 1) + [shot.prompt for shot in shots]
    token = next((each.stored.token.to(base.device) for each in used if each.stored.token is not None), None)
    text = base.text.encode([_placed(prompt, used) for prompt in prompts], token)
    empty = base.text.encode([""]).expand(len(shots)) if start is not None else None
    base.text.unload()
    levels = base.objective.levels(config.steps)
    generators = [generator_at(shot.seed, 0, "sampling") for shot in shots]

    def fresh() -> Tensor:
        shape = (1, *base.layout.shape(config.frames, config.size))
        return torch.cat([offset_noise(shape, config.offset_noise, g) for g in generators]).to(base.device)

    if start is None or empty is None:
        noise = fresh()
    else:
        counted, clips = _counted(on_step, 0, 2 * config.steps), start.clips.to(base.device)
        noise = _inverted(base, config, used, clips, empty, counted)
        if start.share < 1:
            noise = start.share**0.5 * noise + (1 - start.share) ** 0.5 * fresh()
        on_step = _counted(on_step, config.steps, 2 * config.steps)
    texts = {len(text): text, len(shots): text.take(torch.arange(len(shots)) + len(text) - len(shots))}

    def denoise(sample: Tensor, level: Level) -> Tensor:
        return base.predict(sample, torch.full((sample.shape[0],), level.timestep), texts[len(sample)])

    with _attached(base, used) as weights, ExitStack() as cache:
        prepare = _prepare(base, config, used, weights, looks, cache)
        unguided = [level for step, level in enumerate(levels[:-1]) if step not in guided_steps(config)]
        latents = sampler_named(config.sampler, eta=config.eta)(
            prepared(guided(denoise, config.guidance_scale, unguided), levels, prepare),
            noise, levels, base.objective, generators=generators, callback=on_step,
        )  # fmt: skip
    _check_finite(latents, shots, config, used, base, "denoising")
    decoded = base.codec.decode(latents)
    _check_finite(decoded, shots, config, used, base, "decoding")
    return to_frames(decoded)


def _counted(on_step: Callable[[int, int], None] | None, before: int, total: int) -> Callable[[int, int], None] | None:
    """What tells of a step as of one of `total`, `before` of which are done."""
    return None if on_step is None else lambda step, _steps: on_step(before + step, total)


def _inverted(
    base: Base,
    config: ComposeConfig,
    used: Sequence[_Used],
    clips: Tensor,
    empty: Conditioning,
    callback: Callable[[int, int], None] | None,
) -> Tensor:
    """The noise `(B, C, f, h, w)` that clips would be made from: without guidance, by the empty prompt, with the
    adapters as they act at each step, but no picture that they look at."""
    levels = base.objective.levels(config.steps)

    def denoise(sample: Tensor, level: Level) -> Tensor:
        return base.predict(sample, torch.full((sample.shape[0],), level.timestep), empty)

    with _attached(base, used) as weights:
        prepare = _strengths(used, weights, config)
        return inverted(prepared(denoise, levels, prepare), clips, levels, base.objective, callback)


def _strengths(used: Sequence[_Used], weights: Sequence[Learnt], config: ComposeConfig) -> Callable[[int], None]:
    """What gives all adapters the strengths that they have in a step."""
    strengths = [each.strength(config) for each in used]

    def prepare(step: int) -> None:
        for each, strength in zip(weights, strengths, strict=True):
            each.strength = strength.at(step, config.steps)

    return prepare


def _prepare(
    base: Base,
    config: ComposeConfig,
    used: Sequence[_Used],
    weights: Sequence[Learnt],
    looks: list[Look] | None,
    cache: ExitStack,
) -> Callable[[int], None]:
    """What is put right before each step: adapters' strengths, what motions look at, an empty cache of blocks.

    A cache is emptied where there are other branches or other strengths: what blocks added then is nothing to reuse.
    """
    set_strengths = _strengths(used, weights, config)
    skipping = base.family.block_cache if config.cache > 0 else None
    before: list[float] = []

    def prepare(step: int) -> None:
        set_strengths(step)
        branches = 2 if step in guided_steps(config) else 1
        now = [branches, *(each.strength for each in weights)]
        if looks is not None and before[:1] != [branches]:
            _look(base, config, used, weights, looks, branches)
        if skipping is not None and before != now:
            cache.close()
            cache.enter_context(skipping(base.denoiser, config.cache))
        before[:] = now

    return prepare


def _look(
    base: Base,
    config: ComposeConfig,
    used: Sequence[_Used],
    weights: Sequence[Learnt],
    looks: list[Look],
    branches: int,
) -> None:
    """Put motions under appearance guidance; without guidance by the prompt there is the conditional branch alone."""
    conditional = torch.stack([look.embedding for look in looks]).to(base.device)
    # The unconditional branch looks at a zero embedding.
    seen = torch.cat([torch.zeros_like(conditional), conditional][-branches:])
    for each, one in zip(used, weights, strict=True):
        if each.looks:
            own = each.completed(config)
            both = torch.tensor([own.unconditional_appearance_strength, own.appearance_strength])
            one.condition(seen, both[-branches:].repeat_interleave(len(looks)).to(base.device))


@contextmanager
def _attached(base: Base, used: Sequence[_Used]) -> Iterator[list[Learnt]]:
    """Attach the adapters; their weights, in the same order."""
    weights = [restored(each.stored.form, each.stored.weights).to(base.device) for each in used]
    with ExitStack() as attached:
        attached.enter_context(base.compute.autocast())
        for one in weights:
            attached.enter_context(one.attached(base))
        yield weights


def _placed(prompt: str, used: Sequence[_Used]) -> str:
    """The prompt with each subject as it was called while learning."""
    for each in _of_role(used, "subject"):
        prompt = with_subject_word(prompt, each.stored.word, each.applied.token)
    return prompt


def _read(applied: AppliedAdapter, base: Base, allow_other_base: bool) -> AdapterFiles:
    adapter = read_adapter(applied.folder)
    if adapter.kind != applied.role:
        raise AdapterError(f"{applied.folder.name} is a {adapter.kind}, not a {applied.role}")
    if adapter.base_fingerprint != base.fingerprint and not allow_other_base:
        raise AdapterError(
            f"the {applied.role} was learnt on the base {adapter.base_fingerprint[:12]}, this is {base.name} "
            f"({base.fingerprint[:12]}): learn it again here, choose its base with `base`, or insist with "
            "`allow_other_base`"
        )
    return adapter


def _check(prompt: str, config: ComposeConfig, base: Base, used: Sequence[_Used]) -> None:
    placed, vectors = _placed(prompt, used), max((each.stored.vectors for each in used), default=0)
    if PLACEHOLDER in placed and not vectors:
        raise InputError(f'the prompt "{prompt}" has a * and nothing that was learnt stands for it')
    for each in _of_role(used, "subject"):
        limit_of_base(base.info).notes([placed], vectors=vectors, mark=each.stored.word)
    check_composable(base.info, config)


def _check_subjects(base: Base, used: Sequence[_Used]) -> None:
    """Refuse subjects that a prompt can't tell apart, and a token that this base's text encoder has no room for, as
    `attached` refuses weights."""
    subjects = _of_role(used, "subject")
    written = [each.applied.token for each in subjects]
    if len(set(written)) < len(written):
        raise InputError(f"several subjects are written {written[0]} in the prompt: give each a `token` of its own")
    tokens = [each.stored.token for each in subjects if each.stored.token is not None]
    if len(tokens) > 1:
        raise InputError("a composition takes one subject with a learnt token: leave the others out")
    width = base.text.token_width
    if tokens and tokens[0].shape[-1] != width:
        raise AdapterError(
            f"the subject's token does not fit the base {base.name}: it has width {tokens[0].shape[-1]}, the base "
            f"{width}"
        )


def _check_embedding(used: Sequence[_Used], looks: list[Look] | None) -> None:
    """Refuse image embeddings that a motion's appearance guidance can't look at."""
    if not looks:
        return
    for each in (each for each in used if each.looks):
        width = next(t.shape[1] for name, t in each.stored.weights.items() if name.endswith("/condition.weight"))
        found = len(looks[0].embedding)
        if found != width:
            raise AdapterError(
                f"the image embedding for appearance guidance has width {found}, the motion looks at {width}: "
                "give a picture with `appearance`, or adapters of one base"
            )


def _check_finite(
    values: Tensor, shots: Sequence[Shot], config: ComposeConfig, used: Sequence[_Used], base: Base, doing: str
) -> None:
    """Raise `JobError` for samples `(B, ...)` with values that are no numbers, saying whose and what to change."""
    broken = [shot for shot, finite in zip(shots, values.isfinite().flatten(1).all(dim=1).tolist(), strict=True)
              if not finite]  # fmt: skip
    if not broken:
        return
    advice = []
    if doing == "denoising":
        names = [f"`{role}_strength`" for role in ("subject", "motion") if _of_role(used, role)]
        names += ["`guidance_scale`"] if config.guidance_scale > 1 else []
        advice += [f"lower {' or '.join(names)}"] if names else []
    if base.dtype == torch.float16:
        advice.append("compute in `dtype` fp32 or bf16 instead of fp16")
    seeds = ", ".join(str(shot.seed) for shot in broken)
    raise JobError(
        f'the video of "{broken[0].prompt}", seed {seeds}, has values that are no numbers after {doing}, '
        f"nothing is written: {', or '.join(advice) or 'check the files of the base'}"
    )


def _appearances(base: Base, used: Sequence[_Used], picture: Path | None, seeds: Sequence[int]) -> list[Look] | None:
    """What guides the motions' appearance for each seed; None where none has appearance guidance."""
    if not any(each.looks for each in used):
        if picture is not None:
            raise InputError("`appearance` needs `motion` with a motion that was learnt with appearance guidance")
        return None
    if picture is not None:
        look = Look(base.encode_images([read_image(picture)])[0], {"from": "picture", "sha256": sha256_of(picture)})
        return [look] * len(seeds)
    for each in (*_of_role(used, "subject"), *_of_role(used, "motion")):
        embeddings = each.stored.embeddings
        if embeddings is not None and len(embeddings):
            chosen = [_index(seed, len(embeddings)) for seed in seeds]
            return [Look(embeddings[i], {"from": each.applied.role, "index": i}) for i in chosen]
    raise InputError("neither adapter has a stored image embedding: give a picture with `appearance`")


def _index(seed: int, count: int) -> int:
    digest = hashlib.sha256(f"{seed}/appearance".encode()).digest()
    return int.from_bytes(digest[:4], "little") % count
