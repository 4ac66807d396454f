"""`dv batch --jobs`: the same videos, one manifest, and what becomes of a worker that dies or is stopped."""

from __future__ import annotations

import json
import os
import signal
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from multiprocessing import Pipe
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import pytest

from dreamvideo_cli.jobs.batch import workers
from dreamvideo_cli.jobs.events import ignore

SHORT = {"steps": 2, "frames": 2, "size": "16", "guidance_scale": 1}
ENDLESS = {"steps": 1000, "frames": 8, "size": "64"}
Write = Callable[..., str]


@pytest.fixture
def write(home: Path, tmp_path: Path) -> Write:
    """Write rows as shots.jsonl in the current folder."""

    def write_rows(*rows: dict[str, object]) -> str:
        (tmp_path / "shots.jsonl").write_text("".join(json.dumps({**SHORT, **row}) + "\n" for row in rows))
        return "shots.jsonl"

    return write_rows


def manifest(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "manifest.jsonl").read_text(encoding="utf-8").splitlines()]


def workers_of(pid: int) -> list[int]:
    """The processes that a batch started for its rows."""
    found = []
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = status.read_text().rpartition(")")[2].split()
            command = (status.parent / "cmdline").read_bytes()
        except OSError:
            continue
        if int(fields[1]) == pid and fields[0] != "Z" and b"spawn_main" in command:
            found.append(int(status.parent.name))
    return found


def test_two_workers_make_the_same_videos_as_one(
    dv: Any, process: Any, write: Write, adapters: None, publish: Any, base: Any, tmp_path: Path
) -> None:
    publish("damaged", kind="motion", base_fingerprint=base.fingerprint)
    both = {"prompt": "a * walking", "subject": "fox", "motion": "walk"}
    file = write({"prompt": "a dog"}, both, {"prompt": "a", "motion": "damaged"}, {**both, "seed": 4, "count": 2})
    done = process("batch", file, "--jobs", "2", "--device", "cpu", "--folder", "two")
    assert done.code == 1, done.err
    assert "row 3 failed: " in done.err and "3 made, 0 kept, 1 failed" in done.err
    two = manifest(tmp_path / "two")
    assert [(line["row"], line["state"]) for line in two] == [(1, "made"), (2, "made"), (3, "failed"), (4, "made")]
    assert sorted(done.out.split()) == sorted(result["path"] for line in two for result in line["results"])

    assert dv("batch", file, "--folder", "one", "--device", "cpu").code == 1
    for one, other in zip(manifest(tmp_path / "one"), two, strict=True):
        assert [result["sha256"] for result in one["results"]] == [result["sha256"] for result in other["results"]]
    assert len(list((tmp_path / "one").glob("*.mp4"))) == 4
    for video in (tmp_path / "one").glob("*.mp4"):
        assert video.read_bytes() == (tmp_path / "two" / video.name).read_bytes()
    again = dv("batch", file, "--folder", "two", "--device", "cpu")
    assert "0 made, 3 kept, 1 failed" in again.err


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="finds the workers in /proc")
def test_a_worker_that_dies_takes_only_its_row_along(start: Any, write: Write, tmp_path: Path) -> None:
    begun = start("batch", write({"prompt": "a", **ENDLESS}, {"prompt": "b"}), "-j", "2", "--device", "cpu")
    assert begun.stdout.readline() == "shots/002-b.mp4\n"
    # The idle one is killed as well, which is no matter.
    for pid in workers_of(begun.pid):
        os.kill(pid, signal.SIGKILL)
    out, err = begun.communicate(timeout=240)
    assert (begun.returncode, out) == (1, "")
    assert "row 1 failed: its process was killed by SIGKILL. Perhaps there was too little memory" in err
    assert "Traceback" not in err
    assert [line["state"] for line in manifest(tmp_path / "shots")] == ["failed", "made"]
    assert not list((tmp_path / "shots").glob(".*.partial*"))


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="finds the workers in /proc")
def test_ctrl_c_stops_all_workers_and_the_batch_goes_on_later(
    dv: Any, start: Any, write: Write, tmp_path: Path
) -> None:
    rows = ({"prompt": "a", **ENDLESS}, {"prompt": "b"}, {"prompt": "c", **ENDLESS})
    begun = start("batch", write(*rows), "--jobs", "2", "--device", "cpu")
    assert begun.stdout.readline() == "shots/002-b.mp4\n"
    workers = workers_of(begun.pid)
    assert len(workers) == 2
    begun.send_signal(signal.SIGINT)
    out, err = begun.communicate(timeout=240)
    assert (begun.returncode, out) == (130, "")
    assert "Traceback" not in err
    deadline = time.monotonic() + 10
    while any(Path(f"/proc/{pid}").exists() for pid in workers):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert [line["state"] for line in manifest(tmp_path / "shots")] == ["waiting", "made", "waiting"]
    assert {path.name for path in (tmp_path / "shots").iterdir()} <= {"002-b.mp4", "manifest.jsonl", ".batch.lock"}
    assert "2 rows, 1 of them there already" in dv("batch", write(*rows[:2]), "--dry-run", "--device", "cpu").err


