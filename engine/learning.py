"""Learning a subject and learning a motion: from a plan and a frozen base to an adapter's files."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from math import isfinite
from pathlib import Path
from typing import TypeVar

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from engine.adapters.choosing import Guidance
from engine.adapters.forms import fresh
from engine.adapters.learnt import Learnt
from engine.adapters.storage import AdapterFiles, write_adapter
from engine.bases.base import Base
from engine.bases.family import Conditioning
from engine.data.encoding import EncodedClip, EncodedImages, OnFrames, encode_clip, encode_images
from engine.dropout import dropping, seeded
from engine.errors import JobError
from engine.identity import deciding, deciding_form
from engine.methods.common import CLASS, MotionSettings, OptimizerConfig, Part, SubjectSettings
from engine.planning import MotionPlan, SubjectPlan, image_prompts, sampling_of
from engine.processes import Processes
from engine.prompts import PLACEHOLDER
from engine.sampling.noise import offset_noise
from engine.training import (
    LoopConfig,
    Progress,
    Snapshots,
    generator_at,
    raise_if_out_of_memory,
    settings_of,
    train,
)

_T = TypeVar("_T")
OnProgress = Callable[[str, Progress], None]
Loss = Callable[[torch.Generator], Tensor]
_STORED_FRAMES = 8
"""Image embeddings that are kept of each training clip, evenly spread."""


@dataclass(frozen=True)
class Learned:
    """What came of a run; `final_loss` is the last part's last one, `losses` has each part's."""

    kind: str
    method: str
    folder: Path
    steps: int
    final_loss: float
    losses: dict[str, float]
    parameters: dict[str, int]


def learn_planned(
    plan: SubjectPlan | MotionPlan,
    base: Base,
    folder: Path,
    *,
    run: Path | None = None,
    on_progress: OnProgress | None = None,
    on_encoding: OnFrames | None = None,
) -> Learned:
    """`learn_subject` or `learn_motion`, as the plan is."""
    if isinstance(plan, SubjectPlan):
        return learn_subject(plan, base, folder, run=run, on_progress=on_progress)
    return learn_motion(plan, base, folder, run=run, on_progress=on_progress, on_encoding=on_encoding)


def learn_subject(
    plan: SubjectPlan,
    base: Base,
    folder: Path,
    *,
    run: Path | None = None,
    on_progress: OnProgress | None = None,
) -> Learned:
    """Learn a subject by the plan's method and write the adapter's files into `folder`.

    The paper's own (section 3.2): first a token for it by textual inversion; then, the token frozen, an
    identity adapter. With `run`, snapshots lie in that folder and those found there are continued.
    Raises `InputError` for sources that can't be used, `JobError`'s children for a run that fails.
    """
    config = plan.settings.config
    images = _encoded(
        lambda: encode_images(
            base, [s.path for s in plan.of_role("image")], [s.path for s in plan.of_role("mask")], config.size,
            shift=config.shift, generator=generator_at(config.seed, 0, "shift"),
        )
    )  # fmt: skip
    _check_finite(images.latents.mean, images.latents.std, images.embeddings)
    base.release_encoders(keep_text=True)
    session = _Session(base, plan, run, on_progress)
    recipe, samples, token = session.recipe, session.share.samples, None
    if recipe.token is not None:
        token = nn.Parameter(base.text.start_embedding(recipe.token.start_id, plan.class_word).to(base.device))
    weights = session.fresh_weights(None)

    every = dict.fromkeys(p for part in recipe.parts for p in image_prompts(plan, part.prompt, recipe.word))
    with torch.no_grad():
        base.text.encode(list(every), token)
    base.text.unload()

    def loss_of(part: Part) -> Loss:
        prompts = image_prompts(plan, part.prompt, recipe.word)
        distinct = list(dict.fromkeys(prompts))
        prompt_of = torch.tensor([distinct.index(prompt) for prompt in prompts])

        def encoded(chosen: Tensor) -> Conditioning:
            needed, places = prompt_of[chosen].unique(return_inverse=True)
            return base.text.encode([distinct[number] for number in needed], token).take(places)

        if "token" in part.trains:
            return lambda generator: _subject_loss(base, config, images, encoded, generator, samples)
        with torch.no_grad():
            texts = base.text.encode(distinct, token)
        if part is recipe.parts[-1]:
            base.release_encoders()

        def taken(chosen: Tensor) -> Conditioning:
            return texts.take(prompt_of[chosen])

        return lambda generator: _subject_loss(base, config, images, taken, generator, samples)

    session.train_parts(token, weights, loss_of)
    return session.written(folder, token, weights, images.embeddings, recipe.word.replace(CLASS, plan.class_word))


def learn_motion(
    plan: MotionPlan,
    base: Base,
    folder: Path,
    *,
    run: Path | None = None,
    on_progress: OnProgress | None = None,
    on_encoding: OnFrames | None = None,
) -> Learned:
    """Learn a motion by the plan's method (the paper's own: section 3.3) and write the adapter's files into
    `folder`; see `learn_subject`. `on_encoding` is told how many frames of all clips are encoded."""
    config, guidance = plan.settings.config, plan.method.recipe(plan.settings.config).guidance
    with torch.no_grad():  # Before the clips, so that a large text encoder isn't there beside them.
        texts = base.text.encode(["", *(prompt for _, prompt in plan.clips)])
    base.text.unload()
    clips = _encoded(lambda: _encoded_clips(plan, base, on_encoding, appearance=guidance is not None))
    for clip in clips:
        _check_finite(clip.windows.latents.mean, clip.windows.latents.std, clip.embeddings)
    width = clips[0].embeddings.shape[1] if clips[0].embeddings is not None else None
    base.release_encoders()
    session = _Session(base, plan, run, on_progress)
    weights = session.fresh_weights(width)

    def loss_of(_part: Part) -> Loss:
        return lambda generator: _motion_loss(
            base, config, clips, texts, weights, guidance, generator, session.share.samples
        )

    session.train_parts(None, weights, loss_of)
    starts = tuple(clip.windows.first() for clip in clips) if session.recipe.starts_from_clips else ()
    embeddings = [clip.embeddings[_spread(len(clip.embeddings))] for clip in clips if clip.embeddings is not None]
    return session.written(folder, None, weights, torch.cat(embeddings) if embeddings else None, clips=starts)


def _encoded_clips(
    plan: MotionPlan, base: Base, on_encoding: OnFrames | None, *, appearance: bool
) -> list[EncodedClip]:
    """All clips of a plan, one after the other; progress is that of all of them."""
    config = plan.settings.config
    sampling = sampling_of(config, base.layout)
    planned = [clip for clip, _ in plan.clips]
    total = sum(clip.distinct_frames for clip in planned)
    encoded: list[EncodedClip] = []
    before = 0
    for clip in planned:

        def report(done: int, _frames: int, before: int = before) -> None:
            if on_encoding is not None:
                on_encoding(before + done, total)

        encoded.append(encode_clip(base, clip, sampling, size=config.size, appearance=appearance, on_frames=report))
        before += clip.distinct_frames
    return encoded


class _Session:
    """What the parts of one run share: what they train, loop settings, snapshots, checkpointing, progress."""

    def __init__(
        self, base: Base, plan: SubjectPlan | MotionPlan, run: Path | None, on_progress: OnProgress | None
    ) -> None:
        self.base, self.method, self.config = base, plan.method, plan.settings.config
        self.run, self.on_progress = run, on_progress
        self.recipe = plan.method.recipe(self.config)
        self.losses: dict[str, float] = {}
        self.parameters: dict[str, int] = {}
        self.identity = {
            "base": base.fingerprint,
            "dtype": f"torch.{base.precision}",
            "method": plan.method.name,
            "settings": deciding(settings_of(self.config), type(self.config)),
            "sources": [(s.role, s.sha256, s.prompt) for s in plan.sources],
            "plan": _particulars(plan),
            **deciding_form(self.recipe.form),
        }
        half = {torch.float16: "fp16", torch.bfloat16: "bf16"}.get(base.dtype, "no")
        # accelerate scales fp16 losses on CUDA only; elsewhere autocast is the base's own affair.
        precision = half if base.device.type == "cuda" else "no"
        self.accelerator = Accelerator(cpu=base.device.type == "cpu", mixed_precision=precision)
        processes = Processes(self.accelerator.process_index, self.accelerator.num_processes)
        self.share = processes.share(self.config.batch_size, self.config.gradient_accumulation)

    def fresh_weights(self, condition_width: int | None) -> Learnt | None:
        """The weights that the method trains, if it trains any, before the first step."""
        if self.recipe.weights is None:
            return None
        base = self.base
        return fresh(
            self.recipe.weights, base.sites, base.labels, base.denoiser,
            condition_width=condition_width, seed=self.config.seed,
        ).to(base.device)  # fmt: skip

    def train_parts(self, token: nn.Parameter | None, weights: Learnt | None, loss_of: Callable[[Part], Loss]) -> None:
        """Train the parts in order. Weights take effect from the first part on that trains them."""
        with ExitStack() as stack:
            attached = False
            for part in self.recipe.parts:
                trained: dict[str, nn.Parameter] = {}
                if token is not None:
                    token.requires_grad_("token" in part.trains)
                    trained |= {"token": token} if "token" in part.trains else {}
                if weights is not None and "weights" in part.trains:
                    trained |= weights.parameters()
                    if not attached:
                        stack.enter_context(weights.attached(self.base))
                        attached = True
                self.losses[part.name] = self._train(part, trained, loss_of(part))
                self.parameters[part.name] = sum(p.numel() for p in trained.values())

    def _train(
        self,
        part: Part,
        parameters: Mapping[str, nn.Parameter],
        loss: Loss,
    ) -> float:
        """Train one part; its randomness at step n comes from (seed, part, n), however many processes share it."""
        config, share = self.config, self.share
        loop = LoopConfig(
            steps=part.steps,
            learning_rate=part.learning_rate,
            seed=config.seed,
            optimizer=config.optimizer,
            betas=(config.beta1, config.beta2),
            eps=config.eps,
            weight_decay=config.weight_decay,
            gradient_accumulation=len(share.micro_batches),
            max_grad_norm=config.max_grad_norm,
            decay_steps=round(config.learning_rate_decay * part.steps),
        )
        snapshots = None
        if self.run is not None:
            snapshots = Snapshots(
                self.run / f"{part.name}.snapshot", {"part": part.name, **self.identity}, config.snapshot_every
            )

        def report(progress: Progress) -> None:
            if self.on_progress is not None and self.accelerator.is_main_process:
                self.on_progress(part.name, progress)

        def loss_at(step: int, micro: int) -> Tensor:
            stream = f"{part.name}/{share.micro_batches[micro]}"
            generator = generator_at(config.seed, step, stream)
            if config.dropout == 0:
                return loss(generator)
            own = f"/{share.number}" if share.number else ""
            with seeded(generator_at(config.seed, step, f"{stream}/dropout{own}"), self.base.device):
                return loss(generator)

        with ExitStack() as stack:
            if config.gradient_checkpointing:
                stack.enter_context(self.base.family.checkpointed(self.base.denoiser))
            if config.dropout > 0:
                stack.enter_context(dropping(self.base.family.dropouts(self.base.denoiser), config.dropout))
            return train(
                parameters,
                loss_at,
                loop,
                accelerator=self.accelerator,
                snapshots=snapshots,
                after_step=report,
                rate_setting=part.rate_setting,
            )

    def written(
        self,
        folder: Path,
        token: Tensor | None,
        weights: Learnt | None,
        embeddings: Tensor | None,
        word: str = PLACEHOLDER,
        clips: tuple[Tensor, ...] = (),
    ) -> Learned:
        """Write the adapter's files, in the first process, and tell what came of the run."""
        kind, name = self.method.kind, self.method.name
        adapter = AdapterFiles(
            kind,
            name,
            self.base.fingerprint,
            weights={},
            token=None if token is None else token.detach(),
            embeddings=embeddings,
            word=word,
            clips=clips,
        )
        if weights is not None:
            adapter = replace(adapter, weights=weights.state(), widths=weights.widths, form=weights.form)
        if (guidance := self.recipe.guidance) is not None:
            strengths = (guidance.strength, guidance.unconditional_strength)
            adapter = replace(adapter, appearance_strengths=strengths)
        if self.accelerator.is_main_process:
            write_adapter(adapter, folder)
        taken = {part: loss for part, loss in self.losses.items() if isfinite(loss)}  # a part of 0 steps has none
        steps = sum(part.steps for part in self.recipe.parts)
        return Learned(kind, name, folder, steps, list(taken.values())[-1], taken, self.parameters)


