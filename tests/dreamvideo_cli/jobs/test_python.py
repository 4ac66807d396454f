"""The tool from Python: what each function takes, refuses and gives. docs/python.md runs the whole job."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from dreamvideo_cli.jobs import compose, learn_motion, learn_subject, list_adapters, run_batch, run_suite
from engine.errors import InputError
from registry import UnknownNameError


def test_adapters_are_listed_by_kind_and_name_the_newest_last(publish: Any, home: Path, tmp_path: Path) -> None:
    for name, kind in (("fox", "subject"), ("walk", "motion"), ("fox", "subject")):
        publish(name, kind=kind)
    assert [adapter.id for adapter in list_adapters()] == ["fox@1", "walk@1", "fox@2"]
    assert [adapter.id for adapter in list_adapters(kind="motion")] == ["walk@1"]
    assert [adapter.id for adapter in list_adapters(name="fox", home=home)] == ["fox@1", "fox@2"]
    assert list_adapters(home=tmp_path / "another") == []


def test_settings_are_checked_as_on_the_command_line(home: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no option token_stepz: there are "):
        learn_subject("fox", [tmp_path], "dog", settings={"token_stepz": 3})
    with pytest.raises(InputError, match="steps is 'many': it must be a whole number"):
        learn_motion("walk", [tmp_path], settings={"steps": "many"})
    with pytest.raises(InputError, match="guidance_scale is True: it must be a number"):
        compose("a dog", settings={"guidance_scale": True})
    with pytest.raises(InputError, match="`count` is 0: it must be at least 1"):
        compose("a dog", count=0)


def test_what_a_home_lacks_is_told(publish: Any, tmp_path: Path) -> None:
    publish("fox")
    with pytest.raises(UnknownNameError, match="'fox'"):
        compose("a fox", subject="fox", home=tmp_path / "another")


def test_every_row_that_can_not_be_made_is_named_and_none_is_made(home: Path, tmp_path: Path) -> None:
    wanted: list[dict[str, object]] = [{"steps": 2}, {"subject": "nobody"}, {"size": "x"}]
    rows = [{"prompt": "a dog", **row} for row in wanted]
    with pytest.raises(InputError) as caught:
        run_batch(rows, tmp_path / "shots", device="cpu")
    first, *told = str(caught.value).splitlines()
    assert first == "2 rows of 3 can't be made, so none was"
    assert [line.partition(":")[0] for line in told] == ["row 2", "row 3"]
    assert not (tmp_path / "shots").exists()


def test_a_suite_that_there_is_not_is_told(home: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no suite nosuch"):
        run_suite("nosuch", tmp_path / "results")