@pytest.mark.skipif(sys.platform == "win32", reason="there is no signal mask")
@pytest.mark.parametrize("taken_by", ["the main thread", "another"])
def test_ctrl_c_while_a_worker_starts_waits_until_it_has_started(taken_by: str) -> None:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    started, over = False, threading.Event()
    other = threading.Thread(target=over.wait, daemon=True)
    other.start()
    try:
        with pytest.raises(KeyboardInterrupt), workers._deaf_to_ctrl_c():
            thread = threading.main_thread() if taken_by == "the main thread" else other
            signal.pthread_kill(thread.ident or 0, signal.SIGINT)
            time.sleep(0.05)  # long enough for the interpreter to notice
            started = True
    finally:
        over.set()
        signal.signal(signal.SIGINT, before)
    assert started


@pytest.mark.skipif(sys.platform == "win32", reason="there is no signal mask")
def test_what_starts_as_a_worker_is_deaf_to_ctrl_c() -> None:
    asks = "import signal; print(signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, []))"
    with workers._deaf_to_ctrl_c():
        said = subprocess.run([sys.executable, "-c", asks], capture_output=True, text=True, check=True).stdout
    assert said == "True\n"


def test_a_worker_that_dies_halfway_through_a_message_fails_its_row(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    ours, theirs = Pipe()
    os.write(theirs.fileno(), struct.pack("!i", 99_999) + b"a part of it")
    theirs.close()

    def started(worker: workers._Worker) -> None:
        worker.pipe, worker.process = ours, Mock(exitcode=-signal.SIGKILL)

    monkeypatch.setattr(workers._Worker, "_start", started)
    row: Any = SimpleNamespace(hashes={}, plan=SimpleNamespace(loading=("embedded",)))
    share = workers.DeviceShare("cpu", 0, 1)
    ((failed, error),) = workers.made_by_workers([row], [share], tmp_path, lambda *_: None, ignore)
    assert failed is row
    assert error is not None and "its process was killed by SIGKILL" in error


@pytest.mark.parametrize(
    ("rows", "arguments", "gpus", "said"),
    [
        (({},), ("--jobs", "2"), 0, "--jobs 2 is for several GPUs, and there is only cpu here: leave it out, or add"),
        (({}, {}), ("--jobs", "3"), 2, "--jobs 3 is more than the 2 GPUs here: give 2 or less"),
        (({},), ("--jobs", "9999", "--device", "cpu"), 0, "--jobs 9999 is more than the"),
        (({}, {"device": "cpu"}), ("--jobs", "2"), 2, "rows over devices of one kind, and these name cpu and cuda"),
        (({},), ("--jobs", "0"), 2, "--jobs"),
    ],
)  # fmt: skip
def test_more_jobs_than_devices_are_refused(
    dv: Any,
    write: Write,
    monkeypatch: pytest.MonkeyPatch,
    rows: tuple[dict[str, object], ...],
    arguments: tuple[str, ...],
    gpus: int,
    said: str,
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: gpus > 0)
    monkeypatch.setattr("torch.cuda.device_count", lambda: gpus)
    monkeypatch.setattr("torch.backends.mps.is_available", lambda: False)
    done = dv("batch", write(*({"prompt": "a", **row} for row in rows)), *arguments)
    assert (done.code, done.out) == (2, "")
    assert said in done.err


@pytest.mark.parametrize(("known", "second"), [(None, "1"), ("", "1"), ("3,GPU-5a", "GPU-5a")])
def test_each_worker_sees_one_gpu(monkeypatch: pytest.MonkeyPatch, known: str | None, second: str) -> None:
    from dreamvideo_cli.jobs.batch.workers import DeviceShare

    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", known or "")
    if known is None:
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    DeviceShare("cuda", 1, 1).take()
    assert os.environ["CUDA_VISIBLE_DEVICES"] == second
