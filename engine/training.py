"""THE training loop. Every method, and the embedded base's pretraining, goes through it.

The randomness of step n comes from (seed, n) alone, see `generator_at`, so a snapshot holds weights and optimizer
only, and a run that was stopped ends in the same bytes as one that was not. Where accelerate runs several processes,
each has samples of its own, all take the same step by the mean of their gradients, and the first writes.
"""

from __future__ import annotations

import hashlib
import math
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from engine.errors import DivergedError, OutOfMemoryError, ResumeError
from engine.files import written_aside
from engine.identity import hashed
from engine.muon import Muon

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

LESS_MEMORY = (
    "`gradient_checkpointing` needs far less and may be turned on for a run that goes on; a run that starts anew may "
    "also lower `batch_size` (and raise `gradient_accumulation`), `frames` or `size`, or use bf16"
)
"""What a person can do when training runs out of memory: only what changes no result is open to a resume."""


@dataclass(frozen=True)
class LoopConfig:
    """How weights are updated. Defaults are the paper's (AdamW, appendix A of arXiv 2312.04433)."""

    steps: int
    learning_rate: float
    seed: int = 0
    optimizer: Literal["adamw", "muon"] = "adamw"
    """Muon takes matrices and kernels, and leaves AdamW the rest: `betas` and `eps` are AdamW's."""
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8
    weight_decay: float = 0.0
    gradient_accumulation: int = 1
    max_grad_norm: float | None = None
    warmup_steps: int = 0
    decay_steps: int = 0
    """The learning rate falls linearly to zero over the last `decay_steps` steps; 0 keeps it constant."""

    def learning_rate_at(self, step: int) -> float:
        """The learning rate of step `step`, counted from 0."""
        up = (step + 1) / self.warmup_steps if step < self.warmup_steps else 1.0
        left = self.steps - step
        down = left / self.decay_steps if left < self.decay_steps else 1.0
        return self.learning_rate * min(up, down)


@dataclass(frozen=True)
class Progress:
    """What the loop tells after each step. `loss` is the mean over the step's micro-batches."""

    step: int
    steps: int
    loss: float
    learning_rate: float
    seconds: float


@dataclass(frozen=True)
class Snapshots:
    """Where a run keeps its state, and how often. `identity` is whatever must be equal for a resume."""

    path: Path
    identity: Mapping[str, object]
    every: int = 100

    @property
    def digest(self) -> str:
        return hashed(self.identity)


