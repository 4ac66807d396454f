"""Learning a subject and learning a motion: from a plan and a frozen base to an adapter's files."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from math import isfinite
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor, nn

from engine.adapters.choosing import Token
from engine.adapters.forms import fresh
from engine.adapters.learnt import Learnt
from engine.adapters.storage import AdapterFiles, write_adapter
from engine.bases.base import Base
from engine.bases.family import Conditioning
from engine.data.encoding import EncodedClip, OnFrames, encode_clip, encode_images
from engine.dropout import dropping, seeded
from engine.errors import JobError
from engine.held_out import Effect, effect, held_out_batches, held_out_loss
from engine.identity import deciding, deciding_form
from engine.learning_folder import LEARNING
from engine.learning_record import Learner, LearningRecord
from engine.loops import accelerator_for, loop_config
from engine.losses import Captioned, Denoise, denoised_images, denoised_windows
from engine.methods.common import CLASS, Part
from engine.planning import MotionPlan, SubjectPlan, image_prompts, sampling_of
from engine.previews import Previews
from engine.processes import Processes
from engine.prompts import PLACEHOLDER
from engine.training import (
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
class Data:
    """What a part denoises: batches to learn from, and held-out ones."""

    learnt: Denoise
    held_out: Denoise


@dataclass(frozen=True)
class Learned:
    """What came of a run; `final_loss` is the last part's last one, `losses` has each part's. `effect` is the last
    part's, None where it wasn't measured."""

    kind: str
    method: str
    folder: Path
    steps: int
    final_loss: float
    losses: dict[str, float]
    parameters: dict[str, int]
    effect: Effect | None = None


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
    session = _Session(base, plan, run or folder, run is not None, on_progress)
    sources = plan.of_role("image")
    images = _encoded(
        lambda: encode_images(
            base, [s.path for s in sources], [s.path for s in plan.of_role("mask")], [s.trained for s in sources],
            shift=config.shift, generator=generator_at(config.seed, 0, "shift"),
        )
    )  # fmt: skip
    for views in images.sizes:
        _check_finite(views.latents.mean, views.latents.std)
    _check_finite(images.embeddings)
    base.release_encoders(keep_text=True)
    learnt, held_out = images.split(config.hold_out)
    recipe, samples, token = session.recipe, session.share.samples, None
    if recipe.token is not None:
        token = nn.Parameter(_start(base, recipe.token, plan.class_word, config.seed).to(base.device))
    weights = session.fresh_weights(None)

    every = dict.fromkeys(p for part in recipe.parts for p in image_prompts(plan, part.prompt, recipe.word))
    with torch.no_grad():
        base.text.encode(list(every), token)
    base.text.unload()

    def data_of(part: Part) -> Data:
        prompts = image_prompts(plan, part.prompt, recipe.word)
        distinct = list(dict.fromkeys(prompts))
        prompt_of = torch.tensor([distinct.index(prompt) for prompt in prompts])

        def encoded(chosen: Tensor) -> Conditioning:
            needed, places = prompt_of[chosen].unique(return_inverse=True)
            return base.text.encode([distinct[number] for number in needed], token).take(places)

        def data(text_of: Callable[[Tensor], Conditioning]) -> Data:
            return Data(
                *(partial(denoised_images, base, config, each, text_of, samples) for each in (learnt, held_out))
            )

        if "token" in part.trains:
            return data(encoded)
        with torch.no_grad():
            texts = base.text.encode(distinct, token)
        if part is recipe.parts[-1]:
            base.release_encoders()

        def taken(chosen: Tensor) -> Conditioning:
            return texts.take(prompt_of[chosen])

        return data(taken)

    word = recipe.word.replace(CLASS, plan.class_word)
    session.train_parts(session.adapter(learnt.embeddings, word=word), token, weights, data_of)
    return session.written(folder)


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
    session = _Session(base, plan, run or folder, run is not None, on_progress)
    with torch.no_grad():  # Before the clips, so that a large text encoder isn't there beside them.
        texts = base.text.encode(["", *(prompt for _, prompt in plan.clips)])
    base.text.unload()
    clips = _encoded(lambda: _encoded_clips(plan, base, on_encoding, appearance=guidance is not None))
    for clip in clips:
        _check_finite(clip.windows.latents.mean, clip.windows.latents.std, clip.embeddings)
    width = clips[0].embeddings.shape[1] if clips[0].embeddings is not None else None
    base.release_encoders()
    weights = session.fresh_weights(width)
    learnt, held_out = Captioned(clips, texts).split(config.hold_out)
    samples = session.share.samples

    def data_of(_part: Part) -> Data:
        return Data(
            *(partial(denoised_windows, base, config, each, weights, guidance, samples) for each in (learnt, held_out))
        )

    starts = tuple(clip.windows.first() for clip in learnt.clips) if session.recipe.starts_from_clips else ()
    stored = [c.embeddings[_spread(len(c.embeddings))] for c in learnt.clips if c.embeddings is not None]
    adapter = session.adapter(torch.cat(stored) if stored else None, clips=starts)
    session.train_parts(adapter, None, weights, data_of)
    return session.written(folder)


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


class _Attached:
    """Weights in a base while they are trained. They can be taken out for a moment."""

    def __init__(self, base: Base) -> None:
        self._base, self._stack = base, ExitStack()
        self._weights: Learnt | None = None

    def __enter__(self) -> _Attached:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def attach(self, weights: Learnt) -> None:
        """Have the weights take effect, once."""
        if self._weights is None:
            self._weights = weights
            self._stack.enter_context(weights.attached(self._base))

    @contextmanager
    def apart(self) -> Iterator[None]:
        """The base without them inside the context."""
        self._stack.close()
        try:
            yield
        finally:
            if self._weights is not None:
                self._stack.enter_context(self._weights.attached(self._base))


class _Session:
    """What the parts of one run share: what they train, loop settings, snapshots, checkpointing, what is noted.

    `place` is where it keeps what it notes, and its snapshots if it `resumes`.
    """

    def __init__(
        self,
        base: Base,
        plan: SubjectPlan | MotionPlan,
        place: Path,
        resumes: bool,
        on_progress: OnProgress | None,
    ) -> None:
        self.base, self.method, self.config = base, plan.method, plan.settings.config
        self.run, self.on_progress = place if resumes else None, on_progress
        self.recipe = plan.method.recipe(self.config)
        self.losses: dict[str, float] = {}
        self.parameters: dict[str, int] = {}
        self.effect: Effect | None = None
        self.identity = {
            "base": base.fingerprint,
            "dtype": f"torch.{base.precision}",
            "method": plan.method.name,
            "settings": deciding(settings_of(self.config), type(self.config)),
            "sources": [(s.role, s.sha256, s.prompt) for s in plan.sources],
            "plan": _particulars(plan),
            **deciding_form(self.recipe.form),
        }
        self.accelerator = accelerator_for(base)
        processes = Processes(self.accelerator.process_index, self.accelerator.num_processes)
        self.share = processes.share(self.config.batch_size, self.config.gradient_accumulation)
        previews = Previews(plan, base) if self.config.preview_every and processes.is_first else None
        last = self.recipe.parts[-1]
        self.record = LearningRecord(place / LEARNING, self.config, last, previews)
        self.files: Callable[[], AdapterFiles] = lambda: self.adapter(None)

    def fresh_weights(self, condition_width: int | None) -> Learnt | None:
        """The weights that the method trains, if it trains any, before the first step."""
        if self.recipe.weights is None:
            return None
        base = self.base
        return fresh(
            self.recipe.weights, base.sites, base.labels, base.denoiser,
            condition_width=condition_width, seed=self.config.seed,
        ).to(base.device)  # fmt: skip

    def adapter(
        self, embeddings: Tensor | None, *, word: str = PLACEHOLDER, clips: tuple[Tensor, ...] = ()
    ) -> AdapterFiles:
        """An adapter's files but for what is trained."""
        kind, name = self.method.kind, self.method.name
        adapter = AdapterFiles(
            kind, name, self.base.fingerprint, weights={}, embeddings=embeddings, word=word, clips=clips
        )  # fmt: skip
        if (guidance := self.recipe.guidance) is not None:
            strengths = (guidance.strength, guidance.unconditional_strength)
            adapter = replace(adapter, appearance_strengths=strengths)
        return adapter

    def train_parts(
        self,
        adapter: AdapterFiles,
        token: nn.Parameter | None,
        weights: Learnt | None,
        data_of: Callable[[Part], Data],
    ) -> None:
        """Train the parts in order. Weights take effect from the first part on that trains them."""
        start = None if token is None else token.detach().clone()
        self.files = partial(_with_trained, adapter, token, weights)
        with _Attached(self.base) as attached:
            for part in self.recipe.parts:
                trained: dict[str, nn.Parameter] = {}
                if token is not None:
                    token.requires_grad_("token" in part.trains)
                    trained |= {"token": token} if "token" in part.trains else {}
                if weights is not None and "weights" in part.trains:
                    trained |= weights.parameters()
                    attached.attach(weights)
                without = partial(_without, part, token, start, weights)
                self.losses[part.name] = self._train(part, trained, data_of(part), attached, without)
                self.parameters[part.name] = sum(p.numel() for p in trained.values())

    def _train(
        self,
        part: Part,
        parameters: Mapping[str, nn.Parameter],
        data: Data,
        attached: _Attached,
        without: Callable[[], AbstractContextManager[None]],
    ) -> float:
        """Train one part; its randomness at step n comes from (seed, part, n), however many processes share it."""
        config, share, batches = self.config, self.share, held_out_batches(self.config, part.steps)
        snapshots = None
        if self.run is not None:
            snapshots = Snapshots(
                self.run / f"{part.name}.snapshot", {"part": part.name, **self.identity}, config.snapshot_every
            )

        def held_out() -> float:
            with self._undisturbed():
                return held_out_loss(data.held_out, batches, config.seed)

        learner = Learner(held_out, self.files, partial(self._bare, attached))

        def report(progress: Progress) -> None:
            if self.accelerator.is_main_process:
                self.record.after_step(part, progress, learner)
                if self.on_progress is not None:
                    self.on_progress(part.name, progress)

        def loss_at(step: int, micro: int) -> Tensor:
            stream = f"{part.name}/{share.micro_batches[micro]}"
            generator = generator_at(config.seed, step, stream)
            if config.dropout == 0:
                return data.learnt(generator).loss
            own = f"/{share.number}" if share.number else ""
            with seeded(generator_at(config.seed, step, f"{stream}/dropout{own}"), self.base.device):
                return data.learnt(generator).loss

        with ExitStack() as stack:
            stack.callback(self.record.curves.flush)
            if config.gradient_checkpointing:
                stack.enter_context(self.base.family.checkpointed(self.base.denoiser))
            if config.dropout > 0:
                stack.enter_context(dropping(self.base.family.dropouts(self.base.denoiser), config.dropout))
            loss = train(
                parameters,
                loss_at,
                loop_config(
                    config, steps=part.steps, learning_rate=part.learning_rate, micro_batches=len(share.micro_batches)
                ),
                accelerator=self.accelerator,
                snapshots=snapshots,
                after_step=report,
                rate_setting=part.rate_setting,
            )
        if config.held_out_every and part.steps and self.accelerator.is_main_process:
            self.effect = effect(data.held_out, batches, config.seed, without)
            self.record.end(part, self.effect)
        return loss

    def _undisturbed(self) -> AbstractContextManager[None]:
        """The base without the dropout that it is trained beside."""
        if self.config.dropout == 0:
            return nullcontext()
        return dropping(self.base.family.dropouts(self.base.denoiser), 0.0)

    @contextmanager
    def _bare(self, attached: _Attached) -> Iterator[None]:
        with self._undisturbed(), attached.apart():
            yield

    def written(self, folder: Path) -> Learned:
        """Write the adapter's files, in the first process, and tell what came of the run."""
        if self.accelerator.is_main_process:
            write_adapter(self.files(), folder)
            self.record.publish(folder)
        taken = {part: loss for part, loss in self.losses.items() if isfinite(loss)}  # a part of 0 steps has none
        steps = sum(part.steps for part in self.recipe.parts)
        return Learned(
            self.method.kind, self.method.name, folder, steps, list(taken.values())[-1], taken, self.parameters,
            self.effect,
        )  # fmt: skip


