"""What a learning run remembers, and which second command goes on with it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from dreamvideo_cli.jobs.requests import (
    LearnRequest,
    given,
    has_diverged,
    load_request,
    new_request,
    reached_text,
    save_reached,
)
from engine.bases.location import BaseLocation
from engine.errors import InputError

BASE = BaseLocation("embedded", "/models/embedded")


@pytest.fixture
def stored(tmp_path: Path) -> LearnRequest:
    request = new_request(
        "subject", "fox", [Path("/p/1.png")], given(**{"class": "dog"}, device="cpu"), {"steps": 3, "size": (64, 64)}
    )
    run = tmp_path / "run"
    run.mkdir()
    replace(request, base=BASE, started_at="2026-01-01T00:00:00+00:00").save(run)
    loaded = load_request(run)
    assert loaded is not None
    return loaded


def asking(
    sources: list[Path] | None = None, about: dict[str, object] | None = None, **settings: object
) -> LearnRequest:
    return new_request("subject", "fox", sources, about or {}, settings)


def test_a_saved_request_comes_back_whole(stored: LearnRequest) -> None:
    assert stored.sources == ("/p/1.png",)
    assert stored.base == BASE
    assert stored.given == {"class": "dog", "device": "cpu"}
    assert stored.settings == {"steps": 3, "size": [64, 64]}


def test_the_name_alone_or_the_same_command_goes_on(stored: LearnRequest) -> None:
    assert asking().continuing(stored) == stored
    same = asking([Path("/p/1.png")], {"class": "dog"}, steps=3, size=(64, 64))
    assert same.continuing(stored) == stored


def test_another_device_is_no_other_run(stored: LearnRequest) -> None:
    going_on = asking(about={"device": "cuda", "offload": True}).continuing(stored)
    assert (going_on.given["device"], going_on.given["offload"]) == ("cuda", True)


def test_what_cannot_change_the_result_may_change_on_the_way(stored: LearnRequest) -> None:
    request = asking(gradient_checkpointing=True, snapshot_every=7).continuing(stored)
    assert request.settings == {"steps": 3, "size": [64, 64], "gradient_checkpointing": True, "snapshot_every": 7}
    assert request.is_all_of(stored)


def test_a_restart_takes_what_is_given_now(stored: LearnRequest) -> None:
    anew = asking(about={"class": "cat"}, steps=4, seed=1).restarting(stored)
    assert (anew.sources, anew.given["class"], anew.given["device"]) == (("/p/1.png",), "cat", "cpu")
    assert anew.settings == {"steps": 4, "size": [64, 64], "seed": 1}


@pytest.mark.parametrize(
    ("request_", "said"),
    [
        (asking([Path("/p/2.png")]), "other files"),
        (asking(steps=4), "`steps` 4, not 3"),
        (asking(seed=1), "`seed` 1"),
        (asking(about={"class": "cat"}), "`class` cat, not dog"),
        (asking(size=(32, 64)), "`size` 32x64, not 64x64"),
    ],
)
def test_a_different_command_is_refused_with_both_ways_on(
    stored: LearnRequest, request_: LearnRequest, said: str
) -> None:
    with pytest.raises(InputError) as caught:
        request_.continuing(stored)
    assert said in str(caught.value)
    assert "dv subject learn fox --resume" in str(caught.value)
    assert "`restart`" in str(caught.value)


def test_a_request_for_less_or_on_another_base_is_not_all_of_the_run(stored: LearnRequest) -> None:
    same = replace(asking(about={"class": "dog", "device": "cuda"}, steps=3, size=(64, 64)), base=BASE)
    assert same.is_all_of(stored)
    for other in (
        replace(same, settings={"steps": 3}),
        replace(same, given={}),
        replace(same, base=BaseLocation("embedded", "/models/other")),
        replace(same, kind="motion"),
    ):
        assert not other.is_all_of(stored)


def test_paths_are_kept_absolute_and_what_was_not_given_is_not_kept(tmp_path: Path, monkeypatch: object) -> None:
    assert given(masks=Path("m"), prompt=None, end=0.0) == {"masks": str(Path("m").absolute()), "end": 0.0}


def test_no_run_is_none_and_a_torn_one_says_how_to_start_anew(tmp_path: Path) -> None:
    assert load_request(tmp_path / "nothing") is None
    for content in ("", "{", "[]", "null", '{"format": 99}', json.dumps({"format": 1}), "\x00"):
        (tmp_path / "request.json").write_text(content, encoding="utf-8")
        with pytest.raises(InputError, match="`restart`"):
            load_request(tmp_path)


def test_how_far_a_run_got_is_told_even_from_a_torn_note(tmp_path: Path) -> None:
    assert reached_text(tmp_path) == "before its first snapshot"
    save_reached(tmp_path, ("identity", 120, 800))
    assert reached_text(tmp_path) == "at step 120 of 800 (identity)"
    for content in ("", "[1]", "7", "\xff"):
        (tmp_path / "reached.json").write_text(content, encoding="latin-1")
        assert reached_text(tmp_path) == "before its first snapshot"


def test_a_strange_name_is_quoted_in_the_command_that_is_offered() -> None:
    assert replace(asking(), name="a b").command("--restart") == "dv subject learn 'a b' --restart"


def test_a_run_remembers_that_it_diverged(tmp_path: Path) -> None:
    assert not has_diverged(tmp_path)
    save_reached(tmp_path, ("motion", 3, 9))
    assert not has_diverged(tmp_path)
    save_reached(tmp_path, ("motion", 3, 9), diverged=True)
    assert has_diverged(tmp_path)
    assert reached_text(tmp_path) == "at step 3 of 9 (motion), where it diverged"
