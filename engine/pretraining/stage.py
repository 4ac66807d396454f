"""What all stages share: the loop with a weight average, a log, snapshots, and finished weights on disk."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from accelerate import Accelerator
from filelock import FileLock, Timeout
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from engine.averaging import Average
from engine.files import written_aside
from engine.training import LoopConfig, Progress, Snapshots, settings_of, train

if TYPE_CHECKING:
    from _typeshed import DataclassInstance


class OutOfTime(KeyboardInterrupt):
    """The run's time is up: the loop keeps its state, as at Ctrl-C, and the run goes on from there another time."""


class StageInUseError(Exception):
    """Another process trains the same stage in the same work folder: two would overwrite each other's state."""


@dataclass(frozen=True)
class Run:
    """Where a run works, on what, and until when (`time.monotonic()`; None: until it is finished)."""

    work: Path
    accelerator: Accelerator
    deadline: float | None = None

    @property
    def device(self) -> torch.device:
        """The device that trains."""
        device: torch.device = self.accelerator.device
        return device

    @property
    def leads(self) -> bool:
        """Whether this process is the one of several that writes."""
        leads: bool = self.accelerator.is_main_process
        return leads

    @property
    def is_over(self) -> bool:
        """Whether the deadline has passed, for any of the processes: asked by all of them at the same step."""
        if self.deadline is None:
            return False
        over = torch.tensor([float(time.monotonic() > self.deadline)], device=self.device)
        return bool(self.accelerator.reduce(over, "sum") > 0)


def run_stage(
    name: str,
    model: nn.Module,
    loss_at: Callable[[int, int], Tensor],
    loop: LoopConfig,
    run: Run,
    *,
    ema_decay: float,
    settings: DataclassInstance,
    extra_state: Mapping[str, Tensor] | None = None,
    after_step: Callable[[int], None] | None = None,
    trained: Mapping[str, nn.Parameter] | None = None,
) -> bool:
    """Train `model` (or `trained`, a part of it), leave it holding its averaged weights, tell whether it trained.

    Finished weights lie at `work/NAME.safetensors`, with the steps they took. A stage that took
    enough is loaded, not run; one that took fewer goes on from its weights for the rest, its optimizer anew.
    `loss_at` counts from the stage's very first step, so what was drawn before is not drawn again.
    The average so far is written to `work/NAME.latest.safetensors` now and then, and when the time is up.
    Where accelerate runs several processes, each has its own losses, and the first writes.
    Raises `OutOfTime` at the run's deadline, `StageInUseError` where another run trains it.
    """
    work = run.work
    finished, log, snapshot = (work / f"{name}.{kind}" for kind in ("safetensors", "jsonl", "snapshot"))
    latest = finished.with_suffix(".latest.safetensors")
    done = 0
    if finished.exists():
        model.load_state_dict({k: v.float() for k, v in load_file(finished).items()}, strict=False)
        done = steps_of(finished)
        if done >= loop.steps:
            return False
    steps = loop.steps - done
    rest = replace(loop, steps=steps, decay_steps=loop.decay_steps * steps // loop.steps)
    floating = {name: tensor for name, tensor in model.state_dict().items() if tensor.is_floating_point()}
    average = Average(floating, ema_decay)
    identity = {k: v for k, v in settings_of(settings).items() if not isinstance(v, dict)}
    snapshots = Snapshots(snapshot, {"stage": name, "after": done, **identity}, every=100)
    started, window = time.perf_counter(), [0.0, 0]

    def report(progress: Progress) -> None:
        average.update(progress.step)
        if after_step is not None:
            after_step(progress.step)
        window[0] += progress.loss
        window[1] += 1
        if run.leads and (progress.step % 50 == 0 or progress.step == progress.steps):
            row = {
                "step": done + progress.step,
                "loss": round(window[0] / window[1], 5),
                "learning_rate": progress.learning_rate,
                "seconds": round(time.perf_counter() - started, 1),
            }
            window[:] = [0.0, 0]
            with log.open("a", encoding="utf-8") as file:
                file.write(json.dumps(row) + "\n")
            print(name, row, flush=True)
        over = run.is_over
        if run.leads and (progress.step % 250 == 0 or over):
            write_stage(latest, average.tensors, done + progress.step)
        if over:
            raise OutOfTime

    parameters = dict(trained) if trained is not None else dict(model.named_parameters())
    model.train()
    with _alone(work, name) if run.leads else nullcontext():
        train(
            parameters, lambda step, micro: loss_at(done + step, micro), rest,
            accelerator=run.accelerator, snapshots=snapshots, after_step=report,
            extra_state={f"average.{k}": v for k, v in average.tensors.items()} | dict(extra_state or {}),
        )  # fmt: skip
    if run.leads:
        write_stage(finished, average.tensors, loop.steps)
        for left in (snapshot, latest):
            left.unlink(missing_ok=True)
    run.accelerator.wait_for_everyone()
    model.load_state_dict(average.tensors, strict=False)
    model.eval()
    return True


@contextmanager
def _alone(work: Path, name: str) -> Iterator[None]:
    """While it lasts no other process trains this stage here; the lock ends with its process, however that ends."""
    try:
        lock = FileLock(work / f"{name}.lock", timeout=0).acquire()
    except Timeout:
        raise StageInUseError(f"the stage {name} is being trained in {work} by another process") from None
    with lock:
        yield


def write_stage(path: Path, tensors: Mapping[str, Tensor], steps: int) -> None:
    """Write a stage's weights, and how many steps they took."""
    with written_aside(path) as partial:
        save_file({k: v.contiguous().cpu() for k, v in tensors.items()}, partial, metadata={"steps": str(steps)})


def copy_stage(work: Path, source: str, name: str) -> None:
    """Let a stage go on from the finished weights of another: they become its own, and the steps it took stay."""
    taught, own = (work / f"{stage}.safetensors" for stage in (source, name))
    write_stage(own, load_file(taught), steps_of(own))


def weights_file(work: Path, name: str) -> Path | None:
    """The newest weights of a stage: those that it has reached while it runs, or the finished ones, or None."""
    candidates = (work / f"{name}.latest.safetensors", work / f"{name}.safetensors")
    return next((path for path in candidates if path.exists()), None)


def steps_taken(work: Path, name: str) -> int:
    """The steps that a stage's newest weights took. Raises `FileNotFoundError` where there are none."""
    path = weights_file(work, name)
    if path is None:
        raise FileNotFoundError(f"{work} holds no weights of {name}")
    return steps_of(path)


def steps_of(path: Path) -> int:
    """The steps that the weights in a stage's file took."""
    with safe_open(path, framework="pt") as file:
        return int(file.metadata()["steps"])
