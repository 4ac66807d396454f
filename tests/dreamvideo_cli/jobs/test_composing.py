"""Where the settings of a composition come from."""

from __future__ import annotations

from typing import Any

import pytest

from dreamvideo_cli.jobs.composing import settings_for

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