def _particulars(plan: SubjectPlan | MotionPlan) -> list[object]:
    """What else a run depends on: another class word or another part of the clips is another run."""
    if isinstance(plan, SubjectPlan):
        return [plan.class_word]
    return [plan.prompt, plan.start, plan.end, plan.source_fps]


def _subject_loss(
    base: Base,
    config: SubjectSettings,
    images: EncodedImages,
    text_of: Callable[[Tensor], Conditioning],
    generator: torch.Generator,
    samples: slice,
) -> Tensor:
    """The denoising loss on `samples` of a batch of images, each a video of one frame; inside the masks where given.

    `text_of` gives the conditioning of images by their numbers `(B,)`.
    """
    chosen = torch.randint(len(images.latents.mean), (config.batch_size,), generator=generator)
    clean = images.latents.sample(chosen, generator)
    mask = images.masks[chosen].unsqueeze(2).to(base.device) if images.masks is not None else None
    text = text_of(images.image_of[chosen[samples]])
    return denoising_loss(base, config, clean, text, generator, mask, samples)


def _motion_loss(
    base: Base,
    config: MotionSettings,
    clips: list[EncodedClip],
    texts: Conditioning,
    weights: Learnt | None,
    guidance: Guidance | None,
    generator: torch.Generator,
    share: slice,
) -> Tensor:
    """The denoising loss on a `share` of a batch of windows, drawn anew, under appearance guidance by a random frame.

    `texts` are of the empty prompt and then of each clip's. A batch holds windows of one length, that of the
    clip drawn first, so each clip is still drawn as often as any other.
    """
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
    captioned = torch.rand(len(chosen), generator=generator) >= config.p_zero
    draw = torch.rand(len(chosen), generator=generator)
    text = texts.take(torch.where(captioned, 1 + torch.tensor(chosen), 0)[share])
    if embeddings and weights is not None and guidance is not None:
        seen = (torch.stack(embeddings) * (draw >= guidance.p_image_zero)[:, None])[share]
        strength = torch.full((len(seen),), guidance.strength, device=base.device)
        with base.compute.autocast():
            weights.condition(seen.to(base.device), strength)
    return denoising_loss(base, config, torch.stack(samples), text, generator, samples=share)


