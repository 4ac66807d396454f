"""The commands over the registry, run as a user runs them: what they print, refuse and leave behind."""

from __future__ import annotations

import json
import os
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from dreamvideo_cli.jobs.requests import LearnRequest
from engine.bases.location import EMBEDDED
from registry import Adapter, NewComposition, Registry

Dv = Callable[..., Any]
Publish = Callable[..., Adapter]


@pytest.fixture
def registry(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Registry]:
    """The registry that the commands work on; its tables need a little width."""
    monkeypatch.setenv("COLUMNS", "120")
    with Registry.open() as opened:
        yield opened


@pytest.fixture
def dv(dv: Dv, registry: Registry) -> Dv:
    """Run `dv`, and see that it ends with `check`."""

    def call(*arguments: object, check: int = 0) -> Any:
        done = dv(*arguments)
        assert done.code == check, done.err
        return done

    return call


def test_list_filters_sorts_and_shows_tags(dv: Dv, publish: Publish) -> None:
    publish("dog", steps=5), publish("run", kind="motion", steps=9), publish("cat", steps=7)
    assert dv("tag", "cat", "film", "best").out == "best\nfilm\n"
    assert dv("list", "--names", "--sort", "steps").out == "dog@1\ncat@1\nrun@1\n"
    assert dv("list", "--names", "--tag", "film").out == "cat@1\n"
    assert dv("list", "--names", "--name", "?o*").out == "dog@1\n"
    assert dv("list", "--names", "--limit", "1", "--reverse").out == "cat@1\n"
    assert "best, film" in dv("list").out
    assert "Tags" not in dv("list", "--kind", "motion").out
    rows = json.loads(dv("list", "--json").out)
    assert [(row["id"], row["tags"]) for row in rows] == [("dog@1", []), ("run@1", []), ("cat@1", ["best", "film"])]
    none = dv("list", "--tag", "none")
    assert (none.out, none.err) == ("", "No adapter is like that. See all with: dv list\n")
    dv("list", "--sort", "beauty", check=2)


BYTES_THAT_ARE_NO_TEXT = "\udcff"
"""As Python gives what the command line brings."""


@pytest.mark.parametrize("option", ["--name", "--base", "--method", "--tag"])
def test_list_refuses_what_is_no_text(dv: Dv, publish: Publish, option: str) -> None:
    publish("dog")
    assert dv("list", option, BYTES_THAT_ARE_NO_TEXT, check=2).err.startswith(f"error: {option} is not text")


@pytest.mark.parametrize("command", ["list", "history", "runs"])
def test_a_limit_beyond_all_numbers_is_refused(dv: Dv, publish: Publish, command: str) -> None:
    publish("dog")
    assert "--limit" in dv(command, "--limit", "9" * 23, check=2).err
    dv(command, "--limit", 2**31 - 1)


