"""What the shell is offered: by the protocol that the completion scripts speak."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from registry import Registry

Offered = Any


@pytest.fixture
def offered(dv: Any, monkeypatch: pytest.MonkeyPatch) -> Offered:
    """The values offered after `line`, whose last word is being typed."""

    def ask(line: str) -> list[str]:
        with monkeypatch.context() as tab:
            tab.setenv("_DV_COMPLETE", "complete_fish")
            tab.setenv("_TYPER_COMPLETE_FISH_ACTION", "get-args")
            tab.setenv("_TYPER_COMPLETE_ARGS", line)
            done = dv()
        assert (done.code, done.err) == (0, "")
        return [value.partition("\t")[0] for value in done.out.splitlines() if value]

    return ask


def test_names_of_the_right_kind_then_versions(publish: Any, offered: Offered) -> None:
    for name, kind in (("chow", "subject"), ("chow", "subject"), ("狐", "subject"), ("walk", "motion")):
        publish(name, kind=kind)
    assert offered("dv compose 'a * is' --subject ") == ["chow", "狐"]
    assert offered('dv compose "a * is" --motion w') == ["walk"]
    assert offered("dv compose x --subject=ch") == ["chow"]
    assert offered("dv show ") == ["chow", "狐", "walk"]
    assert offered("dv show chow@") == ["chow@1", "chow@2"]
    assert offered("dv rm walk@1 chow@2") == ["chow@2"]
    assert offered("dv show nobody") == []
    assert offered("dv show \udcff") == []  # as Python gives bytes that are no text


def test_kept_steps_of_a_version_or_of_the_newest(home: Path, publish: Any, offered: Offered) -> None:
    for _ in range(2):
        publish("chow")
    for version, step in ((1, 200), (1, 1000), (2, 400), (2, 450)):
        (home / "adapters" / "chow" / str(version) / "learning" / "steps" / str(step)).mkdir(parents=True)
    assert offered("dv show chow@1:") == ["chow@1:200", "chow@1:1000"]
    assert offered("dv compose x --subject chow:4") == ["chow:400", "chow:450"]
    assert offered("dv compose x --subject=chow@2:45") == ["chow@2:450"]
    assert offered("dv compose x --motion chow:") == offered("dv show chow@3:") == offered("dv show ../chow:") == []
    assert offered("dv show chow@x:") == []


def test_bases(home: Path, offered: Offered) -> None:
    assert offered("dv base use ") == ["embedded"]
    with Registry.open() as registry:
        registry.add_base("big", "/models/big", fingerprint="f" * 64)
    assert offered("dv base use ") == ["embedded", "big"]
    assert offered("dv subject learn fox --base b") == ["big"]
    assert offered("dv base show e") == ["embedded"]


def test_a_tab_press_makes_no_registry(home: Path, offered: Offered) -> None:
    assert offered("dv show ") == []
    assert not home.exists()
    home.mkdir()
    assert offered("dv show ") == []
    assert list(home.iterdir()) == []


def test_a_damaged_registry_is_silent(home: Path, offered: Offered) -> None:
    home.mkdir()
    (home / "registry.sqlite3").write_bytes(b"no database at all" * 100)
    assert offered("dv show ") == []
    assert offered("dv base use ") == ["embedded"]
    assert offered("dv lis") == ["list"]
