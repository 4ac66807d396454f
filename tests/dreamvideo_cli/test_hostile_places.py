"""Commands that write, where that is hard: a full disk, a home that is read-only, folders with odd names."""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine.bases.location import EMBEDDED
from registry import Registry
from tests.rendering import MATERIAL

ALLOWED = ("No space", "no space", "can't be written", "may not write", "can't be opened for writing", "allow writing")


@pytest.fixture
def without_models(monkeypatch: pytest.MonkeyPatch) -> None:
    """Learning writes one small file, composing makes two black frames; all around them is real."""
    import torch

    from engine.composing import Composition
    from engine.learning import Learned

    class Base:
        name, fingerprint, device, dtype = "embedded", "f" * 64, torch.device("cpu"), torch.float32

    def learn(plan: Any, _base: Any, folder: Path, **_: Any) -> Learned:
        (folder / "adapter.safetensors").write_bytes(b"w" * 5000)
        return Learned("subject", plan.method.name, folder, 1, 0.5, {}, {})

    monkeypatch.setattr("engine.bases.load.load_base", lambda *_, **__: Base())
    monkeypatch.setattr("engine.learning.learn_subject", learn)
    frames = np.zeros((2, 16, 16, 3), np.uint8)
    record = {
        "prompt": "a dog", "seed": 0, "base": {"name": "embedded", "fingerprint": "f" * 64}, "dtype": "float32",
        "settings": {}, "adapters": [], "appearance": None,
    }  # fmt: skip
    monkeypatch.setattr("engine.composing.compose", lambda *_, **__: Composition(frames, record))


def commands(folder: Path) -> dict[str, list[str]]:
    """Every command that writes, on the adapter `dog`; files go into `folder`, all else into the home."""
    return {
        "learn": ["subject", "learn", "rex", str(MATERIAL / "rex"), "--class", "dog"],
        "compose": ["compose", "a dog", "-o", str(folder / "x.mp4")],
        "compose a GIF": ["compose", "a dog", "-o", str(folder / "x.gif")],
        "batch": ["batch", "shots.jsonl", "--folder", str(folder / "shots")],
        "rename": ["rename", "dog", "rex"],
        "tag": ["tag", "dog", "best"],
        "note": ["note", "dog", "sharp ears " * 400],
        "prune": ["prune", "--versions", "--yes"],
        "rm": ["rm", "dog@1", "--yes"],
        "export": ["export", "dog", "-o", str(folder / "x.dvpack")],
        "import": ["import", "cat.dvpack", "--as", "tom"],
        "base add": ["base", "add", "mine", EMBEDDED.model],
    }


NAMES = list(commands(Path()))


# What a database needs while it is open; locks, which are empty; labels, whose file may be ahead of its row.
_NOT_COUNTED = ("-wal", "-shm", ".lock", "ballast", "labels.json")


def tree(folder: Path) -> dict[str, int]:
    """What is there and counts, with its bytes."""
    seen = {str(path.relative_to(folder)): path.lstat().st_size for path in folder.rglob("*") if path.is_file()}
    return {name: size for name, size in seen.items() if not name.endswith(_NOT_COUNTED)}


def _filled(publish: Any, dv: Any, tmp_path: Path) -> None:
    publish("cat")
    assert dv("export", "cat", "-o", "cat.dvpack").code == 0
    publish("dog"), publish("dog", seed=1)
    (tmp_path / "shots.jsonl").write_text('{"prompt": "a dog"}\n')


def _fill(disk: Path, leave: int) -> Path:
    ballast = disk / "ballast"
    with ballast.open("wb", buffering=0) as file, pytest.raises(OSError, match="No space"):
        while True:
            file.write(b"x" * 512)
    os.truncate(ballast, ballast.stat().st_size - leave)
    return ballast


@pytest.mark.parametrize("leave", [0, 48_000])
def test_on_a_full_disk_every_command_says_so_and_leaves_all_whole(
    dv: Any, publish: Any, small_disk: Path, without_models: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    leave: int,
) -> None:  # fmt: skip
    """With a little room left the database opens, and the trouble comes later, or not at all."""
    subprocess.run(["mount", "-o", "remount,size=2m", str(small_disk)], check=True)
    _filled(publish, dv, tmp_path)
    monkeypatch.setenv("DV_HOME", str(small_disk / "home"))
    for name, words in commands(small_disk).items():
        for path in small_disk.iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        shutil.copytree(tmp_path / "home", small_disk / "home")
        before = tree(small_disk)
        ballast = _fill(small_disk, leave)
        done = dv(*words)
        ballast.unlink()
        assert done.code in ((0, 1) if leave else (1,)), (name, done.err)
        if done.code == 1:
            assert any(said in done.err for said in ALLOWED), (name, done.err)
            assert done.err.count("error: ") + done.err.count("failed: ") == 1, (name, done.err)
            left = tree(small_disk)
            # Of a batch, what was made before the disk was full stays: run again, it is kept.
            kept = ("home/logs", "home/runs", "shots/")
            assert {path for path in left if not path.startswith(kept)} <= set(before), name
            with Registry.open() as registry:
                assert [adapter.id for adapter in registry.adapters()] == ["cat@1", "dog@1", "dog@2"], name
        assert "All is as it was: " in dv("verify", "--no-sources").err, name