def test_a_home_of_nobody_says_what_to_set(dv: Dv, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DV_HOME", "~nobody-of-this-name")
    for command in ("list", "history", "doctor"):
        assert "DV_HOME is ~nobody-of-this-name" in dv(command, check=2).err


def test_nothing_is_older_than_all_time(dv: Dv, publish: Publish) -> None:
    publish("dog"), publish("dog")
    assert dv("prune", "--versions", "--older-than", "999999d", "--yes").err == "There is nothing to prune.\n"


def test_a_log_with_bytes_that_are_no_text_is_printed(dv: Dv, registry: Registry) -> None:
    log = registry.runs.log_of(registry.runs.begin("subject", "dog"))
    log.parent.mkdir()
    log.write_bytes(b"it began\n\xff it ended\n")
    assert dv("runs", "log", "dog").out == "it began\n\ufffd it ended\n"


def test_labels_show(dv: Dv, publish: Publish) -> None:
    publish("dog")
    assert dv("note", "dog").out == ""
    assert dv("note", "dog", "sharp ears").out == "sharp ears\n"
    assert dv("tag", "dog@1", "best", "film", "--remove").out == ""
    assert json.loads(dv("tag", "dog", "best", "--json").out) == {
        "id": "dog@1", "tags": ["best"], "note": "sharp ears",
    }  # fmt: skip
    shown = dv("show", "dog").out
    assert "Tags" in shown and "sharp ears" in shown
    assert json.loads(dv("show", "dog", "--json").out)["tags"] == ["best"]
    assert dv("note", "dog", "").out == ""
    assert dv("tag", "dog").out == "best\n"
    assert "can't be a tag" in dv("tag", "dog", "two words", check=2).err
    assert "--remove needs" in dv("tag", "dog", "--remove", check=2).err
    assert "nobody" in dv("note", "nobody", "x", check=2).err


def test_rename_prints_the_new_ids(dv: Dv, publish: Publish) -> None:
    publish("dog"), publish("dog"), publish("cat")
    assert dv("rename", "dog", "rex").out == "rex@1\nrex@2\n"
    assert dv("list", "--names").out.split() == ["rex@1", "rex@2", "cat@1"]
    assert "already" in dv("rename", "rex", "cat", check=2).err
    assert "leave out the @" in dv("rename", "rex@1", "max", check=2).err
    assert "'dog'" in dv("rename", "dog", "max", check=2).err


def test_verify_tells_what_is_not_as_it_was(dv: Dv, publish: Publish, registry: Registry, tmp_path: Path) -> None:
    dog = publish("dog")
    publish("cat")
    fine = dv("verify")
    assert (fine.out, fine.err) == ("", "All is as it was: 2 adapters, 2 sources.\n")
    (tmp_path / "photo.jpg").rename(tmp_path / "elsewhere.jpg")
    moved = dv("verify", "dog")
    assert "moved" in moved.out and "elsewhere.jpg" in moved.out
    (tmp_path / "photo.jpg").write_bytes(b"retouched")
    rows = json.loads(dv("verify", "dog", "--json", check=1).out)
    assert [row["state"] for row in rows] == ["ok", "changed"]
    dv("verify", "dog", "--no-sources")
    (registry.path(dog) / "adapter.safetensors").write_bytes(b"other")
    rows = json.loads(dv("verify", "dog@1", "--no-sources", "--json", check=1).out)
    assert [(row["adapter"], row["state"]) for row in rows] == [("dog@1", "changed")]
    dv("verify", "cat", "--no-sources")
    dv("verify", "nobody", check=2)


def test_prune_shows_then_asks_then_frees(dv: Dv, publish: Publish, registry: Registry) -> None:
    publish("dog"), publish("dog"), publish("dog")
    shown = dv("prune", "--versions", "--keep", "2", "--dry-run")
    assert shown.out == "dog@1\n"
    assert "1 thing would be removed" in shown.err
    assert len(registry.adapters()) == 3
    for flags in ((), ("--json",)):
        refused = dv("prune", "--versions", *flags, check=2)
        assert "add --yes" in refused.err and refused.out == ""
    assert len(registry.adapters()) == 3
    done = json.loads(dv("prune", "--versions", "--older-than", "1h", "--yes", "--json").out)
    assert [item["id"] for item in done["items"]] == ["dog@1", "dog@2"]
    assert (done["removed"], done["bytes"]) == (True, sum(item["bytes"] for item in done["items"]))
    assert [adapter.id for adapter in registry.adapters()] == ["dog@3"]
    assert dv("prune").err == "There is nothing to prune.\n"


@pytest.mark.parametrize(
    "arguments",
    [("--older-than", "soon"), ("--versions", "--max-size", "huge"), ("--keep", "0"), ("--max-size", "5GB")],
)
def test_prune_refuses_what_it_can_not_read(dv: Dv, arguments: tuple[str, ...]) -> None:
    dv("prune", *arguments, check=2)


def test_adapters_travel_in_one_file(dv: Dv, publish: Publish, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    publish("dog", content=b"1"), publish("dog", content=b"2"), publish("run", kind="motion")
    assert dv("export", "dog").out == "dog-2.dvpack\n"
    assert "exists" in dv("export", "dog", check=2).err
    assert dv("export", "dog", "run", "--all-versions", "-o", "more.dvpack").out == "more.dvpack\n"
    assert dv("import", "more.dvpack", "--dry-run").out.count("dog@") == 2
    dv("export", check=2), dv("export", "dog", "--all", check=2), dv("export", "dog@1", "--all-versions", check=2)
    assert "nowhere" in dv("export", "dog", "-o", "nowhere/x.dvpack", check=2).err
    assert dv("export", "--all", "-o", "all.dvpack", "--quiet").err == ""

    monkeypatch.setenv("DV_HOME", str(tmp_path / "other"))
    assert dv("import", "dog-2.dvpack").out == "dog@2\n"
    again = dv("import", "all.dvpack")
    assert again.out == "dog@3\ndog@2\nrun@1\n"
    assert "dog@1 became dog@3" in again.err and "dog@2 was here already" in again.err
    assert dv("import", "all.dvpack", "run", "--as", "jog").out == "jog@1\n"
    assert "dog-3" in dv("import", "dog-3.dvpack", check=2).err
    dv("verify", "--no-sources")


@pytest.mark.parametrize("names", [("dog",), ("--all",)])
def test_an_export_leaves_a_file_that_appears_meanwhile(
    dv: Dv, publish: Publish, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, names: tuple[str, ...]
) -> None:
    publish("dog")
    export = Registry.export

    def slow(registry: Registry, file: Path, adapters: Any = None) -> int:
        (tmp_path / "x.dvpack").write_text("somebody else's")
        return export(registry, file, adapters)

    monkeypatch.setattr(Registry, "export", slow)
    assert "x.dvpack exists" in dv("export", *names, "-o", "x.dvpack", check=2).err
    assert (tmp_path / "x.dvpack").read_text() == "somebody else's"
    assert not list(tmp_path.glob(".*.partial*"))
    assert dv("export", *names, "-o", "x.dvpack", "--force").out == "x.dvpack\n"
    assert dv("import", "x.dvpack", "--dry-run").code == 0


def test_an_export_replaces_no_device(dv: Dv, publish: Publish, tmp_path: Path) -> None:
    publish("dog")
    os.mkfifo(tmp_path / "pipe")  # a device is made by root alone
    for names in (["dog"], ["--all"]):
        assert "pipe is no file that can be replaced" in dv("export", *names, "-o", "pipe", "--force", check=2).err
    assert (tmp_path / "pipe").is_fifo()
    assert "is a device or a pipe" in dv("import", "pipe", check=2).err
    assert "is a device or a pipe" in dv("import", "pipe", "--dry-run", check=2).err


def test_runs_are_listed_with_what_can_be_done(dv: Dv, registry: Registry) -> None:
    assert "No run yet" in dv("runs").err
    done, failed = (registry.runs.begin("subject", name) for name in ("dog", "cat"))
    registry.runs.end(done, "finished", adapter="dog@1", reached=("identity", 9, 9))
    registry.runs.end(failed, "failed", message="out of memory", reached=("token", 3, 9))
    registry.run_folder("cat").mkdir(parents=True)
    shown = dv("runs").out
    assert "identity 9/9" in shown and "dog@1" in shown and "dv runs resume cat" in shown
    assert dv("runs", "--names", "--state", "failed").out == "2\n"
    assert [run["id"] for run in json.loads(dv("runs", "--json", "--limit", "1").out)] == [2]
    dv("runs", "--state", "odd", check=2)
    assert "isn't running: it is finished" in dv("runs", "stop", "dog", check=2).err
    assert "has no log" in dv("runs", "log", "dog", check=2).err
    assert "no unfinished run of dog" in dv("runs", "resume", "dog", check=2).err
    assert "no run 'bear'" in dv("runs", "log", "bear", check=2).err
    registry.runs.begin("subject", "bear")
    assert "Asked run 3 of bear to stop" in dv("runs", "stop", "bear").err
    assert registry.runs.beat(3, None) is True


def test_who_holds_a_name_for_a_moment_stops_no_learner(dv: Dv, registry: Registry) -> None:
    def hold(held: threading.Event, until: threading.Event, longest_s: float) -> None:
        with registry.runs.lock("fox"):
            held.set()
            until.wait(longest_s)

    for longest_s, said in ((0.2, "no images given"), (60, "another process is learning fox")):
        held, until = threading.Event(), threading.Event()
        holder = threading.Thread(target=hold, args=(held, until, longest_s))
        holder.start()
        held.wait()
        assert said in dv("subject", "learn", "fox", "--class", "dog", check=2).err
        until.set()
        holder.join()


def test_resume_goes_on_with_what_was_asked_for(dv: Dv, registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[LearnRequest, bool]] = []

    def learn(request: LearnRequest, _registry: Registry, *, resume: bool, **_: object) -> None:
        asked.append((request, resume))

    monkeypatch.setattr("dreamvideo_cli.jobs.learning.learn", learn)
    id = registry.runs.begin("motion", "jog")
    LearnRequest("motion", "jog", ("/a.mp4",), {}, {}, EMBEDDED).save(registry.run_folder("jog"))
    for text in ("jog", id):
        dv("runs", "resume", text)
    assert asked == [(LearnRequest("motion", "jog", (), {}, {}), True)] * 2


def test_history_tells_which_files_are_gone(dv: Dv, publish: Publish, registry: Registry, tmp_path: Path) -> None:
    assert "No video yet" in dv("history").err
    dog = publish("dog")
    (tmp_path / "there.mp4").write_bytes(b"x")
    used = {"role": "subject", "name": "dog@1", "sha256": dog.file_hash}
    for name, adapters in (("there.mp4", [used]), ("gone.mp4", [])):
        record = {"prompt": "a * runs", "seed": 4, "base": {"name": "embedded"}, "adapters": adapters}
        path = str(tmp_path / name)
        registry.compositions.add(NewComposition(path=path, sha256="a" * 64, bytes=1, record=record))
    assert "(gone)" in dv("history").out
    assert dv("history", "--names", "--adapter", "dog").out == f"{tmp_path / 'there.mp4'}\n"
    rows = json.loads(dv("history", "--json", "--limit", "1").out)
    assert [(row["path"], row["exists"], row["seed"]) for row in rows] == [(str(tmp_path / "gone.mp4"), False, 4)]
    (row,) = json.loads(dv("history", "--json", "--adapter", "dog").out)
    assert (row["subject"], row["subject_hash"], row["motion"]) == ("dog@1", dog.file_hash, None)
    assert row["adapters"] == [{"role": "subject", "name": "dog@1", "file_hash": dog.file_hash}]
    assert "No video was made with" in dv("history", "--adapter", publish("cat", content=b"cat").id).err


def test_doctor_finds_what_is_wrong_and_rebuilds(
    dv: Dv, publish: Publish, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dreamvideo_cli.jobs.checkups._devices", lambda: iter(()))
    dog = publish("dog")
    registry.add_tags(dog, ["best"])
    rows = json.loads(dv("doctor", "--json").out)
    assert {row["what"] for row in rows} >= {"ffmpeg", "disk", "registry", "base embedded"}
    registry.close()
    file = registry.folder / "registry.sqlite3"
    file.write_bytes(b"no database at all " * 100)
    assert "dv doctor --rebuild" in dv("list", check=1).err
    assert "BAD" in dv("doctor", check=1).out
    rebuilt = dv("doctor", "--rebuild")
    assert rebuilt.out == "dog@1\n"
    assert "damaged-" in rebuilt.err
    assert dv("list", "--names", "--tag", "best").out == "dog@1\n"
    shutil.rmtree(registry.path(dog))
    gone = dv("doctor", check=1)
    assert "files are gone of dog@1" in gone.out


def test_compose_again_says_what_is_missing(dv: Dv, tmp_path: Path) -> None:
    from PIL import Image

    from dreamvideo_cli.jobs.bases import fingerprint_of
    from engine.bases.location import EMBEDDED
    from engine.media.metadata import for_png

    assert "say what to show" in dv("compose", check=2).err
    base = {"name": "embedded", "fingerprint": "0" * 64}
    here = {"name": "embedded", "fingerprint": fingerprint_of(EMBEDDED)}
    lost, python = ({"role": "subject", "name": "dog@1", "sha256": "a" * 64}, {"role": "motion", "name": "jog"})
    record: dict[str, Any] = {
        "prompt": "a dog", "seed": 1, "dtype": "float32", "base": base, "settings": {}, "appearance": None,
    }  # fmt: skip
    for change, said in (
        ({}, "isn't among your bases"),
        ({"base": 3}, "is damaged"),
        ({"seed": "x"}, "is damaged"),
        ({"dtype": "float3"}, "isn't among your bases"),
        ({"subject": {"name": "dog@1", "sha256": "a" * 64}}, "isn't among your bases"),
        ({"base": here, "subject": {"name": "dog@1", "sha256": "a" * 64}}, "the subject dog@1 (aaaaaaaaaaaa)"),
        ({"base": here, "adapters": [lost]}, "the subject dog@1 (aaaaaaaaaaaa), which isn't here under any name"),
        ({"base": here, "adapters": [python]}, "the motion jog (never published), which isn't here"),
        ({"base": here, "adapters": [python, python]}, "more than one motion, which only Python composes: jog, jog"),
    ):
        Image.new("RGB", (8, 8)).save(tmp_path / "made.png", pnginfo=for_png({**record, **change}))
        assert said in " ".join(dv("compose", "--from", "made.png", check=2).err.split())
    Image.new("RGB", (8, 8)).save(tmp_path / "bare.png")
    assert "was not made by dv" in dv("compose", "--from", "bare.png", check=2).err
