"""What all stages share: the loop with a weight average, a log, snapshots, and finished weights on disk."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from accelerate import Accelerator
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from engine.files import written_aside
from engine.training import LoopConfig, Progress, Snapshots, settings_of, train


class Average:
    """An exponential moving average of a model's floating-point state, warmed up over its first steps."""

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.model, self.decay = model, decay
        self.tensors = {k: v.detach().clone() for k, v in model.state_dict().items() if v.is_floating_point()}

    @torch.no_grad()
    def update(self, step: int) -> None:
        decay = min(self.decay, (1 + step) / (10 + step))
        state = self.model.state_dict()
        for name, tensor in self.tensors.items():
            tensor.lerp_(state[name], 1 - decay)


def run_stage(
    name: str,
    model: nn.Module,
    loss_at: Callable[[int, int], Tensor],
    loop: LoopConfig,
    *,
    work: Path,
    accelerator: Accelerator,
    ema_decay: float,
    settings: object,
    extra_state: Mapping[str, Tensor] | None = None,
    after_step: Callable[[int], None] | None = None,
    trained: Mapping[str, nn.Parameter] | None = None,
) -> None:
    """Train `model` (or `trained`, a part of it) and leave it holding its averaged weights.

    Finished weights lie at `work/NAME.safetensors` with the steps they took; a stage whose file has taken
    enough is loaded, not run. A stage with more steps than its snapshot goes on from there.
    """
    finished = work / f"{name}.safetensors"
    log = work / f"{name}.jsonl"
    if finished.exists() and _steps_of(log) >= loop.steps:
        model.load_state_dict(load_file(finished), strict=False)
        return
    average = Average(model, ema_decay)
    identity = {k: v for k, v in settings_of(settings).items() if not isinstance(v, dict)}
    snapshots = Snapshots(work / f"{name}.snapshot", {"stage": name, **identity}, every=100)
    started, window = time.perf_counter(), [0.0, 0]

    def report(progress: Progress) -> None:
        average.update(progress.step)
        if after_step is not None:
            after_step(progress.step)
        window[0] += progress.loss
        window[1] += 1
        if progress.step % 50 == 0 or progress.step == progress.steps:
            row = {
                "step": progress.step,
                "loss": round(window[0] / window[1], 5),
                "learning_rate": progress.learning_rate,
                "seconds": round(time.perf_counter() - started, 1),
            }
            window[:] = [0.0, 0]
            with log.open("a", encoding="utf-8") as file:
                file.write(json.dumps(row) + "\n")
            print(name, row, flush=True)
            if progress.step % 500 == 0:
                _write(finished.with_suffix(".latest.safetensors"), average.tensors)

    parameters = dict(trained) if trained is not None else dict(model.named_parameters())
    model.train()
    train(
        parameters, loss_at, loop, accelerator=accelerator, snapshots=snapshots, after_step=report,
        extra_state={f"average.{k}": v for k, v in average.tensors.items()} | dict(extra_state or {}),
    )  # fmt: skip
    _write(finished, average.tensors)
    model.load_state_dict(average.tensors, strict=False)
    model.eval()


def _write(path: Path, tensors: Mapping[str, Tensor]) -> None:
    with written_aside(path) as partial:
        save_file({k: v.contiguous().cpu() for k, v in tensors.items()}, partial)


def _steps_of(log: Path) -> int:
    """The last step that a stage's log tells of."""
    if not log.exists():
        return 0
    return int(json.loads(log.read_text(encoding="utf-8").splitlines()[-1])["step"])
