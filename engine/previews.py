"""Videos of what was learnt so far, made while a run goes on."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

from engine.adapters.applied import AppliedAdapter
from engine.adapters.storage import AdapterFiles, write_adapter
from engine.bases.base import Base
from engine.composing import compose
from engine.media.sheets import contact_sheet, write_sheet
from engine.media.video import write_video
from engine.planning import MotionPlan, SubjectPlan, preview_config, preview_prompt

_SHEET_FRAMES = 8


class Previews:
    """Makes a short clip and its contact sheet. Holds a base of its own, whose encoders stay when learning lets its
    own go."""

    def __init__(self, plan: SubjectPlan | MotionPlan, base: Base) -> None:
        self._base, self._kind = base.shared(), plan.method.kind
        self._prompt, self._seed = preview_prompt(plan), plan.settings.config.seed
        self._config = preview_config(plan, base.info)

    def make(self, adapter: AdapterFiles, step: int, folder: Path) -> None:
        """Write `STEP.mp4` and `STEP.png` into the folder. The base's denoiser must have nothing attached."""
        with TemporaryDirectory() as temporary:
            files = Path(temporary) / str(step)
            write_adapter(adapter, files)
            made = compose(
                self._base, self._prompt, seed=self._seed, config=self._config,
                adapters=[AppliedAdapter(files, self._kind)],
            )  # fmt: skip
        folder.mkdir(parents=True, exist_ok=True)
        video = folder / f"{step}.mp4"
        write_video(made.frames, video, self._config.fps, made.record)
        sheet = contact_sheet([(f"step {step}", list(made.frames))], columns=_SHEET_FRAMES)
        write_sheet(sheet, folder / f"{step}.png", made.record)
