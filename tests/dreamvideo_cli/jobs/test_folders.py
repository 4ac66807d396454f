"""The folders of batches, suites and the demo: made, refused, and one process's."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from dreamvideo_cli.jobs.folders import make_folder, working_in
from engine.errors import InputError

WRITES = ("results.jsonl", "videos")


@pytest.fixture
def forbidden(monkeypatch: pytest.MonkeyPatch) -> set[Path]:
    """Paths that may not be written into; root may write anywhere, so that modes would refuse it nothing."""
    paths: set[Path] = set()
    monkeypatch.setattr(os, "access", lambda path, _mode: Path(path) not in paths)
    return paths


def test_a_new_folder_is_there_for_the_work_and_gone_when_nothing_came(tmp_path: Path) -> None:
    with working_in(tmp_path / "shots", "batch"):
        assert (tmp_path / "shots").is_dir()
    assert not (tmp_path / "shots").exists()
    with working_in(tmp_path / "shots", "batch"):
        (tmp_path / "shots" / "a.mp4").touch()
    assert (tmp_path / "shots" / "a.mp4").is_file()


def test_a_second_process_is_kept_out(tmp_path: Path) -> None:
    again = pytest.raises(InputError, match="another process works on the suite in")
    with working_in(tmp_path, "suite"), again, working_in(tmp_path, "suite"):
        pass


def test_parts_are_worked_on_at_once_but_no_part_twice_and_not_beside_the_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dreamvideo_cli.jobs.folders._OTHER_PARTS_S", 0.1)

    def is_kept_out(part: str | None) -> None:
        with pytest.raises(InputError, match="another process works"), working_in(tmp_path, "suite", part=part):
            pass

    with working_in(tmp_path, "suite", part="1-of-2"), working_in(tmp_path, "suite", part="2-of-2"):
        is_kept_out("1-of-2")
        is_kept_out(None)
    with working_in(tmp_path, "suite"):
        is_kept_out("1-of-2")
        is_kept_out("3-of-4")
    with working_in(tmp_path / "shots", "suite", part="1-of-2"):
        pass
    assert not (tmp_path / "shots").exists()


@pytest.mark.parametrize("name", ["there", "there/results.jsonl", "there/videos", "there/.suite.lock"])
def test_what_may_not_be_written_into_is_refused_before_the_work(
    tmp_path: Path, forbidden: set[Path], name: str
) -> None:
    (tmp_path / "there" / "videos").mkdir(parents=True)
    for file in ("results.jsonl", ".suite.lock"):
        (tmp_path / "there" / file).touch()
    forbidden.add(tmp_path / name)
    began = False
    refused = pytest.raises(InputError, match=f"you may not write into the (file|folder) {tmp_path / name}: ")
    with refused, working_in(tmp_path / "there", "suite", writes=WRITES):
        began = True
    assert not began


def test_no_folder_is_made_where_none_may_be(tmp_path: Path, forbidden: set[Path]) -> None:
    forbidden.add(tmp_path)
    with pytest.raises(InputError, match=f"you may not write into the folder {tmp_path}: "):
        make_folder(tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_a_file_in_the_way_and_a_missing_parent_are_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="file is a file: choose another name"):
        make_folder(tmp_path / "file")
    with pytest.raises(InputError, match=r"there is no folder .*nowhere to make new in: create it first"):
        make_folder(tmp_path / "nowhere" / "new")
