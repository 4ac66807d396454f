"""What a run notes of itself while it learns: curves, kept steps, previews. None of it changes what is learnt."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from engine.adapters.storage import AdapterFiles, write_adapter
from engine.curves import Curves
from engine.held_out import Effect
from engine.learning_folder import CURVE, LEARNING, LINES, PLOT, PREVIEWS, STEPS
from engine.loss_plot import draw_curves
from engine.methods.common import OptimizerConfig, Part
from engine.previews import Previews
from engine.training import Progress


@dataclass(frozen=True)
class Learner:
    """What a part that is trained can be asked between two steps: its held-out loss, its files as they would be
    written now, and, as a context, its base without anything attached."""

    held_out: Callable[[], float]
    files: Callable[[], AdapterFiles]
    bare: Callable[[], AbstractContextManager[None]]


class LearningRecord:
    """Notes into a folder, which a run that goes on finds again. Kept and shown are steps of the last part, before
    which there is no adapter."""

    def __init__(self, folder: Path, config: OptimizerConfig, last: Part, previews: Previews | None) -> None:
        self._folder, self._config, self._last, self._previews = folder, config, last, previews
        self.curves = Curves(folder / LINES)

    def after_step(self, part: Part, progress: Progress, learner: Learner) -> None:
        """Do what is due after a step. The last one is measured at the end, and is the adapter itself."""
        step, config = progress.step, self._config
        inside = step < part.steps
        keeps = inside and part is self._last and _due(config.keep_every, step)
        measures = inside and (_due(config.held_out_every, step) or (keeps and config.held_out_every > 0))
        held_out = learner.held_out() if measures else None
        self.curves.add(part.name, step, progress.loss, held_out)
        if keeps:
            write_adapter(learner.files(), self._folder / STEPS / str(step))
        if self._previews is not None and part is self._last and _due(config.preview_every, step):
            with learner.bare():
                self._previews.make(learner.files(), step, self._folder / PREVIEWS)
        if step % config.snapshot_every == 0 or not inside:
            self.curves.flush()

    def end(self, part: Part, effect: Effect) -> None:
        """Note what a part came to."""
        self.curves.end(part.name, part.steps, effect)

    def publish(self, folder: Path) -> None:
        """Put all of it beside the adapter's files in `folder`."""
        target = folder / LEARNING
        for name in (STEPS, PREVIEWS):
            if (self._folder / name).is_dir() and self._folder != target:
                shutil.copytree(self._folder / name, target / name)
        self.curves.write(target / CURVE)
        draw_curves(self.curves.parts, target / PLOT)
        (target / LINES).unlink(missing_ok=True)


def _due(every: int, step: int) -> bool:
    return every > 0 and step % every == 0
