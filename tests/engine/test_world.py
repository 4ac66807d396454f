"""The world of individuals: who is held out, how individuals and their pictures come out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from engine.world import backgrounds, colours, motions, pictures
from engine.world.__main__ import main
from engine.world.drawing import draw
from engine.world.individuals import (
    CLASSES,
    FAR_CLASSES,
    FORMS,
    SPLITS,
    Individual,
    colour_word,
    individual,
    individual_named,
    siblings,
    split_of,
)


def apart(one: Individual, other: Individual) -> float:
    """How far two look apart in body or second colour, whichever differs more."""
    return max(colours.distance(one.body, other.body), colours.distance(one.second, other.second))


@pytest.mark.parametrize("word", CLASSES)
def test_the_parameters_decide_the_split_and_train_never_comes_near_a_held_out_one(word: str) -> None:
    drawn = {split: [individual(word, seed, split) for seed in range(60)] for split in SPLITS}
    assert all(split_of(one) == split for split, many in drawn.items() for one in many)
    for one in drawn["train"]:
        assert min(apart(one, other) for split in ("settings", "figures") for other in drawn[split]) > 0.06
    assert min(apart(a, b) for a in drawn["settings"] for b in drawn["figures"]) > 0.06


@pytest.mark.parametrize("split", SPLITS)
def test_a_split_has_bodies_of_every_colour(split: str) -> None:
    assert {colour_word(individual("bear", seed, split)) for seed in range(120)} == set(colours.WORDS)


def test_a_name_is_of_one_individual() -> None:
    assert individual_named("car/7") == individual("car", 7) == individual_named("car/7/figures")
    assert individual_named("car/7/settings") == individual("car", 7, "settings")
    for wrong in ("car", "car/x", "car/-1", "car/7/figures/2", "car/7/elsewhere", "/7"):
        with pytest.raises(ValueError, match=r"no individual|classes are"):
            individual_named(wrong)


def test_a_class_held_out_whole_has_no_train_individuals() -> None:
    for word in FAR_CLASSES:
        with pytest.raises(ValueError, match="no 'snail' in 'train'"):
            individual(word, 0, "train")
        everyone = siblings(individual(word, 0, "figures"))
        assert "train" not in {split_of(one) for one in everyone}


def test_an_individual_is_its_seed() -> None:
    assert individual("cat", 5, "train") == individual("cat", 5, "train")
    assert len({individual("cat", seed, "train") for seed in range(50)}) == 50
    assert individual("cat", 5, "figures") != individual("cat", 5, "settings")


def test_siblings_are_others_of_the_class_half_of_them_of_its_colour_word() -> None:
    one = individual("rabbit", 1)
    others = siblings(one, 63)
    assert others == siblings(one, 63)
    assert len({*others, one}) == 64
    assert {other.class_word for other in others} == {"rabbit"}
    assert sum(colour_word(other) == colour_word(one) for other in others) >= 31


@pytest.mark.parametrize("word", FORMS)
def test_every_choice_of_form_shows(word: str) -> None:
    """Whatever changes in the vector changes the drawing at the size at which it stands in a clip."""
    base = individual(word, 2)
    for place, choices in enumerate(FORMS[word].values()):
        drawings = []
        for choice in choices:
            form = (*base.form[:place], choice, *base.form[place + 1 :])
            one = Individual(word, base.body, base.second, base.third, base.build, form)
            drawings.append(draw(one, 32))
        for i, drawing in enumerate(drawings):
            assert all(np.abs(drawing - other).max() > 0.15 for other in drawings[:i]), choice


@pytest.mark.parametrize("word", FORMS)
def test_a_drawing_is_the_same_at_every_size_and_has_no_fringe(word: str) -> None:
    one = individual(word, 4)
    large = draw(one, 256).reshape(32, 8, 32, 8, 4).mean(axis=(1, 3))
    assert np.abs(large - draw(one, 128).reshape(32, 4, 32, 4, 4).mean(axis=(1, 3))).max() < 0.12
    assert (large[..., :3] <= large[..., 3:] + 1e-5).all()  # premultiplied
    assert large[..., 3].max() == 1
    assert large[[0, -1], :, 3].max() < 0.5
    assert large[:, [0, -1], 3].max() < 0.5


@pytest.mark.parametrize("scene", backgrounds.PHRASES)
def test_scenes_vary_and_keep_their_look(scene: str) -> None:
    painted = [backgrounds.paint(scene, seed, 32) for seed in range(6)]
    assert all(np.abs(painted[0] - other).max() > 0.1 for other in painted[1:])
    own = np.abs(painted[0] - painted[1]).mean()
    others = [
        np.abs(painted[0] - backgrounds.paint(other, 0, 32)).mean() for other in backgrounds.PHRASES if other != scene
    ]
    assert own < min(others)


def test_photographs_of_an_individual_differ_and_say_no_more_than_class_colour_and_scene() -> None:
    one = individual("fish", 3)
    taken = [pictures.photograph(one, seed) for seed in range(24)]
    assert len({p.scene for p in taken}) > 5
    assert {p.mirrored for p in taken} == {True, False}
    for p in taken:
        left, top, right, bottom = p.box
        assert 20 <= max(right - left, bottom - top) <= 40
        assert p.pixels.shape == (64, 64, 3)
        plain = f"a fish {backgrounds.PHRASES[p.scene]}"
        assert p.caption in (plain, plain.replace("a fish", f"{article(colour_word(one))} {colour_word(one)} fish"))
    assert len({len(p.caption.split()) for p in taken}) > 1


def article(word: str) -> str:
    return "an" if word[0] in "aeiou" else "a"


@pytest.mark.parametrize("motion", [*motions.ALL, None])
def test_a_clip_shows_the_individual_where_it_says(motion: str | None) -> None:
    filmed = pictures.clip(individual("bear", 8), motion, 5, size=48, scene="grass")
    assert filmed.frames.shape == (8, 48, 48, 3)
    rows, columns = np.mgrid[:48, :48] + 0.5
    for alpha, (x, y), size in zip(filmed.alpha, filmed.centres, filmed.sizes, strict=True):
        if size / 2 < min(x, y, 1 - x, 1 - y):  # wholly in the frame
            seen = np.array([(columns * alpha).sum(), (rows * alpha).sum()]) / alpha.sum() / 48
            assert np.abs(seen - [x, y]).max() < 0.08
    phrase = "" if motion is None else motions.ALL[motion].phrase + " "
    assert filmed.caption.endswith(f"bear {phrase}on grass")


def test_a_photograph_over_its_alpha_shows_the_drawing_itself() -> None:
    """What is opaque shows nothing of the scene behind it."""
    one = individual("robot", 9)
    first, second = (pictures.photograph(one, 6, scene=scene) for scene in ("night", "snow"))
    solid = first.alpha > 0.999
    assert solid.sum() > 200
    assert np.abs(first.pixels[solid].astype(int) - second.pixels[solid]).max() <= 1


def test_the_command_writes_an_individual_its_photographs_siblings_and_clips(tmp_path: Path) -> None:
    given = ["draw", "--class", "cat", "--seed", "77", "--photos", "2", "--siblings", "5", "--size", "40"]
    main([*given, str(tmp_path)])
    assert Image.open(tmp_path / "individual.png").mode == "RGBA"
    assert Image.open(tmp_path / "photo-2.png").size == (64, 64)
    assert " cat " in (tmp_path / "photo-1.txt").read_text()
    assert len(list((tmp_path / "siblings").iterdir())) == 5
    assert Image.open(tmp_path / "siblings.png").size == (320, 40)
    given = ["clip", "--motion", "circling", "--seed", "3", "--class", "car"]
    main([*given, str(tmp_path)])
    assert (tmp_path / "circling.mp4").stat().st_size > 1000
    assert "circling" in (tmp_path / "circling.txt").read_text()
