"""Where the settings of a composition come from, what is checked before, and what is never replaced."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from dreamvideo_cli.jobs.composing import ComposeRequest, compose, plan_composition, settings_for
from dreamvideo_cli.jobs.events import Event, FileMade, Warned
from engine.errors import InputError
from registry import Registry

STRENGTHS = ("appearance_strength", "unconditional_appearance_strength")


@pytest.mark.parametrize(
    ("learnt_from", "recommended", "options", "expected"),
    [
        ("paper", {}, {}, ((0.75, "adapter"), (0.5, "adapter"))),
        ("paper", {"appearance_strength": 0.25}, {}, ((0.25, "base"), (0.5, "adapter"))),
        ("option", {"appearance_strength": 0.25}, {}, ((0.75, "adapter"), (0.5, "adapter"))),
        ("option", {"appearance_strength": 0.25}, {"appearance_strength": 2.0}, ((2.0, "option"), (0.5, "adapter"))),
    ],
)
def test_a_motion_keeps_the_strengths_that_were_asked_for(
    publish: Any,
    learnt_from: str,
    recommended: dict[str, object],
    options: dict[str, object],
    expected: tuple[tuple[float, str], ...],
) -> None:
    values = dict(zip(STRENGTHS, (0.75, 0.5), strict=True))
    motion = publish("walk", kind="motion", hyperparameters=values, origins=dict.fromkeys(values, learnt_from))
    settings = settings_for(recommended, motion, options)
    assert tuple((getattr(settings.config, name), settings.origins[name]) for name in STRENGTHS) == expected


def test_without_a_motion_the_base_and_the_paper_are_asked() -> None:
    settings = settings_for({"appearance_strength": 0.25}, None, {})
    assert [getattr(settings.config, name) for name in STRENGTHS] == [0.25, 0.0]
    assert [settings.origins[name] for name in STRENGTHS] == ["base", "authors"]


@pytest.fixture
def one_base(base: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.bases.load.load_base", lambda *_, **__: base)


SMALL: dict[str, object] = {"steps": 1, "frames": 2, "size": (16, 16), "guidance_scale": 1.0}


@pytest.mark.parametrize("named", [True, False])
def test_a_file_that_appears_while_composing_stays(
    home: Path, one_base: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, named: bool
) -> None:
    """A second compose of the same prompt and seed does so, too: its default name was free when this one began."""
    from engine import composing

    compose_one, path = composing.compose, tmp_path / ("a.mp4" if named else "a-dog-0.mp4")

    def slow(*arguments: Any, **how: Any) -> Any:
        made = compose_one(*arguments, **how)
        path.write_bytes(b"somebody else's")
        return made

    monkeypatch.setattr("engine.composing.compose", slow)
    events: list[Event] = []
    request = ComposeRequest("a dog", output=path if named else None, settings=SMALL)
    with Registry.open() as registry:
        (made,) = compose(request, registry, events.append)
        (known,) = registry.compositions.all()
    assert path.read_bytes() == b"somebody else's"
    assert made.path.resolve() == path.with_name(f"{path.stem}-2.mp4")
    assert made.path.stat().st_size > 500 and known.path == str(made.path.absolute())
    warned = [event.text for event in events if isinstance(event, Warned)]
    assert warned == ([f"{path} appeared meanwhile and stays as it is: the new file is {made.path}"] if named else [])
    assert FileMade(made.path, 0, made.record) in events


def test_force_alone_replaces_what_appears(
    home: Path, one_base: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = tmp_path / "a.mp4"
    path.write_bytes(b"somebody else's")
    with Registry.open() as registry:
        with pytest.raises(InputError, match=r"a\.mp4 exists"):
            compose(ComposeRequest("a dog", output=path, settings=SMALL), registry)
        (made,) = compose(ComposeRequest("a dog", output=path, force=True, settings=SMALL), registry)
    assert made.path == path and path.stat().st_size > 500


@pytest.mark.parametrize(
    ("request_", "said"),
    [
        ({"settings": {"motion_until": 0.5}}, "`motion_until` is read with a motion only"),
        ({"settings": {"motion_init": 0.3}}, "`motion_init` is read with a motion only"),
        ({"settings": {"motion_strength": 1.0}}, "`motion_strength` is read with a motion only"),
        ({"settings": {"subject_delay": 0.5}}, "`subject_delay` is read with a subject only"),
        ({"settings": {"size": (63, 64)}}, "multiples of 16"),
        ({"settings": {"cache": 0.1}}, r"`cache` is 0\.1, .* does not know the denoiser"),
        ({"settings": {"fps": 60.0}, "output": Path("a.gif")}, "50 frames a second"),
        ({"contact_sheet": Path("nowhere/sheet.png")}, "no folder nowhere"),
        ({"device": "cuda"}, "no device cuda"),
    ],
)
def test_what_can_be_known_is_known_before_a_model_is_loaded(home: Path, request_: dict[str, Any], said: str) -> None:
    with Registry.open() as registry, pytest.raises(InputError, match=said):
        plan_composition(ComposeRequest("a dog", **request_), registry)


@pytest.mark.parametrize("wrong", [{"count": 0}, {"seed": -1}, {"seed": 2**63}, {"seed": 2**63 - 1, "count": 2}])
def test_a_request_holds_seeds_that_there_are(wrong: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        ComposeRequest("a dog", **wrong)
