"""How `dv` ends: exit codes, messages, and what is left behind when the world gets in the way."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from dreamvideo_cli import main
from engine.errors import InputError, JobError
from engine.versions import version_of_dv
from registry import RegistryUnavailableError, UnknownNameError

HEAVY = {"torch", "diffusers", "transformers", "accelerate", "numpy"}


def commands() -> Iterator[tuple[str, ...]]:
    """Every command that does something, as typed."""
    waiting: list[tuple[tuple[str, ...], Any]] = [((), get_command(main.app))]
    while waiting:
        path, command = waiting.pop(0)
        inner = getattr(command, "commands", None)
        if inner is None:
            yield path
        else:
            waiting += [((*path, name), below) for name, below in inner.items()]


@pytest.mark.parametrize("path", commands(), ids=" ".join)
def test_every_command_has_an_example_in_its_help(dv: Any, path: tuple[str, ...]) -> None:
    done = dv(*path, "--help")
    assert (done.code, done.err) == (0, "")
    assert f"Example: dv {' '.join(path)}" in " ".join(done.out.split())


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (InputError("bad picture\nTry another."), 2, "error: bad picture\nTry another.\na hint\n"),
        (UnknownNameError("no such name"), 2, "error: no such name\na hint\n"),
        (JobError("it broke"), 1, "error: it broke\na hint\n"),
        (RegistryUnavailableError("held"), 1, "error: held\na hint\n"),
        (OSError(28, "No space left on device", "x.mp4"), 1,
         "error: x.mp4: No space left on device. Free some space, or allow writing there.\na hint\n"),
        (PermissionError(13, "Permission denied", "x"), 1,
         "error: x: Permission denied. Free some space, or allow writing there.\na hint\n"),
        (OSError(36, "File name too long", "xx"), 2, "error: xx: File name too long. Check the name.\na hint\n"),
        (BrokenPipeError(32, "Broken pipe"), 1, ""),
        (KeyboardInterrupt(), 130, "warning: a hint\n"),
    ],
)  # fmt: skip
def test_an_error_becomes_a_message_and_an_exit_code(
    dv: Any, monkeypatch: pytest.MonkeyPatch, error: BaseException, code: int, said: str
) -> None:
    error.add_note("a hint")

    def fails(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr("registry.store.Registry.open", fails)
    done = dv("base", "list")
    assert (done.code, done.out, done.err) == (code, "", said)


@pytest.mark.parametrize("error", [ValueError("a bug"), OSError(5, "Input/output error")])
def test_a_bug_stays_a_traceback(dv: Any, monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def fails(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr("registry.store.Registry.open", fails)
    with pytest.raises(type(error)):
        dv("base", "list")


LONG = "x" * 300


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("nonsense",), "nonsense"),
        (("list", "--nonsense"), "--nonsense"),
        (("list", "--kind", "cat"), "--kind"),
        (("show",), "NAME"),
        (("show", "nobody"), "nobody"),
        (("show", "a@x"), "a@x"),
        (("compose", "x", "--seed", "-1"), "--seed"),
        (("compose", "x", "--count", "0"), "--count"),
        (("compose", "x", "--size", "big"), "--size"),
        (("compose", "x", "--device", "tpu"), "--device"),
        (("compose", "a \udcff dog"), "the prompt is not text"),
        (("compose", "x", "--negative-prompt", "\udcff"), "--negative-prompt is not text"),
        (("subject", "learn", "x", "file", "--class", "\udcff"), "--class is not text"),
        (("compose", "x", "--base", LONG), "there is no base"),
        (("compose", "x", "--base", "~nobody-at-all/m"), "there is no base"),
        (("compose", "x", "-o", f"{LONG}.mp4"), "too long"),
        (("compose", "x", "-o", f"{LONG}/x.mp4"), "too long"),
        (("compose", "x", "--appearance", "1.png"), "--motion"),
        (("compose", "x", "--contact-sheet", "x.jpg"), ".png"),
        (("compose", "x", "-o", "x.png", "--contact-sheet", "x.png"), "two files"),
        (("subject", "learn", "x", LONG, "--class", "dog"), "too long"),
        (("subject", "learn", "x", "--resume", "--restart"), "one of them"),
        (("subject", "learn", "x", "--resume"), "no unfinished run"),
        (("motion", "learn", "x"), "no clips"),
        (("base", "add", "x", "~nobody-at-all/m"), "~nobody-at-all/m"),
        (("base", "rm", "nobody"), "nobody"),
        (("demo", "--folder", "file/inside"), "file/inside"),
        (("demo", "--folder", "nowhere/inside"), "there is no folder nowhere to make inside in: create it first"),
        (("demo", "--base", "nobody"), "there is no base 'nobody'"),
        (("inspect", "nobody.mp4"), "nobody.mp4"),
        (("rm", "nobody@1", "--yes"), "nobody"),
    ],
    ids=lambda value: " ".join(value)[:40] if isinstance(value, tuple) else None,
)  # fmt: skip
def test_wrong_input_ends_with_2_and_names_what_was_wrong(
    dv: Any, tmp_path: Path, arguments: tuple[str, ...], said: str
) -> None:
    (tmp_path / "file").touch()
    done = dv(*arguments)
    assert (done.code, done.out) == (2, ""), done.err
    assert said in done.err


def test_nothing_typed_is_a_call_for_help_and_version_is_one_line(dv: Any) -> None:
    assert dv().out == dv("--help").out != ""
    assert dv("--version").out == f"dv {version_of_dv()}\n"


def test_removing_asks_or_refuses_and_touches_nothing_when_one_name_is_wrong(dv: Any, publish: Any) -> None:
    publish("dog")
    publish("dog")
    for arguments in (("rm", "dog@1"), ("rm", "dog", "--yes"), ("rm", "dog@1", "nobody@1", "--yes"),
                      ("rm", "dog@1", "--json"), ("rm", "dog@1", "--all-versions", "--yes")):  # fmt: skip
        assert dv(*arguments).code == 2
    assert dv("rm", "dog@1", "--dry-run").out == "dog@1\n"
    assert dv("list", "--names").out == "dog@1\ndog@2\n"
    gone = dv("rm", "dog", "--all-versions", "--yes", "--json")
    report = json.loads(gone.out)
    assert (report["adapters"], report["removed"]) == (["dog@1", "dog@2"], True)
    assert report["bytes"] >= 3000
    assert dv("list", "--names").out == ""


ASKING = {
    "_DV_COMPLETE": "complete_fish",
    "_TYPER_COMPLETE_FISH_ACTION": "get-args",
    "_TYPER_COMPLETE_ARGS": "dv show ",
}


@pytest.mark.parametrize(
    ("arguments", "environment"),
    [(("--help",), {}), (("list",), {}), (("compose", "--help"), {}), (("base", "list"), {}), ((), ASKING)],
    ids=["help", "list", "compose --help", "base list", "a completion"],
)
def test_help_listings_and_completion_load_no_torch(
    publish: Any, arguments: tuple[str, ...], environment: dict[str, str]
) -> None:
    publish("dog")
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "dreamvideo_cli", *arguments],
        env={**os.environ, **environment}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "dreamvideo_cli.main" in imported
    assert done.stdout
    assert not imported & HEAVY


def test_ctrl_c_while_the_command_still_loads_ends_it_without_a_traceback(process: Any, tmp_path: Path) -> None:
    (tmp_path / "typer.py").write_text("raise KeyboardInterrupt")
    done = process("list", environment={"PYTHONPATH": str(tmp_path)})
    assert (done.code, done.out, done.err) == (130, "", "")


@pytest.mark.parametrize("encoding", ["latin-1", "ascii"])
def test_a_terminal_of_any_encoding_gets_the_table(process: Any, publish: Any, encoding: str) -> None:
    publish("狐")
    for arguments in (("list",), ("list", "--names"), ("show", "狐", "--json")):
        done = process(*arguments, environment={"PYTHONIOENCODING": encoding})
        assert done.code == 0
        assert "狐@1" in done.out or "\\u72d0@1" in done.out


def test_a_reader_that_goes_away_is_no_trouble(process: Any, home: Path, tmp_path: Path) -> None:
    for arguments in (("list",), ("--help",), ("base", "list", "--json")):
        reading, writing = os.pipe()
        os.close(reading)
        done = process(*arguments, capture_output=False, stdout=writing, stderr=subprocess.PIPE)
        os.close(writing)
        assert (done.code, done.err.replace("No adapter yet. Learn one with: dv subject learn NAME ...\n", "")) in (
            (0, ""), (1, ""),
        )  # fmt: skip


def test_ctrl_c_ends_a_composition_with_130_and_leaves_no_file(start: Any, home: Path, tmp_path: Path) -> None:
    begun = start("compose", "a dog", "--steps", "1000", "-o", "x.mp4")
    said = ""
    while "seed 0 " not in said:
        line = begun.stderr.readline()
        assert line, said
        said += line
    begun.send_signal(signal.SIGINT)
    out, err = begun.communicate(timeout=240)
    assert (begun.returncode, out) == (130, "")
    assert "Traceback" not in err
    assert not [path for path in tmp_path.iterdir() if path != home]


def test_a_full_disk_is_one_message_for_the_registry_and_for_a_video(dv: Any, process: Any, small_disk: Path) -> None:
    (small_disk / "ballast").write_bytes(b"x" * 65536)
    listed = process("base", "list", environment={"DV_HOME": str(small_disk / "home")})
    assert (listed.code, listed.out) == (1, "")
    assert "No space is left" in listed.err
    short = ("--steps", "1", "--guidance-scale", "1", "--frames", "2", "--size", "16")
    made = dv("compose", "a dog", "-o", small_disk / "x.mp4", *short)
    assert (made.code, made.out) == (1, ""), made.err
    assert "x.mp4 can't be written" in made.err
    assert {path.name for path in small_disk.iterdir()} <= {"ballast", "home"}


@pytest.mark.skipif(os.geteuid() == 0 and not shutil.which("setpriv"), reason="root passes every permission")
def test_without_the_right_to_write_nothing_is_begun(process: Any, tmp_path: Path) -> None:
    (tmp_path / "locked").mkdir(mode=0o555)
    as_user = ("setpriv", "--bounding-set=-dac_override,-dac_read_search") if os.geteuid() == 0 else ()
    listed = process("base", "list", environment={"DV_HOME": str(tmp_path / "locked" / "home")}, before=as_user)
    assert (listed.code, listed.out) == (1, "")
    assert "can't be written" in listed.err
    refused = process("compose", "a dog", "-o", tmp_path / "locked" / "x.mp4", before=as_user)
    assert (refused.code, refused.out) == (2, "")
    assert "may not write" in refused.err
