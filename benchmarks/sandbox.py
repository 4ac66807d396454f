"""Where fuzzing.py lets `dv` run: a folder with a home, a registry, a working folder, all put back after each case.

`dv` runs in this process through the function that its entry point runs, so that exit codes are the real ones. The
denoising loop, training and the judges are replaced; everything around them is real.
"""

from __future__ import annotations

import contextlib
import io
import os
import resource
import shutil
import signal
import sys
import tempfile
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import typer
from typer.main import get_command

from dreamvideo_cli.main import run
from tests.rendering import MATERIAL

SLOWEST_S = 60
"""A case that takes longer hangs."""
MOST_MEMORY = 8 << 30
"""An input that asks for more fails, and takes no other process along."""

_WRITING = {"os.mkdir": (0,), "os.rename": (0, 1), "os.remove": (0,), "os.rmdir": (0,), "os.link": (1,),
            "os.symlink": (1,), "shutil.rmtree": (0,), "os.truncate": (0,), "sqlite3.connect": (0,)}  # fmt: skip


@dataclass(frozen=True)
class Ended:
    """How one `dv` ended, and what it changed: paths relative to the sandbox. `code` is None after a traceback."""

    code: int | None
    out: bytes
    err: str
    changed: frozenset[Path]
    outside: frozenset[str]


class Sandbox:
    """The folder: `home` is DV_HOME, `user` the user's own, `deep/er/here` the working folder, `tmp` the temporary."""

    def __init__(self, root: Path) -> None:
        self.root, self._whole = root / "live", root / "whole"
        self.home, self.here = self.root / "home", self.root / "deep" / "er" / "here"
        self._outside: set[str] = set()
        self._watching = False
        for folder in (self.home, self.here, self.root / "user", self.root / "tmp"):
            folder.mkdir(parents=True)
        self._environment()
        resource.setrlimit(resource.RLIMIT_AS, (MOST_MEMORY, MOST_MEMORY))
        self.base = _base()
        self.frames = np.zeros((2, 16, 16, 3), np.uint8)
        os.chdir(self.here)
        _fill(self.here, self.base)
        os.chdir(root)
        # The app builds its tree of commands anew for each call: most of what a short one costs.
        patch("typer.main.get_command", cache(get_command)).start()
        self.root.rename(self._whole)
        self._before: dict[Path, tuple[int, int]] = {}
        self.reset()
        sys.addaudithook(self._audit)

    def reset(self) -> None:
        """Everything as it was at first, the working folder included."""
        os.chdir(self._whole)
        shutil.rmtree(self.root, ignore_errors=True)
        shutil.copytree(self._whole, self.root, symlinks=True)
        os.chdir(self.here)
        self.remember()

    def remember(self) -> None:
        """What is there now counts as unchanged."""
        self._before = self._seen()

    def play(self, arguments: Sequence[str], stdin: bytes = b"") -> Ended:
        """Run `dv`, then say how it ended and what it changed; the sandbox stays as `dv` left it."""
        self._outside.clear()
        out = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
        err = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", errors="backslashreplace")  # as Python's own
        said = io.TextIOWrapper(io.BytesIO(stdin), encoding="utf-8")
        code: int | None = None
        self._watching = True
        try:
            with patch.multiple(sys, stdout=out, stderr=err, stdin=said), _at_most(SLOWEST_S):
                code = run(arguments)
        except BaseException:
            err.write(traceback.format_exc())
        finally:
            self._watching = False
        for stream in (out, err):
            stream.flush()
        after = self._seen()
        changed = {path for path in self._before.keys() | after.keys() if self._before.get(path) != after.get(path)}
        return Ended(
            code, out.buffer.getvalue(), err.buffer.getvalue().decode("utf-8", "replace"),
            frozenset(changed), frozenset(self._outside),
        )  # fmt: skip

    def _environment(self) -> None:
        user = self.root / "user"
        os.environ.update(
            DV_HOME=str(self.home), HOME=str(user), XDG_CACHE_HOME=str(user / "cache"), SHELL="/bin/bash",
            XDG_DATA_HOME=str(user / "data"), XDG_CONFIG_HOME=str(user / "config"), HF_HUB_OFFLINE="1",
            TMPDIR=str(self.root / "tmp"), COLUMNS="120",
        )  # fmt: skip
        os.environ.pop("DV_REGISTRY_URL", None)
        tempfile.tempdir = str(self.root / "tmp")
        sys.dont_write_bytecode = True
        warnings.simplefilter("ignore")

    def _seen(self) -> dict[Path, tuple[int, int]]:
        """Every file and folder with its size and time; of a folder only that it is there."""
        seen = {}
        for folder, folders, files in os.walk(self.root):
            for name in folders:
                seen[Path(folder, name)] = (-1, -1)
            for name in files:
                status = os.lstat(os.path.join(folder, name))
                seen[Path(folder, name)] = (status.st_size, status.st_mtime_ns)
        return {path.relative_to(self.root): state for path, state in seen.items()}

    def _audit(self, event: str, arguments: tuple[Any, ...]) -> None:
        """Python tells of every file that it opens to write, and of every rename and removal."""
        if not self._watching:
            return
        paths: list[Any] = []
        if event == "open":
            path, _, flags = arguments
            if isinstance(flags, int) and flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
                paths = [path]
        elif event in _WRITING:
            paths = [arguments[place] for place in _WRITING[event]]
        for path in paths:
            if isinstance(path, str | bytes | os.PathLike):
                full = os.path.abspath(os.fsdecode(path).removeprefix("file:").partition("?")[0])
                if not full.startswith((f"{self.root}{os.sep}", os.devnull)) and full != str(self.root):
                    self._outside.add(full)


