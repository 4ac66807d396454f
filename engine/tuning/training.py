"""Training a base's own parameters on a data set, and writing the base that comes of it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from engine.averaging import Average
from engine.bases.base import Base
from engine.bases.load import DTYPES, choose_compute, load_base
from engine.bases.location import BaseLocation
from engine.bases.writing import denoiser_parts, write_base_like
from engine.curves import Curves
from engine.dropout import dropping, seeded
from engine.errors import InputError
from engine.freeing import give_back
from engine.identity import deciding
from engine.learning_folder import CURVE, LEARNING, LINES, PLOT
from engine.loops import accelerator_for, loop_config
from engine.loss_plot import draw_curves
from engine.losses import denoised
from engine.processes import Processes
from engine.training import Progress, Snapshots, generator_at, settings_of, train
from engine.tuning.order import Order
from engine.tuning.planning import TuningPlan
from engine.tuning.settings import TuningConfig
from engine.tuning.windows import KeptLatents, Window, WindowReader

PART = "tuning"
"""What progress calls it."""
CLIPS = "clips.jsonl"
"""In the folder `learning/` of a tuned base: each clip, its hash and its caption."""
_CAPTIONS_AT_ONCE = 64


@dataclass(frozen=True)
class Tuned:
    """What came of a run: a base in `folder`, and how many `parameters` were trained."""

    folder: Path
    steps: int
    final_loss: float
    parameters: int


def check_dtype(dtype: str) -> None:
    """Raise `InputError` for a precision that weights can't be trained beside."""
    if dtype == "fp8":
        raise InputError("`dtype` fp8 stores frozen weights, and here they are trained: choose bf16, which computes so")


def load_for_tuning(location: BaseLocation, *, device: str | None, dtype: str) -> Base:
    """Load a base with all weights in float32, of which the denoiser computes in `dtype`. Raises as `load_base`."""
    check_dtype(dtype)
    choose_compute(device, dtype)
    base = load_base(location, device=device)
    base.image_encoder = None
    give_back(base.device)
    return replace(base, compute=replace(base.compute, dtype=DTYPES[dtype]))


def tune(
    plan: TuningPlan, base: Base, folder: Path, *, run: Path, on_progress: Callable[[Progress], None] | None = None
) -> Tuned:
    """Train by the plan, and write the new base into `folder`, the first of several processes alone.

    The base's own denoiser is changed: it is of no use afterwards. `run` is the folder of the snapshot, which is
    continued, and of encoded clips. Raises `InputError` for clips that can't be read any more, and `JobError`'s
    children for a run that fails.
    """
    training = _Training(plan, base, run, on_progress)
    loss = training.train()
    if training.accelerator.is_main_process:
        parts = denoiser_parts(base.info, base.denoiser, training.result)
        write_base_like(base.info, folder, parts)
        _write_clips(plan, folder / LEARNING / CLIPS)
        training.curves.write(folder / LEARNING / CURVE)
        draw_curves(training.curves.parts, folder / LEARNING / PLOT)
    count = sum(parameter.numel() for parameter in training.parameters.values())
    return Tuned(folder, plan.settings.config.steps, loss, count)


