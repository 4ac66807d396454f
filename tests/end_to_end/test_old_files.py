"""Files that dv 0.1 made are still read: a registry, adapters, a video's record, an exported file, a suite, a run.

`old_files/dv-0.1.tar.xz` holds them as that version wrote them: two subjects and a motion (one subject with serial
adapters, as 0.1 understood them), a LoRA, a video and a contact sheet, an exported file, a run that Ctrl-C stopped,
and a suite of one cell.
"""

from __future__ import annotations

import json
import tarfile
from pathlib import Path

import pytest

from tests.end_to_end.conftest import Dv

ARCHIVE = Path(__file__).parent / "old_files" / "dv-0.1.tar.xz"


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """The old files, unpacked where `dv` runs; its home among them."""
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(tmp_path, filter="data")
    return tmp_path


def test_an_old_registry_is_listed_and_searched(old: Path, dv: Dv) -> None:
    names = dv("list", "--names").out.split()
    assert names == ["rex@1", "zig@1", "rexserial@1", "rexlora@1", "tiny-fox-dreamvideo@1", "tiny-zigzag-dreamvideo@1"]
    shown = json.loads(dv("show", "rex", "--json").out)
    assert (shown["note"], shown["tags"], shown["class_word"], shown["seed"]) == ("a note", ["good"], "fox", 3)
    assert shown["hyperparameters"]["hidden_width"] == 1


def test_old_runs_are_known_and_an_unfinished_one_is_offered(old: Path, dv: Dv) -> None:
    runs = {run["name"]: run["state"] for run in json.loads(dv("runs", "--json").out)}
    assert runs["rex"] == "finished"
    assert runs["unfinished"] == "interrupted"


def test_old_compositions_keep_their_adapters(old: Path, dv: Dv) -> None:
    history = {Path(row["path"]).name: row["record"] for row in json.loads(dv("history", "--json").out)}
    assert history["video.mp4"]["subject"]["name"] == "rex@1"
    assert history["video.mp4"]["motion"]["name"] == "zig@1"
    assert history["serial.mp4"]["subject"]["name"] == "rexserial@1"


def test_an_old_video_tells_how_it_was_made(old: Path, dv: Dv) -> None:
    shown = dv("inspect", "video.mp4").out
    for told in ("a * zigzagging on the beach", "rex@1", "zig@1", "2.25", "dv 0.1.0"):
        assert told in shown
    assert "rex@1" in dv("inspect", "sheet.png").out


def test_old_adapters_are_whole(old: Path, dv: Dv) -> None:
    """Their hashes are right; their sources aren't there any more, which is told and is no damage."""
    checked = dv("verify", "rex", "zig", "rexserial", "rexlora", check=None)
    assert "damaged" not in checked.out + checked.err


def test_an_old_exported_file_is_imported(old: Path, dv: Dv) -> None:
    ids = dv("import", "packed.zip", DV_HOME=str(old / "new-home")).out.split()
    assert ids == ["rex@1", "zig@1"]
    shown = json.loads(dv("show", "zig", "--json", DV_HOME=str(old / "new-home")).out)
    assert (shown["kind"], shown["steps"]) == ("motion", 2)


def test_an_old_suite_is_reported(old: Path, dv: Dv) -> None:
    page = Path(dv("report", "suite", "--output", "page.html").out.strip())
    assert "dreamvideo" in (old / page).read_text(encoding="utf-8")