def generator_at(seed: int, step: int, stream: str = "") -> torch.Generator:
    """The CPU generator of one step: a function of its arguments, whatever was drawn before."""
    digest = hashlib.sha256(f"{seed}/{step}/{stream}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "little") >> 1)


def train(
    parameters: Mapping[str, nn.Parameter],
    loss_at: Callable[[int, int], Tensor],
    config: LoopConfig,
    *,
    accelerator: Accelerator | None = None,
    extra_state: Mapping[str, Tensor] | None = None,
    snapshots: Snapshots | None = None,
    after_step: Callable[[Progress], None] | None = None,
    rate_setting: str = "learning_rate",
) -> float:
    """Minimise `loss_at(step, micro_batch)` over `parameters`; return the last step's loss.

    With several processes `loss_at` gives each its own samples' loss, and losses and gradients are their means: R
    processes of a batch B are one process of a batch R * B.

    `extra_state` are further tensors that `after_step` changes in place (a weight average, say) and that
    a snapshot must hold. With `snapshots`, a state found at its path is continued, one is written every
    `every` steps and when the loop is left by Ctrl-C, and at the end (the caller removes it once its result is safe).

    Weights that are no longer numbers are neither kept nor given back. `rate_setting` is what the caller's settings
    call the learning rate.
    Raises `ResumeError` when the snapshot was made by another run or is damaged, `DivergedError` at a loss or
    weights that are not finite, `OutOfMemoryError` when the device is too small.
    """
    accelerator = accelerator or Accelerator(cpu=True)
    trained = list(parameters.values())
    optimizers = _optimizers(trained, config)
    state = _State(parameters, optimizers, extra_state or {}, accelerator)
    start, loss = state.load(snapshots) if snapshots is not None else (0, math.nan)
    _check_together(start, accelerator)
    done, applying = start, False
    try:
        for step in range(start, config.steps):
            began = time.perf_counter()
            rate = config.learning_rate_at(step)
            for group in (group for optimizer in optimizers for group in optimizer.param_groups):
                group["lr"] = rate
            gradients_loss = _gradients(loss_at, step, config, accelerator, rate_setting)
            _average_gradients(trained, accelerator)
            applying = True
            _apply(trained, optimizers, config, accelerator)
            done, loss, applying = step + 1, gradients_loss, False
            if after_step is not None:
                after_step(Progress(done, config.steps, loss, rate, time.perf_counter() - began))
            if done == config.steps or (snapshots is not None and done % snapshots.every == 0):
                _check_weights(state, done, rate_setting)
                if snapshots is not None and done < config.steps:
                    state.save(snapshots, done, loss)
    except KeyboardInterrupt:
        # Between the update and its count the weights belong to no step: the last snapshot stands.
        if snapshots is not None and done > start and not applying and state.is_finite:
            state.save(snapshots, done, loss)
        raise
    if snapshots is not None:
        state.save(snapshots, done, loss)
        accelerator.wait_for_everyone()
    return loss


def _optimizers(trained: list[nn.Parameter], config: LoopConfig) -> list[torch.optim.Optimizer]:
    """AdamW; or Muon for matrices and kernels of more than one row and column, and AdamW for what isn't, if any."""
    rate, decay = config.learning_rate, config.weight_decay
    matrices = [p for p in trained if p.ndim >= 2 and min(p.flatten(1).shape) > 1] if config.optimizer == "muon" else []
    kept = {id(p) for p in matrices}
    others = [p for p in trained if id(p) not in kept]
    made: list[torch.optim.Optimizer] = [Muon(matrices, rate, weight_decay=decay)] if matrices else []
    if others:
        made.append(torch.optim.AdamW(others, lr=rate, betas=config.betas, eps=config.eps, weight_decay=decay))
    return made


def _gradients(
    loss_at: Callable[[int, int], Tensor], step: int, config: LoopConfig, accelerator: Accelerator, rate_setting: str
) -> float:
    """Add up the gradients of `gradient_accumulation` micro-batches, their mean; return the mean loss."""
    total = 0.0
    try:
        for micro in range(config.gradient_accumulation):
            loss = loss_at(step, micro) / config.gradient_accumulation
            value = float(accelerator.reduce(loss.detach(), "mean"))
            if not math.isfinite(value):
                raise _diverged(f"the loss is {value}", step + 1, rate_setting)
            accelerator.backward(loss)
            total += value
    except RuntimeError as error:
        raise_if_out_of_memory(error, LESS_MEMORY)
        raise
    return total


def _check_together(start: int, accelerator: Accelerator) -> None:
    """Raise `ResumeError` where processes would not start at the same step."""
    starts = accelerator.gather(torch.tensor([start], device=accelerator.device)).tolist()
    if len(set(starts)) > 1:
        raise ResumeError(
            f"the processes found snapshots of different steps ({', '.join(map(str, starts))}): give them one folder "
            "that they share"
        )


def _average_gradients(trained: list[nn.Parameter], accelerator: Accelerator) -> None:
    """Replace each gradient by its mean over the processes; one that no process has stays away."""
    if accelerator.num_processes == 1:
        return
    there = accelerator.reduce(
        torch.tensor([p.grad is not None for p in trained]).to(accelerator.device, torch.int), "sum"
    )
    reached = [parameter for parameter, found in zip(trained, there.tolist(), strict=True) if found]
    for parameter in reached:
        if parameter.grad is None:
            parameter.grad = torch.zeros_like(parameter)
    for together in _in_messages([p.grad for p in reached if p.grad is not None]):
        mean = accelerator.reduce(torch.cat([gradient.flatten() for gradient in together]), "mean")
        for gradient, part in zip(together, mean.split([gradient.numel() for gradient in together]), strict=True):
            gradient.copy_(part.view_as(gradient))


def _in_messages(tensors: Iterable[Tensor], most: int = 2**24) -> Iterator[list[Tensor]]:
    """Tensors in groups of up to `most` values, or of a single one: few messages, and no copy of all of them."""
    group: list[Tensor] = []
    values = 0
    for tensor in tensors:
        if group and values + tensor.numel() > most:
            yield group
            group, values = [], 0
        group.append(tensor)
        values += tensor.numel()
    if group:
        yield group


def _check_weights(state: _State, step: int, rate_setting: str) -> None:
    if not state.is_finite:
        raise _diverged("weights are no longer numbers", step, rate_setting)


def _diverged(what: str, step: int, rate_setting: str) -> DivergedError:
    if step == 1:
        return DivergedError(f"{what} at the first step, before anything was learnt: the base overflows, so use fp32")
    return DivergedError(
        f"{what} at step {step}: lower `{rate_setting}`, limit the gradients with `max_grad_norm`, or use fp32"
    )


def _apply(
    trained: list[nn.Parameter], optimizers: list[torch.optim.Optimizer], config: LoopConfig, accelerator: Accelerator
) -> None:
    """One step of each optimizer with the gradients at hand."""
    try:
        scaler = accelerator.scaler
        if config.max_grad_norm is not None:
            if scaler is not None:
                for optimizer in optimizers:
                    scaler.unscale_(optimizer)  # the norm is meant without the loss's scale
            nn.utils.clip_grad_norm_(trained, config.max_grad_norm)
        for optimizer in optimizers:
            if scaler is None:
                optimizer.step()
            else:
                scaler.step(optimizer)
        if scaler is not None:
            scaler.update()
        for optimizer in optimizers:
            optimizer.zero_grad(set_to_none=True)
    except RuntimeError as error:
        raise_if_out_of_memory(error, LESS_MEMORY)
        raise


def raise_if_out_of_memory(error: RuntimeError, advice: str) -> None:
    """Raise `OutOfMemoryError` with `advice` in place of torch's own ways of saying so; return for any other error."""
    if isinstance(error, torch.OutOfMemoryError) or re.search("out of memory|can't allocate memory", str(error)):
        raise OutOfMemoryError(f"the device ran out of memory: {advice}") from error


class _State:
    """What a snapshot holds: the trained weights, the optimizers, and the caller's extra tensors."""

    def __init__(
        self,
        parameters: Mapping[str, nn.Parameter],
        optimizers: list[torch.optim.Optimizer],
        extra: Mapping[str, Tensor],
        accelerator: Accelerator,
    ) -> None:
        self.parameters, self.optimizers, self.extra, self.accelerator = (
            parameters,
            optimizers,
            extra,
            accelerator,
        )

    @property
    def is_finite(self) -> bool:
        return all(bool(t.detach().isfinite().all()) for t in (*self.parameters.values(), *self.extra.values()))

    def save(self, snapshots: Snapshots, step: int, loss: float) -> None:
        """Write a snapshot, in the first process: the others have the same state."""
        if not self.accelerator.is_main_process:
            return
        scaler = self.accelerator.scaler
        state = {
            "step": step,
            "loss": loss,
            "digest": snapshots.digest,
            "parameters": {name: p.detach() for name, p in self.parameters.items()},
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
            "extra": dict(self.extra),
            "scaler": scaler.state_dict() if scaler is not None else None,
        }
        with written_aside(snapshots.path) as partial:
            torch.save(state, partial)

    def load(self, snapshots: Snapshots) -> tuple[int, float]:
        """Restore in place; return the steps done and the last loss, (0, nan) where there is no snapshot."""
        if not snapshots.path.exists():
            return 0, math.nan
        try:
            return self._restored(snapshots)
        except ResumeError:
            raise
        except Exception as error:  # whatever torch and pickle make of a damaged file
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
            raise ResumeError(
                f"the snapshot {snapshots.path} is damaged ({reason}): start anew with `restart`"
            ) from error

    def _restored(self, snapshots: Snapshots) -> tuple[int, float]:
        state = torch.load(snapshots.path, map_location="cpu", weights_only=True)
        if state["digest"] != snapshots.digest:
            raise ResumeError(
                f"the snapshot {snapshots.path} was made with other settings or sources: repeat the run's "
                "own settings to resume it, or start anew with `restart`"
            )
        with torch.no_grad():
            for name, parameter in self.parameters.items():
                parameter.copy_(state["parameters"][name])
            for name, tensor in self.extra.items():
                tensor.copy_(state["extra"][name])
        for optimizer, kept in zip(self.optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(kept)
        if self.accelerator.scaler is not None and state["scaler"] is not None:
            self.accelerator.scaler.load_state_dict(state["scaler"])
        return int(state["step"]), float(state["loss"])


def settings_of(config: DataclassInstance) -> dict[str, object]:
    """A frozen dataclass as plain values, for a snapshot's identity or an adapter's row."""
    return asdict(config)
