"""A composition's list of adapters: several of a kind, each with its strength over the steps."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from engine.adapters.storage import write_adapter
from engine.bases.base import Base
from engine.composing import AppliedAdapter, ComposeConfig, Composition, Strength, compose
from engine.errors import InputError
from tests.engine.sample_adapters import CONFIG, made, motion_of, same, subject_of


def of(base: Base, *adapters: AppliedAdapter, config: ComposeConfig = CONFIG, prompt: str = "a dog") -> Composition:
    return compose(base, prompt, config=config, seed=0, adapters=adapters)


def test_a_strength_of_its_own_goes_before_the_settings(base: Base, subject: Path, motion: Path) -> None:
    four = replace(CONFIG, steps=4)
    late, early = Strength(0.5, start=0.5), Strength(2.0, stop=0.25)
    own = of(base, AppliedAdapter(subject, "subject", strength=late), config=four)
    assert same(own, made(base, subject=subject, config=replace(four, subject_strength=0.5, subject_delay=0.5)))
    own = of(base, AppliedAdapter(motion, "motion", strength=early), config=four)
    assert same(own, made(base, motion=motion, config=replace(four, motion_strength=2.0, motion_until=0.25)))
    assert own.record["adapters"] == [
        {"role": "motion", "name": "motion", "strength": 2.0, "start": 0.0, "stop": 0.25},
    ]


def test_strengths_are_shares_of_the_steps() -> None:
    strength = Strength(3.0, start=0.25, stop=0.5)
    assert [strength.at(step, 8) for step in range(8)] == [0, 0, 3.0, 3.0, 0, 0, 0, 0]
    assert [Strength().at(step, 1) for step in range(1)] == [1.0]


def test_two_motions_act_together_each_with_its_strength(base: Base, motion: Path, tmp_path: Path) -> None:
    adapter = motion_of(base)
    weights = {name: tensor.flip(0) for name, tensor in adapter.weights.items()}
    write_adapter(replace(adapter, weights=weights), tmp_path / "other")
    first, second = AppliedAdapter(motion, "motion"), AppliedAdapter(tmp_path / "other", "motion")
    both = of(base, first, second)
    assert not any(same(both, of(base, one)) for one in (first, second))
    assert same(of(base, first, replace(second, strength=Strength(0.0))), of(base, first))
    assert [each["name"] for each in both.record["adapters"]] == ["motion", "other"]


def test_two_subjects_are_told_apart_by_what_is_written_for_them(base: Base, subject: Path, tmp_path: Path) -> None:
    """One of them may have a learnt token; the other is called by its words."""
    write_adapter(replace(subject_of(base), token=None, word="sks cat"), tmp_path / "cat")
    fox, cat = AppliedAdapter(subject, "subject"), AppliedAdapter(tmp_path / "cat", "subject", token="<cat>")
    both = of(base, fox, cat, prompt="a * chases a <cat>")
    assert same(both, of(base, fox, cat, prompt="a * chases a sks cat"))
    assert not same(both, of(base, fox, prompt="a * chases a sks cat"))
    assert [each["token"] for each in both.record["adapters"]] == ["*", "<cat>"]
    with pytest.raises(InputError, match=r"several subjects are written \*.*`token` of its own"):
        of(base, fox, replace(cat, token="*"))
    with pytest.raises(InputError, match="one subject with a learnt token"):
        of(base, fox, replace(fox, token="<fox>"))


def test_a_motions_own_appearance_strengths_count_where_none_are_set(base: Base, tmp_path: Path) -> None:
    adapter = replace(motion_of(base), appearance_strengths=(0.5, 1.0))
    write_adapter(adapter, tmp_path / "own")
    write_adapter(motion_of(base), tmp_path / "usual")
    asked = replace(CONFIG, appearance_strength=0.5, unconditional_appearance_strength=1.0)
    own, usual = made(base, motion=tmp_path / "own"), made(base, motion=tmp_path / "usual")
    assert not same(own, usual)
    assert same(own, made(base, motion=tmp_path / "usual", config=asked))
    told = {name: own.record["settings"][name] for name in ("appearance_strength", "unconditional_appearance_strength")}
    assert told == {"appearance_strength": 0.5, "unconditional_appearance_strength": 1.0}
    usual_one = replace(CONFIG, appearance_strength=1.0, unconditional_appearance_strength=0.0)
    assert same(made(base, motion=tmp_path / "own", config=usual_one), usual)
    assert made(base).record["settings"]["appearance_strength"] == 1.0
