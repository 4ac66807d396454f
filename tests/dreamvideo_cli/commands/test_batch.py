"""`dv batch`: what it makes, keeps, refuses, and notes."""

from __future__ import annotations

import hashlib
import io
import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from engine.errors import JobError

SHORT = {"steps": 2, "frames": 2, "size": "16", "guidance_scale": 1}
OPTIONS = [part for name, value in SHORT.items() for part in (f"--{name.replace('_', '-')}", str(value))]
Write = Callable[..., str]


@pytest.fixture
def loads(base: Any, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The bases that were loaded so far, by name; each load gives the same one."""
    names: list[str] = []

    def load_base(location: Any, **_: Any) -> Any:
        names.append(location.name)
        return base

    monkeypatch.setattr("engine.bases.load.load_base", load_base)
    return names


@pytest.fixture
def write(home: Path, tmp_path: Path) -> Write:
    """Write rows as a batch file in the current folder."""

    def write_rows(*rows: dict[str, object], name: str = "shots.jsonl") -> str:
        text = "".join(json.dumps({**SHORT, **row}) + "\n" for row in rows)
        (tmp_path / name).write_text(text, encoding="utf-8")
        return name

    return write_rows


def manifest(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "manifest.jsonl").read_text(encoding="utf-8").splitlines()]


def states(folder: Path) -> list[str]:
    return [line["state"] for line in manifest(folder)]


def test_rows_are_what_compose_makes_with_the_base_loaded_once(
    dv: Any, write: Write, adapters: None, loads: list[str], tmp_path: Path
) -> None:
    both = {"prompt": "a * walking", "subject": "fox", "motion": "walk"}
    file = write({"prompt": "a dog"}, both, {"prompt": "a dog", "output": "again.gif"}, {**both, "seed": 4, "count": 2})
    done = dv("batch", file)
    assert done.code == 0, done.err
    assert done.out.splitlines() == [
        "shots/001-a-dog.mp4", "shots/002-a-fox-walking.mp4", "again.gif",
        "shots/004-a-fox-walking-4.mp4", "shots/004-a-fox-walking-5.mp4",
    ]  # fmt: skip
    assert loads == ["embedded"]
    assert "4 made, 0 kept, 0 failed" in done.err
    assert "left" in done.err

    dv("compose", "a dog", *OPTIONS, "-o", "alone.gif")
    dv("compose", "a * walking", "--subject", "fox", "--motion", "walk", *OPTIONS, "--seed", "4", "-o", "alone.mp4")
    assert (tmp_path / "again.gif").read_bytes() == (tmp_path / "alone.gif").read_bytes()
    four = (tmp_path / "shots" / "004-a-fox-walking-4.mp4").read_bytes()
    assert four == (tmp_path / "alone.mp4").read_bytes()
    assert four != (tmp_path / "shots" / "002-a-fox-walking.mp4").read_bytes()

    last = manifest(tmp_path / "shots")[3]
    assert (last["row"], last["state"], last["subject"], last["motion"]) == (4, "made", "fox@1", "walk@1")
    assert last["results"][0] == {
        "path": "shots/004-a-fox-walking-4.mp4", "seed": 4, "sha256": hashlib.sha256(four).hexdigest()
    }  # fmt: skip


def test_a_second_run_makes_only_what_is_missing_damaged_or_different(
    dv: Any, write: Write, loads: list[str], tmp_path: Path
) -> None:
    rows: list[dict[str, object]] = [{"prompt": f"a dog {n}"} for n in range(4)]
    first = dv("batch", write(*rows))
    shots = tmp_path / "shots"
    whole = {path.name: path.read_bytes() for path in shots.glob("*.mp4")}
    loads.clear()
    again = dv("batch", "shots.jsonl")
    assert (again.code, sorted(again.out), loads) == (0, sorted(first.out), [])
    assert states(shots) == ["kept"] * 4

    (shots / "001-a-dog-0.mp4").unlink()
    (shots / "002-a-dog-1.mp4").write_bytes(whole["002-a-dog-1.mp4"][:-40])
    done = dv("batch", write(*rows[:3], {"prompt": "a dog 3", "seed": 9}))
    assert done.code == 0, done.err
    assert states(shots) == ["made", "made", "kept", "made"]
    assert loads == ["embedded"]
    for name in ("001-a-dog-0.mp4", "002-a-dog-1.mp4", "003-a-dog-2.mp4"):
        assert (shots / name).read_bytes() == whole[name]
    assert (shots / "004-a-dog-3.mp4").read_bytes() != whole["004-a-dog-3.mp4"]
    # What was in a changed file's place isn't lost: somebody may have worked on it.
    assert (shots / "002-a-dog-1-changed.mp4").read_bytes() == whole["002-a-dog-1.mp4"][:-40]
    assert "002-a-dog-1-changed.mp4" in done.err


def test_a_lost_or_torn_manifest_loses_no_result(dv: Any, write: Write, loads: list[str], tmp_path: Path) -> None:
    file = write({"prompt": "a dog", "contact_sheet": "sheet.png"})
    dv("batch", file)
    loads.clear()
    for content in (None, "", "{", "[1]\n", '{"results": 7}\n'):
        notes = tmp_path / "shots" / "manifest.jsonl"
        notes.unlink() if content is None else notes.write_text(content, encoding="utf-8")
        assert dv("batch", file).out == "shots/001-a-dog.mp4\nsheet.png\n"
        assert (states(tmp_path / "shots"), loads) == (["kept"], [])


@pytest.mark.parametrize(
    ("error", "said"),
    [(JobError("the device is gone"), "the device is gone"), (ZeroDivisionError("by 0"), "ZeroDivisionError: by 0"),
     (MemoryError(), "MemoryError")],
)  # fmt: skip
def test_a_row_that_fails_stops_no_other_whatever_the_error(
    dv: Any,
    write: Write,
    loads: list[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    error: Exception,
    said: str,
) -> None:
    from engine import composing

    compose = composing.compose

    def failing(base: Any, prompt: str, **how: Any) -> Any:
        if prompt == "b":
            raise error
        return compose(base, prompt, **how)

    file = write({"prompt": "a"}, {"prompt": "b"}, {"prompt": "c"})
    with monkeypatch.context() as patch:
        patch.setattr("engine.composing.compose", failing)
        done = dv("batch", file, "--json")
    assert done.code == 1
    lines = json.loads(done.out)
    assert lines == manifest(tmp_path / "shots")
    assert [line["state"] for line in lines] == ["made", "failed", "made"]
    assert said in lines[1]["error"]
    assert lines[1]["results"] == []
    assert "row 2 failed" in done.err
    fixed = dv("batch", file)
    assert (fixed.code, states(tmp_path / "shots")) == (0, ["kept", "made", "kept"])


def test_what_can_be_known_of_a_row_is_known_before_anything_is_made(
    dv: Any, loads: list[str], home: Path, tmp_path: Path
) -> None:
    (tmp_path / "late.csv").write_text(
        "prompt,output,fps,size,steps,motion_until,device\n"
        "a dog,ok.mp4,,,1,,\na dog,fast.gif,60,,1,,\na cat,odd.mp4,,70x66,1,,\na cow,slow.gif,0.001,,1,,\n"
        "a pig,alone.mp4,,,1,0.5,\na hen,there.mp4,,,1,,cuda\n"
    )
    done = dv("batch", "late.csv")
    assert (done.code, done.out, loads) == (2, "", [])
    for said in ("5 rows of 6", "row 2: A GIF can show 50 frames a second, not 60", "row 3: `size` 70x66 does not fit",
                 "row 4: ", "row 5: `motion_until` is read with a motion only",
                 "row 6: there is no device cuda here"):  # fmt: skip
        assert said in done.err
    assert not (tmp_path / "ok.mp4").exists()


def test_every_wrong_row_is_named_before_anything_is_made(
    dv: Any, write: Write, loads: list[str], tmp_path: Path
) -> None:
    (tmp_path / "mine.mp4").write_bytes(b"my own film")
    file = write(
        {"prompt": "a"},
        {"prompt": "a *"},
        {"prompt": "a", "subject": "nobody"},
        {"prompt": "a", "steps": 0},
        {"prompt": "a", "output": "nowhere/x.mp4"},
        {"prompt": "a", "output": "mine.mp4"},
        {"prompt": "a", "output": "twice.mp4"},
        {"prompt": "b", "output": "./twice.mp4"},
    )
    done = dv("batch", file)
    assert (done.code, done.out, loads) == (2, "", [])
    for said in ("6 rows of 8", "row 2: ", "row 3: ", "row 4: `steps`", "row 5: ", "row 6: ",
                 "row 8: row 7 writes twice.mp4 too"):  # fmt: skip
        assert said in done.err
    assert not (tmp_path / "shots").exists()
    assert (tmp_path / "mine.mp4").read_bytes() == b"my own film"


def test_force_replaces_a_file_that_is_not_the_batchs(dv: Any, write: Write, loads: list[str], tmp_path: Path) -> None:
    (tmp_path / "mine.mp4").write_bytes(b"my own film")
    assert dv("batch", write({"prompt": "a", "output": "mine.mp4"}), "--force").out == "mine.mp4\n"
    assert (tmp_path / "mine.mp4").read_bytes() != b"my own film"


def test_a_manifest_that_is_a_pipe_stays_one(dv: Any, write: Write, loads: list[str], tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    os.mkfifo(tmp_path / "out" / "manifest.jsonl")
    done = dv("batch", write({"prompt": "a"}), "--folder", "out")
    assert (done.code, loads) == (2, [])
    assert "manifest.jsonl is no file that can be replaced" in done.err


def test_dry_run_tells_the_paths_and_makes_nothing(dv: Any, write: Write, loads: list[str], tmp_path: Path) -> None:
    file = write({"prompt": "a"}, {"prompt": "b", "count": 2})
    before = set(tmp_path.iterdir())
    done = dv("batch", file, "--dry-run", "--folder", "out")
    assert done.out.splitlines() == ["out/001-a.mp4", "out/002-b-0.mp4", "out/002-b-1.mp4"]
    assert [line["state"] for line in json.loads(dv("batch", file, "--dry-run", "--json").out)] == ["waiting"] * 2
    assert set(tmp_path.iterdir()) - before <= {tmp_path / "home"}
    assert loads == []
    dv("batch", write({"prompt": "a"}))
    assert dv("batch", write({"prompt": "a"}, {"prompt": "c"}), "--dry-run").out == "shots/002-c.mp4\n"


def test_two_processes_do_not_share_a_batch(dv: Any, write: Write, loads: list[str], tmp_path: Path) -> None:
    file = write({"prompt": "a"})
    (tmp_path / "shots").mkdir()
    with FileLock(tmp_path / "shots" / ".batch.lock"):
        done = dv("batch", file)
        assert (done.code, done.out, loads) == (2, "", [])
        assert "another process" in done.err
    assert dv("batch", file).code == 0


def test_a_full_disk_fails_the_batch_with_one_message(
    dv: Any, write: Write, loads: list[str], small_disk: Path
) -> None:
    (small_disk / "ballast").write_bytes(b"x" * 65536)
    done = dv("batch", write({"prompt": "a"}), "--folder", small_disk)
    assert (done.code, done.out) == (1, "")
    assert "No space left on device" in done.err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("nowhere.csv",), "nowhere.csv"),
        (("-",), "--format"),
        (("shots.jsonl", "--format", "xml"), "--format"),
        (("shots.jsonl", "--folder", "a/b"), "no folder a"),
        (("shots", "--format", "jsonl"), "--folder"),
    ],
)
def test_what_is_no_batch_is_refused(
    dv: Any, write: Write, tmp_path: Path, arguments: tuple[str, ...], said: str
) -> None:
    write({"prompt": "a"})
    write({"prompt": "a"}, name="shots")
    done = dv("batch", *arguments)
    assert (done.code, done.out) == (2, "")
    assert said in done.err


def test_killed_it_goes_on_where_it_was(
    start: Any, dv: Any, write: Write, loads: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    rows: list[dict[str, object]] = [{"prompt": "a"}, {"prompt": "b", "steps": 1000}]
    begun = start("batch", write(*rows))
    assert begun.stdout.readline() == "shots/001-a.mp4\n"
    begun.send_signal(signal.SIGKILL)
    assert begun.wait() == -signal.SIGKILL
    first = (tmp_path / "shots" / "001-a.mp4").stat()

    lines = "".join(json.dumps({**SHORT, **row}) + "\n" for row in (rows[0], {"prompt": "b"}))
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(lines.encode())))
    done = dv("batch", "-", "--format", "jsonl", "--folder", "shots")
    assert done.out.splitlines() == ["shots/001-a.mp4", "shots/002-b.mp4"]
    assert states(tmp_path / "shots") == ["kept", "made"]
    assert (tmp_path / "shots" / "001-a.mp4").stat().st_mtime_ns == first.st_mtime_ns
    seen = {path.name for path in (tmp_path / "shots").iterdir() if not path.name.startswith(".")}
    assert seen == {"001-a.mp4", "002-b.mp4", "manifest.jsonl"}


def test_ctrl_c_leaves_a_manifest_of_what_was_made(
    dv: Any, write: Write, loads: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from engine import composing

    compose = composing.compose

    def interrupted(base: Any, prompt: str, **how: Any) -> Any:
        if prompt == "b":
            raise KeyboardInterrupt
        return compose(base, prompt, **how)

    monkeypatch.setattr("engine.composing.compose", interrupted)
    done = dv("batch", write({"prompt": "a"}, {"prompt": "b"}))
    assert (done.code, done.out) == (130, "shots/001-a.mp4\n")
    assert states(tmp_path / "shots") == ["made", "waiting"]


def test_a_row_is_noted_before_its_path_is_told(
    dv: Any, write: Write, loads: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("dreamvideo_cli.terminal.output.Out.result", interrupted)
    assert dv("batch", write({"prompt": "a"}, {"prompt": "b"})).code == 130
    assert states(tmp_path / "shots") == ["made", "waiting"]


def test_words_that_are_never_read_are_told_and_a_subject_among_them_refused(
    dv: Any, write: Write, adapters: None, loads: list[str], tmp_path: Path
) -> None:
    long = "and a cat " * 20
    done = dv("batch", write({"prompt": f"a dog {long}"}))
    assert done.code == 0 and "never read" in " ".join(done.err.split())
    cut = dv("batch", write({"prompt": f"{long} *", "subject": "fox"}), "--folder", "other")
    assert cut.code == 2 and "row 1" in cut.err and "would be cut off" in " ".join(cut.err.split())
