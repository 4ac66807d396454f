"""`dv` in this process and as processes of its own, on a registry of the test's own, at a fixed width."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from dreamvideo_cli.main import run
from registry import Adapter, NewAdapter, Registry, Source

WIDTH = "100"


@dataclass(frozen=True)
class Done:
    """How `dv` ended."""

    code: int
    out: str
    err: str


Dv = Callable[..., Done]
Publish = Callable[..., Adapter]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The registry's folder; the test works in the folder above it."""
    monkeypatch.setenv("DV_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("COLUMNS", WIDTH)
    monkeypatch.chdir(tmp_path)
    return tmp_path / "home"


@pytest.fixture
def dv(home: Path, capsys: pytest.CaptureFixture[str]) -> Dv:
    """Run `dv` in this process."""

    def call(*arguments: str | Path) -> Done:
        capsys.readouterr()
        code = run([str(argument) for argument in arguments])
        said = capsys.readouterr()
        return Done(code, said.out, said.err)

    return call


def command_line(*arguments: str | Path) -> list[str]:
    """`dv` as a process's arguments."""
    return [sys.executable, "-m", "dreamvideo_cli", *map(str, arguments)]


@pytest.fixture
def process(home: Path, tmp_path: Path) -> Dv:
    """Run `dv` as a process; bytes that aren't text come back as Python escapes them."""

    def call(
        *arguments: str | Path, environment: dict[str, str] | None = None, before: Sequence[str] = (), **more: Any
    ) -> Done:
        done = subprocess.run(
            [*before, *command_line(*arguments)],
            cwd=tmp_path,
            env={**os.environ, "OMP_NUM_THREADS": "1", **(environment or {})},
            **{"capture_output": True, "timeout": 600, **more},
        )
        out, err = ((stream or b"").decode(errors="surrogateescape") for stream in (done.stdout, done.stderr))
        assert "Traceback" not in err, err
        return Done(done.returncode, out, err)

    return call


@pytest.fixture
def publish(home: Path) -> Publish:
    """Publish an adapter of one small file, learnt from one photograph: `publish("dog", kind="subject", ...)`."""
    photo = home.parent / "photo.jpg"

    def publish_one(name: str = "dog", *, content: bytes = b"w" * 1500, **changes: Any) -> Adapter:
        values: dict[str, Any] = {
            "kind": "subject",
            "name": name,
            "base_fingerprint": "f" * 64,
            "base_name": "other",
            "method": "dreamvideo",
            "hyperparameters": {"token_steps": 3000, "beta1": 0.9},
            "origins": {"token_steps": "option", "beta1": "paper"},
            "seed": 0,
            "device": "cpu",
            "dtype": "fp32",
            "library_versions": {"torch": "2.0"},
            "started_at": "2020-01-01T10:00:00+00:00",
            "ended_at": "2020-01-01T11:00:00+00:00",
            "steps": 3800,
            "final_loss": 0.125,
            "dv_version": "0.1.0",
            "class_word": "dog",
        }
        if not photo.exists():
            photo.write_bytes(b"a photograph")
        source = Source(
            path=str(photo), sha256=hashlib.sha256(photo.read_bytes()).hexdigest(), bytes=12, width=640,
            height=480, frames=1, role="image",
        )  # fmt: skip
        with Registry.open() as registry, registry.staging() as staged:
            (staged / "adapter.safetensors").write_bytes(content)
            return registry.publish(staged, NewAdapter(**{**values, **changes}), [source])

    return publish_one


@pytest.fixture
def start(home: Path, tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start `dv` as a process and let the test go on beside it."""
    started: list[subprocess.Popen[str]] = []

    def begin(*arguments: str | Path) -> subprocess.Popen[str]:
        # Python's own buffers as users have them, whatever the machine's setting: what a test waits for must come.
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": ""}
        pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        started.append(subprocess.Popen(command_line(*arguments), cwd=tmp_path, env=environment, **pipes))
        return started[-1]

    yield begin
    for process in started:
        process.kill()
        process.wait()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own of 64 KiB; the test is skipped where mounting isn't permitted."""
    folder = tmp_path / "small"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("this user may not mount a file system")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@pytest.fixture(scope="session")
def base() -> Any:
    """The embedded base, loaded once for the tests that leave it as it is."""
    from engine.bases.load import load_base
    from engine.bases.location import EMBEDDED

    return load_base(EMBEDDED, device="cpu")


@pytest.fixture
def adapters(base: Any, publish: Publish) -> None:
    """A subject `fox` and a motion `walk` for the embedded base, with weights that change the picture."""
    import torch

    from engine.adapters.bottleneck import AdapterSet, identity_sites, motion_sites
    from engine.adapters.storage import AdapterFiles, write_adapter
    from registry import Registry

    generator = torch.Generator().manual_seed(1)
    for name, kind, sites, width in (
        ("fox", "subject", identity_sites, None),
        ("walk", "motion", motion_sites, None),
    ):
        made = AdapterSet.create(sites(base.sites), 0.5, condition_width=width, seed=0)
        with torch.no_grad():
            for parameter in made.parameters().values():
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.2)
        token = torch.randn(base.text.token_width, generator=generator)
        adapter = AdapterFiles(
            kind, "dreamvideo", base.fingerprint, made.state(), made.widths, token if kind == "subject" else None, None
        )
        published = publish(name, kind=kind, base_fingerprint=base.fingerprint, base_name="embedded")
        with Registry.open() as registry:
            write_adapter(adapter, registry.path(published))
