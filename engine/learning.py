"""Learning a subject and learning a motion: from a plan and a frozen base to an adapter's files."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import TypeVar

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from engine.adapters.bottleneck import AdapterSet, identity_sites, motion_sites
from engine.adapters.storage import Adapter, write_adapter
from engine.bases.base import Base
from engine.bases.load import family_of
from engine.data.clips import FrameSampling
from engine.data.encoding import EncodedClip, EncodedImages, encode_clip, encode_images
from engine.methods.dreamvideo import MotionConfig, OptimizerConfig, SubjectConfig
from engine.planning import MotionPlan, SubjectPlan
from engine.sampling import offset_noise
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


def learn_subject(
    plan: SubjectPlan,
    base: Base,
    folder: Path,
    *,
    run: Path | None = None,
    on_progress: OnProgress | None = None,
) -> Learned:
    """Learn a subject in two steps (paper, section 3.2) and write the adapter's files into `folder`.

    First a token for it by textual inversion, starting from its class word; then, the token frozen, an
    identity adapter. With `run`, snapshots lie in that folder and those found there are continued.
    Raises `InputError` for sources that can't be used, `JobError`'s children for a run that fails.
    """
    config = plan.settings.config
    images = _encoded(
        lambda: encode_images(
            base, [s.path for s in plan.of_role("image")], [s.path for s in plan.of_role("mask")], config.size
        )
    )
    base.release_encoders(keep_text=True)
    token = nn.Parameter(base.word_embedding(plan.class_word).to(base.device))
    adapters = AdapterSet.create(
        identity_sites(base.sites), config.hidden_ratio, condition_width=None, seed=config.seed
    ).to(base.device)
    session = _Session(base, config, plan, run, on_progress)

    def token_loss(generator: torch.Generator) -> Tensor:
        return _subject_loss(base, config, images, base.encode_text([config.token_prompt], token), generator)

    losses = {}
    losses["token"] = session.train(
        "token", {"token": token}, token_loss, config.token_steps, config.token_learning_rate
    )
    learnt = token.detach()
    with torch.no_grad():
        prompt = base.encode_text([config.token_prompt], learnt)
    base.release_encoders()
    with adapters.attached(base):
        losses["identity"] = session.train(
            "identity",
            adapters.parameters(),
            lambda generator: _subject_loss(base, config, images, prompt, generator),
            config.adapter_steps,
            config.adapter_learning_rate,
        )
    write_adapter(
        Adapter(
            "subject",
            "dreamvideo",
            base.fingerprint,
            adapters.state(),
            adapters.widths,
            learnt,
            images.embeddings,
        ),
        folder,
    )
    parameters = {"token": token.numel(), "identity": _count(adapters)}
    return session.learned("subject", folder, config.token_steps + config.adapter_steps, losses, parameters)


def learn_motion(
    plan: MotionPlan,
    base: Base,
    folder: Path,
    *,
    run: Path | None = None,
    on_progress: OnProgress | None = None,
) -> Learned:
    """Learn a motion (paper, section 3.3) and write the adapter's files into `folder`; see `learn_subject`."""
    config = plan.settings.config
    clips = _encoded(
        lambda: [
            encode_clip(
                base, s.path, prompt=s.prompt or plan.prompt, fps=s.fps or config.fps, size=config.size,
                start=plan.start, end=plan.end, source_fps=plan.source_fps, appearance=config.appearance_guidance,
            )
            for s in plan.sources
        ]
    )  # fmt: skip
    with torch.no_grad():
        texts = base.encode_text(["", *(clip.prompt for clip in clips)])
    width = clips[0].embeddings.shape[1] if clips[0].embeddings is not None else None
    base.release_encoders()
    adapters = AdapterSet.create(
        motion_sites(base.sites), config.hidden_ratio, condition_width=width, seed=config.seed
    ).to(base.device)
    session = _Session(base, config, plan, run, on_progress)
    with adapters.attached(base):
        loss = session.train(
            "motion",
            adapters.parameters(),
            lambda generator: _motion_loss(base, config, clips, texts, adapters, generator),
            config.steps,
            config.learning_rate,
        )
    embeddings = [clip.embeddings[_spread(len(clip.embeddings))] for clip in clips if clip.embeddings is not None]
    stored = torch.cat(embeddings) if embeddings else None
    write_adapter(
        Adapter("motion", "dreamvideo", base.fingerprint, adapters.state(), adapters.widths, None, stored),
        folder,
    )
    return session.learned("motion", folder, config.steps, {"motion": loss}, {"motion": _count(adapters)})