def denoising_loss(
    base: Base,
    config: OptimizerConfig,
    clean: Tensor,
    text: Conditioning,
    generator: torch.Generator,
    mask: Tensor | None = None,
    samples: slice = slice(None),
) -> Tensor:
    """Mean squared error of the base's prediction at random levels, with the noise that `config` asks for.

    `clean` is `(B, C, f, h, w)`; a `mask` `(B, 1, 1, h, w)` multiplies prediction and target, and the mean is still
    over everything (the authors' code). The loss is that of `samples` of the batch, of whose prompts alone `text` is:
    noise and levels are drawn for all of it, so that each sample's are the same whoever computes it.
    """
    noise = offset_noise(tuple(clean.shape), config.offset_noise, generator)[samples].to(base.device)
    levels = base.objective.draw(len(clean), config.noise_bias, generator).take(samples)
    clean, mask = clean[samples].to(base.device), None if mask is None else mask[samples]
    noisy = base.objective.add_noise(clean, noise, levels)
    target = base.objective.target(clean, noise, levels)
    error = base.predict(noisy, levels.timesteps, text) - target
    if mask is not None:
        error = error * mask
    return error.square().mean()


def _encoded(encode: Callable[[], _T]) -> _T:
    try:
        return encode()
    except RuntimeError as error:
        raise_if_out_of_memory(error, "lower `size`, or use bf16")
        raise


def _check_finite(*encoded: Tensor | None) -> None:
    if not all(bool(tensor.isfinite().all()) for tensor in encoded if tensor is not None):
        raise JobError("the base's encoders gave values that are no numbers, as they may in half precision: use fp32")


def _spread(available: int) -> Tensor:
    """Up to `_STORED_FRAMES` indices, evenly over what is there."""
    return torch.linspace(0, available - 1, min(_STORED_FRAMES, available)).round().long()