@contextlib.contextmanager
def without_models(sandbox: Sandbox, *, attach: bool = False) -> Iterator[None]:
    """No training, no judging, and no denoising; with `attach` what was learnt is still put into the base."""
    import engine.composing

    stubs: list[Any] = [
        patch("engine.bases.load.load_base", lambda *_, **__: sandbox.base),
        patch("engine.learning.learn_subject", _learnt("subject")),
        patch("engine.learning.learn_motion", _learnt("motion")),
        patch("engine.evaluation.scoring.Scorer.score", _scored),
        patch("dreamvideo_cli.commands.demo._run_dv", _no_demo),
    ]
    if attach:
        stubs.append(patch("engine.composing.sampler_named", lambda *_, **__: lambda _denoise, start, *_, **__: start))
        stubs.append(patch.object(sandbox.base, "decode_latents", _black, create=True))
    else:
        stubs.append(patch.object(engine.composing, "_sample", lambda *_: sandbox.frames[None]))
    with contextlib.ExitStack() as stack:
        for stub in stubs:
            stack.enter_context(stub)
        yield


def _learnt(kind: str) -> Callable[..., Any]:
    def learn(plan: Any, _base: Any, folder: Path, **_: Any) -> Any:
        from engine.learning import Learned

        (folder / "adapter.safetensors").write_bytes(b"weights")
        return Learned(kind, plan.method.name, folder, 1, 0.5, {}, {})

    return learn


def _scored(_scorer: Any, video: Path, _wanted: Any) -> Any:
    from engine.data.clips import probe_clip
    from engine.evaluation.scoring import METRICS, Scores

    return Scores(probe_clip(video), {metric.name: 0.5 for metric in METRICS}, {})


def _no_demo(*_: Any) -> None:
    raise typer.Exit(1)


def _black(latents: Any) -> Any:
    import torch

    return torch.zeros(len(latents), 3, 16, 16)


def _base() -> Any:
    from engine.bases.load import load_base
    from engine.bases.location import EMBEDDED

    return load_base(EMBEDDED, device="cpu")


def _fill(here: Path, base: Any) -> None:
    """Two adapters, the first with two versions, and what commands read: pictures, clips, videos, a pack, rows."""
    from engine.media.video import write_video

    shutil.copytree(MATERIAL / "rex", here / "photos")
    (here / "clips").mkdir()
    for name in ("2-car.mp4", "2-car.txt"):
        shutil.copy(MATERIAL / "zigzag" / name, here / "clips" / name)
    for name, kind in (("fox", "subject"), ("fox", "subject"), ("walk", "motion")):
        _publish(name, kind, base, here)
    for name in ("made.mp4", "made.png", "made.gif"):
        write_video(np.zeros((2, 16, 16, 3), np.uint8), here / name, 8, record_of(base))
    (here / "rows.jsonl").write_text('{"prompt": "a * runs", "subject": "fox"}\n', encoding="utf-8")
    (here / "empty").mkdir()
    (here / "torn.mp4").write_bytes((here / "made.mp4").read_bytes()[:700])
    with contextlib.redirect_stdout(io.StringIO()):
        assert run(["export", "fox", "walk", "--quiet", "-o", "both.dvpack"]) == 0


def record_of(base: Any) -> dict[str, Any]:
    """What a video notes of its making."""
    from engine.methods.dreamvideo import ComposeConfig
    from engine.settings import as_values

    made_on = {"name": base.name, "fingerprint": base.fingerprint}
    settings = {**as_values(ComposeConfig()), "steps": 2, "frames": 2, "size": [16, 16]}
    return {"made_by": "dv 0.1.0", "prompt": "a dog runs", "seed": 1, "base": made_on, "dtype": "float32",
            "settings": settings, "appearance": None}  # fmt: skip


def _publish(name: str, kind: Any, base: Any, here: Path) -> None:
    import torch

    from engine.adapters.bottleneck import AdapterSet, identity_sites, motion_sites
    from engine.adapters.storage import AdapterFiles, write_adapter
    from engine.data.files import sha256_of
    from registry import NewAdapter, Registry, Source

    photo = here / "photos" / "1.png"
    sites = identity_sites if kind == "subject" else motion_sites
    made = AdapterSet.create(sites(base.sites), 0.5, condition_width=None, seed=0)
    token = torch.zeros(base.text.token_width)
    adapter = AdapterFiles(
        kind, "dreamvideo", base.fingerprint, made.state(), made.widths, token if kind == "subject" else None, None
    )
    row = NewAdapter(
        kind=kind, name=name, base_fingerprint=base.fingerprint, base_name="embedded", method="dreamvideo",
        hyperparameters={"token_steps": 3}, origins={"token_steps": "option"}, seed=0, device="cpu", dtype="fp32",
        library_versions={"torch": "2"}, started_at="2026-01-01T10:00:00+00:00", ended_at="2026-01-01T11:00:00+00:00",
        steps=3, final_loss=0.5, dv_version="0.1.0", class_word="dog" if kind == "subject" else None,
    )  # fmt: skip
    source = Source(path=str(photo), sha256=sha256_of(photo), bytes=photo.stat().st_size, width=64, height=64,
                    frames=1, role="image" if kind == "subject" else "clip")  # fmt: skip
    with Registry.open() as registry, registry.staging() as staged:
        write_adapter(adapter, staged)
        registry.publish(staged, row, [source])


@contextlib.contextmanager
def _at_most(seconds: int) -> Iterator[None]:
    def too_late(*_: object) -> None:
        raise TimeoutError(f"not done after {seconds} s")

    before = signal.signal(signal.SIGALRM, too_late)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
