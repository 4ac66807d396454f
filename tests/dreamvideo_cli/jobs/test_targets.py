"""Where videos go, and what is refused before any work is done."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from dreamvideo_cli.jobs.targets import check_table, check_writable, targets
from dreamvideo_cli.terminal.pages import check_page
from engine.errors import InputError
from engine.files import written_aside


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def paths(output: str | None, prompt: str = "p", seeds: tuple[int, ...] = (0,), force: bool = False) -> list[str]:
    return [str(t.path) for t in targets(Path(output) if output else None, prompt, seeds, force=force)]


@pytest.mark.parametrize(
    ("output", "seeds", "expected"),
    [
        ("out.mp4", (3,), ["out.mp4"]),
        ("out.mp4", (3, 4), ["out-3.mp4", "out-4.mp4"]),
        ("{seed}.gif", (3,), ["3.gif"]),
        ("a{seed}b{seed}.webp", (3, 4), ["a3b3.webp", "a4b4.webp"]),
        ("two.dots.MP4", (3, 4), ["two.dots-3.MP4", "two.dots-4.MP4"]),
        (None, (3, 4), ["p-3.mp4", "p-4.mp4"]),
    ],
)
def test_a_path_for_every_seed(output: str | None, seeds: tuple[int, ...], expected: list[str]) -> None:
    assert paths(output, seeds=seeds) == expected


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        ("A fox, playing!", "a-fox-playing-0.mp4"),
        ("ein Bär läuft", "ein-bär-läuft-0.mp4"),
        ("狐が走る", "狐が走る-0.mp4"),
        ("../../etc/passwd", "etc-passwd-0.mp4"),
        ("*", "video-0.mp4"),
        ("", "video-0.mp4"),
        ("--force", "force-0.mp4"),
        ("x" * 300, "x" * 60 + "-0.mp4"),
        ("狐" * 300, "狐" * 20 + "-0.mp4"),
    ],
)
def test_a_prompt_becomes_a_file_name(prompt: str, expected: str) -> None:
    assert paths(None, prompt) == [expected]


def test_a_name_from_the_prompt_never_replaces_a_file(here: Path) -> None:
    (here / "p-0.mp4").touch()
    (here / "p-0-2.mp4").touch()
    assert paths(None) == ["p-0-3.mp4"]
    assert paths(None, force=True) == ["p-0-3.mp4"]


@pytest.mark.parametrize(
    ("output", "said"),
    [
        ("out.avi", "suffix"),
        ("out", "suffix"),
        ("nowhere/out.mp4", "no folder"),
        ("folder.mp4", "is a folder"),
        ("there.mp4", "`force`"),
        ("x" * 250 + ".mp4", "too long"),
        ("狐" * 80 + ".mp4", "too long"),
    ],
)
def test_what_cannot_be_written_is_refused(here: Path, output: str, said: str) -> None:
    (here / "there.mp4").touch()
    (here / "folder.mp4").mkdir()
    with pytest.raises(InputError, match=said):
        paths(output)


def test_force_replaces_a_file_but_no_folder(here: Path) -> None:
    (here / "there.mp4").touch()
    (here / "folder.mp4").mkdir()
    assert paths("there.mp4", force=True) == ["there.mp4"]
    with pytest.raises(InputError, match="is a folder"):
        paths("folder.mp4", force=True)


def test_one_of_several_that_exists_refuses_all(here: Path) -> None:
    (here / "out-4.mp4").touch()
    with pytest.raises(InputError, match=r"out-4\.mp4 exists"):
        paths("out.mp4", seeds=(3, 4))


@pytest.mark.parametrize(
    ("name", "check"),
    [("p.mp4", check_writable), ("p.png", check_writable), ("p.csv", check_table), ("p.html", check_page)],
)
def test_no_device_is_replaced(here: Path, name: str, check: Callable[..., None]) -> None:
    os.mkfifo(here / name)  # a device is made by root alone
    with pytest.raises(InputError, match="no file that can be replaced"):
        check(here / name, force=True)
    with pytest.raises(InputError, match="no file that can be replaced"), written_aside(here / name) as partial:
        partial.touch()
    assert (here / name).is_fifo()
    assert len(list(here.iterdir())) == 1