@pytest.mark.parametrize("name", ["learn", "compose", "compose a GIF", "batch", "rename", "tag", "export", "import"])
def test_a_disk_that_fills_up_while_a_file_is_written(
    dv: Any, publish: Any, without_models: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    _filled(publish, dv, tmp_path)
    before = tree(tmp_path)

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        done = dv(*commands(tmp_path)[name])
    assert done.code == 1, done.err
    assert any(said in done.err for said in ALLOWED), done.err
    assert done.err.count("error: ") + done.err.count("failed: ") == 1, done.err
    database = {"home/registry.sqlite3": before["home/registry.sqlite3"]}
    left = {path: size for path, size in tree(tmp_path).items() if not path.startswith(("home/logs", "home/runs"))}
    assert {**left, **database} == before
    assert "All is as it was: 3 adapters" in dv("verify", "--no-sources").err


DRIVER = """
import contextlib, io, json, sys
from dreamvideo_cli.main import run
ends = {}
for name, words in json.load(sys.stdin).items():
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        ends[name] = [run(words), out.getvalue(), err.getvalue()]
json.dump(ends, sys.__stdout__)
"""


@pytest.fixture
def read_only(tmp_path: Path) -> Iterator[Callable[[Path], None]]:
    """Take the right to write away from a folder and all in it; it comes back after the test."""
    folders: list[Path] = []

    def lock(folder: Path) -> None:
        folders.append(folder)
        for path in (folder, *folder.rglob("*")):
            path.chmod(0o555 if path.is_dir() else 0o444)

    yield lock
    for folder in folders:
        for path in (folder, *folder.rglob("*")):
            path.chmod(0o755 if path.is_dir() else 0o644)


@pytest.mark.skipif(os.geteuid() == 0 and not shutil.which("setpriv"), reason="root passes every permission")
def test_a_read_only_home_is_one_message_and_stays_as_it_is(
    dv: Any, publish: Any, tmp_path: Path, read_only: Callable[[Path], None]
) -> None:
    _filled(publish, dv, tmp_path)
    (tmp_path / "out").mkdir()
    read_only(tmp_path / "home")
    read_only(tmp_path / "out")
    before = tree(tmp_path)
    # What would need a model ends before it is loaded; `out` is refused before the home is asked.
    words = {**commands(tmp_path / "out"), "list": ["list"], "verify": ["verify"]}
    as_user = ("setpriv", "--bounding-set=-dac_override,-dac_read_search") if os.geteuid() == 0 else ()
    done = subprocess.run(
        [*as_user, sys.executable, "-c", DRIVER], input=json.dumps(words), cwd=tmp_path, capture_output=True, text=True,
        check=True, timeout=240,
    )  # fmt: skip
    for name, (code, out, err) in json.loads(done.stdout).items():
        if name in ("list", "verify"):
            assert (code, "error" in err) == (0, False), (name, err)
            continue
        assert (code in (1, 2), out) == (True, ""), (name, err)
        assert err.count("error: ") == 1 and any(said in err for said in ALLOWED), (name, err)
    assert tree(tmp_path) == before


@pytest.mark.parametrize("name", ["two words", "new\nline", "-x #?&%20 '\"`$HOME עברית 狐 e\u0301"])
def test_any_folder_name_serves(
    dv: Any, without_models: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    folder = tmp_path / name
    try:
        shutil.copytree(MATERIAL / "rex", folder / "photos")
    except (OSError, UnicodeError):
        pytest.skip("this file system has no such names")
    monkeypatch.setenv("DV_HOME", str(folder / "home"))
    assert dv("subject", "learn", "fox", folder / "photos", "--class", "dog").out == "fox@1\n"
    for suffix in (".mp4", ".gif", ".webp", ".png"):
        made = dv("compose", "a dog", "-o", folder / f"x{suffix}")
        assert (made.code, (folder / f"x{suffix}").is_file()) == (0, True), made.err
        assert json.loads(dv("inspect", folder / f"x{suffix}", "--json").out)["prompt"] == "a dog"

    assert all(row["exists"] for row in json.loads(dv("history", "--json").out))
    assert dv("verify").err == "All is as it was: 1 adapter, 4 sources.\n"
    assert dv("export", "fox", "-o", folder / "x.dvpack").code == 0
    assert dv("import", folder / "x.dvpack", "--as", "rex").out == "rex@1\n"
    (folder / "shots.jsonl").write_text('{"prompt": "a dog"}\n')
    assert dv("batch", folder / "shots.jsonl", "--folder", folder / "shots").code == 0

    assert dv("show", "fox").code == 0


def test_a_registry_that_can_not_be_written_is_listed_all_the_same(
    dv: Any, publish: Any, small_disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    subprocess.run(["mount", "-o", "remount,size=2m", str(small_disk)], check=True)
    monkeypatch.setenv("DV_HOME", str(small_disk / "home"))
    publish("dog")
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    for words in (["list", "--names"], ["show", "dog"], ["history"], ["runs"], ["base", "list"], ["verify"]):
        done = dv(*words)
        assert (done.code, "error" in done.err) == (0, False), (words, done.err)
    assert dv("list", "--names").out == "dog@1\n"
    refused = dv("tag", "dog", "best")
    assert refused.code == 1 and "can't be opened for writing" in refused.err
