"""Which base a command works with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from dreamvideo_cli.jobs.bases import base_for, check_fit, default_base, named_base
from dreamvideo_cli.jobs.events import Event, Warned, ignore
from engine.bases.location import EMBEDDED
from engine.errors import AdapterError, BaseError
from registry import Registry

OTHER, THIRD = "f" * 64, "a" * 64


def test_the_embedded_base_is_the_default_until_another_is_chosen(home: Path) -> None:
    with Registry.open() as registry:
        assert default_base(registry) == EMBEDDED
        registry.add_base("big", "/models/big", fingerprint=OTHER)
        assert default_base(registry) == EMBEDDED
        registry.use_base("big")
        assert default_base(registry).model == "/models/big"
        registry.use_base("embedded")
        assert default_base(registry) == EMBEDDED


def test_a_base_is_named_by_name_folder_or_hub_id(home: Path, tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    with Registry.open() as registry:
        registry.add_base("big", "/models/big", fingerprint=OTHER)
        assert named_base(registry, "embedded") == EMBEDDED
        assert named_base(registry, "big").model == "/models/big"
        assert named_base(registry, "model").model == str(tmp_path / "model")
        assert named_base(registry, "someone/video-model").model == "someone/video-model"


@pytest.mark.parametrize("text", ["", "missing", "../x/y/z", "~nobody-at-all/model", "x" * 300, "a b/c", "狐/狐 狐"])
def test_what_is_no_base_is_refused_with_those_there_are(home: Path, text: str) -> None:
    with Registry.open() as registry:
        registry.add_base("big", "/models/big", fingerprint=OTHER)
        if text:
            with pytest.raises(BaseError, match="embedded, big"):
                named_base(registry, text)


def test_adapters_bring_their_base(home: Path, publish: Any) -> None:
    dog, walk = publish("dog"), publish("walk", kind="motion")
    with Registry.open() as registry:
        with pytest.raises(AdapterError, match="isn't among"):
            base_for(registry, [dog, walk], ignore)
        registry.add_base("big", "/models/big", fingerprint=OTHER)
        assert base_for(registry, [dog, walk], ignore).name == "big"
        assert base_for(registry, [], ignore) == EMBEDDED


def test_adapters_of_two_bases_are_refused_with_those_that_fit(home: Path, publish: Any) -> None:
    dog, walk = publish("dog"), publish("walk", kind="motion", base_fingerprint=THIRD, base_name="third")
    publish("run", kind="motion")
    with Registry.open() as registry:
        with pytest.raises(AdapterError, match=r"walk@1 was made for the base third .*\n.*: run@1\.") as caught:
            base_for(registry, [dog, walk], ignore)
        assert "`allow_other_base`" in str(caught.value)


def test_an_adapter_that_nothing_fits_says_to_learn_it_there(home: Path, publish: Any) -> None:
    dog = publish("dog")
    with Registry.open() as registry:
        check_fit(registry, [dog], EMBEDDED, OTHER)
        with pytest.raises(AdapterError, match="None of your subjects fits embedded: learn it there"):
            check_fit(registry, [dog], EMBEDDED, THIRD)


def test_a_base_whose_files_are_gone_is_a_warning_while_another_fits(home: Path, publish: Any) -> None:
    events: list[Event] = []
    dog = publish("dog")
    with Registry.open() as registry:
        registry.add_base("gone", "/models/gone")
        with pytest.raises(AdapterError, match="isn't among"):
            base_for(registry, [dog], events.append)
    (warned,) = events
    assert isinstance(warned, Warned) and "the base gone can't be read" in warned.text