def _start(base: Base, token: Token, word: str, seed: int) -> Tensor:
    """Where a new token starts, `(D,)` or `(N, D)`: as one word; vectors after the first a tenth of its spread away.

    Vectors that started alike would stay so where the denoiser knows no order of words.
    """
    first = base.text.start_embedding(token.start_id, word)
    if token.vectors == 1:
        return first
    noise = torch.randn(token.vectors - 1, len(first), generator=generator_at(seed, 0, "token"))
    return torch.cat([first[None], first + 0.1 * first.std() * noise.to(first)])


def _with_trained(adapter: AdapterFiles, token: Tensor | None, weights: Learnt | None) -> AdapterFiles:
    adapter = replace(adapter, token=None if token is None else token.detach())
    if weights is None:
        return adapter
    return replace(adapter, weights=weights.state(), widths=weights.widths, form=weights.form)


@contextmanager
def _without(part: Part, token: nn.Parameter | None, start: Tensor | None, weights: Learnt | None) -> Iterator[None]:
    """What a part trains at strength 0 inside the context: weights that do nothing, the token as it started."""
    learnt = None if token is None else token.detach().clone()
    if weights is not None and "weights" in part.trains:
        weights.strength = 0.0
    try:
        if token is not None and start is not None and "token" in part.trains:
            token.data.copy_(start)
        yield
    finally:
        if weights is not None:
            weights.strength = 1.0
        if token is not None and learnt is not None:
            token.data.copy_(learnt)


def _particulars(plan: SubjectPlan | MotionPlan) -> list[object]:
    """What else a run depends on: another class word or another part of the clips is another run."""
    if isinstance(plan, SubjectPlan):
        return [plan.class_word]
    return [plan.prompt, plan.start, plan.end, plan.source_fps]


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