class _Training:
    """The state of a run: parameters, their average, order and cache of the data."""

    def __init__(self, plan: TuningPlan, base: Base, run: Path, on_progress: Callable[[Progress], None] | None) -> None:
        self.plan, self.base, self.run, self.on_progress = plan, base, run, on_progress
        self.config: TuningConfig = plan.settings.config
        self.parameters = {name: base.denoiser.get_parameter(name) for name in plan.trained}
        for parameter in self.parameters.values():
            parameter.requires_grad_()
        self.average = Average(self.parameters, self.config.ema_decay) if self.config.ema_decay else None
        self.accelerator = accelerator_for(base)
        self.processes = Processes(self.accelerator.process_index, self.accelerator.num_processes)
        self.share = self.processes.share(self.config.batch_size, self.config.gradient_accumulation)
        self.order = Order(plan.lengths, self.config.batch_size, self.config.seed)
        self.curves = Curves(run / LEARNING / LINES)

    @property
    def result(self) -> Mapping[str, Tensor]:
        """The weights that are kept."""
        return self.parameters if self.average is None else self.average.tensors

    def train(self) -> float:
        """All steps; the last one's loss."""
        config, average = self.config, {} if self.average is None else self.average.tensors
        most_bytes = int(config.clip_cache * 2**30) // self.processes.size
        kept = KeptLatents(self.run / "latents", most_bytes)
        with ExitStack() as stack:
            stack.callback(self.curves.flush)
            reader = stack.enter_context(
                WindowReader(self.base, self.plan.clips, self.plan.sampling, config.size, kept)
            )
            self._read_captions_ahead()
            if config.gradient_checkpointing:
                stack.enter_context(self.base.family.checkpointed(self.base.denoiser))
            if config.dropout > 0:
                stack.enter_context(dropping(self.base.family.dropouts(self.base.denoiser), config.dropout))
            return train(
                self.parameters,
                lambda step, micro: self._loss(reader, step, self.share.micro_batches[micro]),
                loop_config(
                    config, steps=config.steps, learning_rate=config.learning_rate,
                    micro_batches=len(self.share.micro_batches),
                ),
                accelerator=self.accelerator,
                extra_state={f"average.{name}": tensor for name, tensor in average.items()},
                snapshots=Snapshots(self.run / f"{PART}.snapshot", self._identity(), config.snapshot_every),
                after_step=self._after_step,
            )  # fmt: skip

    def _identity(self) -> dict[str, object]:
        return {
            "part": PART,
            "base": self.base.fingerprint,
            "dtype": f"torch.{self.base.precision}",
            "settings": deciding(settings_of(self.config), TuningConfig),
            "data": self.plan.data_hash,
        }

    @torch.no_grad()
    def _read_captions_ahead(self) -> None:
        """An encoder that is too large to stay reads all captions once, and goes; others read them at every step."""
        if "text_encoder" in self.base.family.parts.passing:
            captions = list(dict.fromkeys(("", *self.plan.captions)))
            for start in range(0, len(captions), _CAPTIONS_AT_ONCE):
                self.base.text.encode(captions[start : start + _CAPTIONS_AT_ONCE])
            self.base.text.unload()

    def _after_step(self, progress: Progress) -> None:
        if self.average is not None:
            self.average.update(progress.step)
        if not self.accelerator.is_main_process:
            return
        self.curves.add(PART, progress.step, progress.loss, None)
        if progress.step % self.config.snapshot_every == 0:
            self.curves.flush()
        if self.on_progress is not None:
            self.on_progress(progress)

    def _windows(self, number: int) -> list[Window]:
        """The windows of a batch, counted over all steps and their micro-batches."""
        generator = generator_at(self.config.seed, number, "windows")
        windows = []
        for clip in self.order.batch(number):
            starts = self.plan.starts(clip)
            windows.append(Window(clip, starts[int(torch.randint(len(starts), (), generator=generator))]))
        return windows

    def _loss(self, reader: WindowReader, step: int, micro: int) -> Tensor:
        """The loss of this process's samples of a batch, whose randomness comes from seed and step alone."""
        config, share, every = self.config, self.share, self.config.gradient_accumulation
        generator = generator_at(config.seed, step, f"{PART}/{micro}")
        windows = self._windows(step * every + micro)
        clean = self._encoded(reader, windows, generator)
        later = share.micro_batches[share.micro_batches.index(micro) + 1 :] or [every + share.micro_batches[0]]
        reader.announce(self._windows(step * every + later[0])[share.samples])
        with_caption = torch.rand(len(windows), generator=generator) >= config.p_zero
        captions = [
            self.plan.captions[window.clip] if said else "" for window, said in zip(windows, with_caption, strict=True)
        ]
        with torch.no_grad():
            text = self.base.text.encode(captions[share.samples])
        if config.dropout == 0:
            return denoised(self.base, config, clean, text, generator, samples=share.samples).loss
        own = f"{PART}/{micro}/dropout/{share.number}"
        with seeded(generator_at(config.seed, step, own), self.base.device):
            return denoised(self.base, config, clean, text, generator, samples=share.samples).loss

    def _encoded(self, reader: WindowReader, windows: list[Window], generator: torch.Generator) -> Tensor:
        """Clean latents `(B, C, f, h, w)` of a batch, drawn from the autoencoder's; of other processes' samples zeros,
        which nobody reads."""
        mine = set(range(len(windows))[self.share.samples])
        drawn = []
        for number, window in enumerate(windows):
            shape = self.base.layout.shape(self.plan.lengths[window.clip], self.config.size)
            noise = torch.randn(shape, generator=generator)
            if number in mine:
                latents = reader.latents(window)
                drawn.append(latents.mean + latents.std * noise)
            else:
                drawn.append(torch.zeros(shape))
        return torch.stack(drawn)


def _write_clips(plan: TuningPlan, file: Path) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("w", encoding="utf-8", errors="backslashreplace") as opened:
        for clip, caption in zip(plan.clips, plan.captions, strict=True):
            opened.write(
                json.dumps({"path": str(clip.path.absolute()), "sha256": clip.sha256, "caption": caption}) + "\n"
            )