class _Session:
    """What the parts of one run share: loop settings, snapshots, checkpointing, progress."""

    def __init__(
        self,
        base: Base,
        config: OptimizerConfig,
        plan: SubjectPlan | MotionPlan,
        run: Path | None,
        on_progress: OnProgress | None,
    ) -> None:
        self.base, self.config, self.run, self.on_progress = base, config, run, on_progress
        self.identity = {
            "base": base.fingerprint,
            "dtype": str(base.dtype),
            "settings": settings_of(config),
            "sources": [(s.role, s.sha256, s.prompt) for s in plan.sources],
            "plan": _particulars(plan),
        }
        half = {torch.float16: "fp16", torch.bfloat16: "bf16"}.get(base.dtype, "no")
        # accelerate scales fp16 losses on CUDA only; elsewhere autocast is the base's own affair.
        precision = half if base.device.type == "cuda" else "no"
        self.accelerator = Accelerator(cpu=base.device.type == "cpu", mixed_precision=precision)

    def train(
        self,
        part: str,
        parameters: Mapping[str, nn.Parameter],
        loss: Callable[[torch.Generator], Tensor],
        steps: int,
        learning_rate: float,
    ) -> float:
        """Train one part; its randomness at step n comes from (seed, part, n)."""
        config = self.config
        loop = LoopConfig(
            steps=steps,
            learning_rate=learning_rate,
            seed=config.seed,
            betas=(config.beta1, config.beta2),
            eps=config.eps,
            weight_decay=config.weight_decay,
            gradient_accumulation=config.gradient_accumulation,
            max_grad_norm=config.max_grad_norm,
        )
        snapshots = None
        if self.run is not None:
            snapshots = Snapshots(self.run / f"{part}.snapshot", {"part": part, **self.identity}, config.snapshot_every)

        def report(progress: Progress) -> None:
            if self.on_progress is not None:
                self.on_progress(part, progress)

        with ExitStack() as stack:
            if config.gradient_checkpointing:
                stack.enter_context(family_of(self.base.info).checkpointed(self.base.denoiser))
            return train(
                parameters,
                lambda step, micro: loss(generator_at(config.seed, step, f"{part}/{micro}")),
                loop,
                accelerator=self.accelerator,
                snapshots=snapshots,
                after_step=report,
            )

    def learned(
        self, kind: str, folder: Path, steps: int, losses: dict[str, float], parameters: dict[str, int]
    ) -> Learned:
        taken = {part: loss for part, loss in losses.items() if isfinite(loss)}  # a part of 0 steps has none
        return Learned(kind, "dreamvideo", folder, steps, list(taken.values())[-1], taken, parameters)


def _particulars(plan: SubjectPlan | MotionPlan) -> list[object]:
    """What else a run depends on: another class word or another part of the clips is another run."""
    if isinstance(plan, SubjectPlan):
        return [plan.class_word]
    return [plan.prompt, plan.start, plan.end, plan.source_fps]


def _subject_loss(
    base: Base, config: SubjectConfig, images: EncodedImages, text: Tensor, generator: torch.Generator
) -> Tensor:
    """The denoising loss on a batch of images, each a video of one frame; inside the masks where given."""
    chosen = torch.randint(len(images.latents.mean), (config.batch_size,), generator=generator)
    clean = images.latents.sample(chosen, generator).unsqueeze(2)
    mask = images.masks[chosen].unsqueeze(2).to(base.device) if images.masks is not None else None
    return denoising_loss(base, clean, text.expand(len(chosen), -1, -1), config.offset_noise, generator, mask)


def _motion_loss(
    base: Base,
    config: MotionConfig,
    clips: list[EncodedClip],
    texts: Tensor,
    adapters: AdapterSet,
    generator: torch.Generator,
) -> Tensor:
    """The denoising loss on a batch of windows, drawn anew, under appearance guidance by a random frame.

    `texts` is `(1 + clips, L, D)`, the empty prompt first. A batch holds windows of one length, that of the
    clip drawn first, so each clip is still drawn as often as any other.
    """
    sampling = FrameSampling(config.frames, config.fps)
    lengths = [min(config.frames, len(clip.latents.mean)) for clip in clips]
    first = int(torch.randint(len(clips), (), generator=generator))
    alike = [i for i, length in enumerate(lengths) if length == lengths[first]]
    others = torch.randint(len(alike), (config.batch_size - 1,), generator=generator).tolist()
    chosen = [first, *(alike[i] for i in others)]
    samples, embeddings = [], []
    for index in chosen:
        clip = clips[index]
        available = len(clip.latents.mean)
        start = int(torch.randint(sampling.windows(available, clip.fps), (), generator=generator))
        window = torch.from_numpy(sampling.indices(start, available, clip.fps))
        samples.append(clip.latents.sample(window, generator).transpose(0, 1))
        if clip.embeddings is not None:
            embeddings.append(clip.embeddings[int(torch.randint(available, (), generator=generator))])
    captioned = torch.rand(len(chosen), generator=generator) >= config.p_zero
    looked_at = torch.rand(len(chosen), generator=generator) >= config.p_image_zero
    text = texts[torch.where(captioned, 1 + torch.tensor(chosen), 0)]
    if embeddings:
        strength = torch.full((len(chosen),), config.appearance_strength, device=base.device)
        seen = torch.stack(embeddings) * looked_at[:, None]
        with base.autocast():
            adapters.condition(seen.to(base.device), strength)
    return denoising_loss(base, torch.stack(samples), text, config.offset_noise, generator)


def denoising_loss(
    base: Base,
    clean: Tensor,
    text: Tensor,
    offset: float,
    generator: torch.Generator,
    mask: Tensor | None = None,
) -> Tensor:
    """Mean squared error of the base's prediction at random timesteps.

    `clean` is `(B, C, F, h, w)`, `text` `(B, L, D)`; a `mask` `(B, 1, 1, h, w)` multiplies prediction and
    target, and the mean is still over everything (the authors' code).
    """
    noise = offset_noise(tuple(clean.shape), offset, generator).to(base.device)
    steps = len(base.objective.alphas_cumprod)
    timesteps = torch.randint(steps, (clean.shape[0],), generator=generator)
    clean = clean.to(base.device)
    noisy = base.objective.add_noise(clean, noise, timesteps)
    target = base.objective.target(clean, noise, timesteps)
    error = base.predict(noisy, timesteps, text) - target
    if mask is not None:
        error = error * mask
    return error.square().mean()


def _encoded(encode: Callable[[], _T]) -> _T:
    try:
        return encode()
    except RuntimeError as error:
        raise_if_out_of_memory(error)
        raise


def _count(adapters: AdapterSet) -> int:
    return sum(p.numel() for p in adapters.parameters().values())


def _spread(available: int) -> Tensor:
    """Up to `_STORED_FRAMES` indices, evenly over what is there."""
    return torch.linspace(0, available - 1, min(_STORED_FRAMES, available)).round().long()
