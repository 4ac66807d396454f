"""Prompts beyond a text encoder's length: what is named, what is refused, and that nothing else is loaded for it."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable
from dataclasses import replace
from logging.handlers import QueueHandler
from pathlib import Path
from queue import SimpleQueue

import numpy as np
import pytest
import torch
from PIL import Image

import engine.bases.load
from engine.adapters.storage import AdapterFiles, called_of, write_adapter
from engine.bases.base import Base
from engine.bases.location import EMBEDDED, BaseLocation, inspect_base
from engine.composing import AppliedAdapter, ComposeConfig, compose
from engine.errors import AdapterError, InputError
from engine.evaluation.judges import ClipJudge
from engine.media.video import write_video
from engine.planning import plan_motion, plan_subject
from engine.prompt_limits import limit_of_base, limit_of_judge, notes_on_composing

INFO = inspect_base(EMBEDDED)
CLIP = INFO.folder / "judges" / "clip"
LONG = "a dog " + "and a cat " * 20 + "asleep on the moon"


def test_the_words_that_are_never_read_are_named(base: Base) -> None:
    limit = limit_of_base(INFO)
    (note,) = limit.notes(["a dog", LONG, LONG])
    assert "the base embedded reads 32" in note and note.endswith('asleep on the moon" is never read')
    dropped = note.split('"')[-2]
    kept = LONG[: LONG.index(dropped, 1)].strip()
    assert LONG.endswith(dropped) and kept and not limit.notes([kept])
    # What is dropped has no part in what the encoder says.
    loaded = engine.bases.load.load_base(EMBEDDED, device="cpu")
    first, other = (loaded.text.encode([f"{kept} {rest}"]).embeddings for rest in (dropped, "in the rain " * 9))
    assert torch.allclose(first[:, :-2], other[:, :-2])


def test_a_long_prompt_is_named_in_our_words_alone() -> None:
    """The library's own line, of indexing errors that there are none of, isn't shown."""
    told: SimpleQueue[logging.LogRecord] = SimpleQueue()
    handler = QueueHandler(told)
    logger = logging.getLogger("transformers")
    logger.addHandler(handler)
    try:
        assert limit_of_base(INFO).notes([LONG])
    finally:
        logger.removeHandler(handler)
    assert told.empty()


@pytest.mark.parametrize("text", ["a dog is running", "", "é" * 3])
def test_short_texts_are_fine(text: str) -> None:
    assert limit_of_base(INFO).notes([text]) == ()


def test_short_texts_load_no_tokenizer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.prompt_limits._OF_BASES", {})
    monkeypatch.setattr(engine.bases.load, "prompts_of", lambda _info: pytest.fail("a tokenizer was loaded"))
    assert limit_of_base(INFO).notes(["a dog is running", "x" * 30]) == ()
    with pytest.raises(pytest.fail.Exception):
        limit_of_base(INFO).notes(["x" * 31])


@pytest.mark.parametrize(
    ("text", "cut"), [(f"{LONG} *", True), (f"* {LONG}", False), (f"* {LONG} *", True), (f"{LONG} *, at night", True)]
)
def test_a_star_that_is_cut_off_is_an_error(text: str, cut: bool) -> None:
    limit = limit_of_base(INFO)
    if cut:
        with pytest.raises(InputError, match=r"\*, the subject, would be cut off"):
            limit.notes([text], vectors=1, mark="*")
    else:
        assert len(limit.notes([text], vectors=1, mark="*")) == 1


@pytest.mark.parametrize("word", ["*", "sks dog", "* dog"])
@pytest.mark.parametrize("place", ["first", "last"])
def test_composing_refuses_a_subject_that_is_cut_off(base: Base, tmp_path: Path, word: str, place: str) -> None:
    form = "bottlenecks" if word == "*" else "weight-deltas"
    token = torch.zeros(32) if "*" in word else None
    adapter = AdapterFiles("subject", "any", base.fingerprint, {}, token=token, form=form, word=word)
    write_adapter(adapter, tmp_path / "one")
    assert called_of(tmp_path / "one") == (word, int("*" in word))
    prompt = f"a * {LONG}" if place == "first" else f"{LONG} *"
    config, applied = ComposeConfig(steps=1, frames=1, size=(16, 16)), AppliedAdapter(tmp_path / "one", "subject")
    if place == "first":
        (note,) = notes_on_composing(base.info, prompt, "", tmp_path / "one")
        assert word in note and "is never read" in note
        assert compose(base, prompt, config=config, seed=0, adapters=[applied]).frames.shape == (1, 16, 16, 3)
    else:
        with pytest.raises(InputError, match="would be cut off"):
            notes_on_composing(base.info, prompt, "", tmp_path / "one")
        with pytest.raises(InputError, match="would be cut off"):
            compose(base, prompt, config=config, seed=0, adapters=[applied])


def test_a_negative_prompt_is_looked_at_too() -> None:
    (note,) = notes_on_composing(INFO, "a dog", LONG, None)
    assert "moon" in note


def test_a_damaged_adapter_has_no_word(tmp_path: Path) -> None:
    (tmp_path / "adapter.safetensors").write_bytes(b"not one")
    with pytest.raises(AdapterError, match="damaged"):
        called_of(tmp_path)


# --- learning ---


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    Image.fromarray(np.zeros((16, 16, 3), np.uint8)).save(tmp_path / "1.png")
    return tmp_path / "1.png"


def test_a_plan_names_the_words_of_captions_that_are_never_read(tmp_path: Path) -> None:
    for name in ("one", "two"):
        write_video(np.zeros((8, 16, 16, 3), np.uint8), tmp_path / f"{name}.mp4", 8, {})
    (tmp_path / "two.txt").write_text(LONG)
    plan = plan_motion([tmp_path], "a dog", info=INFO, options={})
    assert [note for note in plan.notes if "never read" in note and "moon" in note]
    assert not any(
        "never read" in note for note in plan_motion([tmp_path / "one.mp4"], "a dog", info=INFO, options={}).notes
    )


def test_a_token_prompt_whose_star_is_cut_off_is_refused(pictures: Path) -> None:
    with pytest.raises(InputError, match="would be cut off"):
        plan_subject([pictures], "dog", info=INFO, options={"token_prompt": f"{LONG} *"})
    plan = plan_subject([pictures], "dog", info=INFO, options={"token_prompt": f"a * {LONG}"})
    assert any("never read" in note for note in plan.notes)


def test_a_photographs_caption_is_looked_at_too(pictures: Path) -> None:
    pictures.with_suffix(".txt").write_text(f"a dog {LONG}")
    (note,) = [n for n in plan_subject([pictures], "dog", info=INFO, options={}).notes if "never read" in n]
    assert "a * a dog" in note and "moon" in note
    pictures.with_suffix(".txt").write_text(f"{LONG} *")
    with pytest.raises(InputError, match="would be cut off"):
        plan_subject([pictures], "dog", info=INFO, options={})


def test_a_class_that_is_cut_off_is_refused_where_it_calls_the_subject(pictures: Path) -> None:
    with pytest.raises(InputError, match="would be cut off"):
        plan_subject([pictures], LONG, info=INFO, options={}, method="dreamix")


# --- judging ---


def test_a_judge_has_a_length_of_its_own(tmp_path: Path) -> None:
    (note,) = limit_of_judge(CLIP).notes([LONG])
    assert "the CLIP that judges reads 32" in note and "never read" in note


def without_max_length(folder: Path) -> None:
    config = folder / "tokenizer_config.json"
    config.write_text("".join(line for line in config.read_text().splitlines(True) if "model_max_length" not in line))


def test_a_tokenizer_without_a_length_takes_the_encoders(make_base: Callable[..., Path], tmp_path: Path) -> None:
    judge = Path(shutil.copytree(CLIP, tmp_path / "judge"))
    without_max_length(judge)
    assert torch.equal(ClipJudge(judge).texts([LONG]), ClipJudge(CLIP).texts([LONG]))
    folder = Path(shutil.copytree(make_base(), tmp_path / "base"))
    without_max_length(folder / "tokenizer")
    mine = engine.bases.load.load_base(BaseLocation("mine", str(folder)), device="cpu")
    assert mine.text.encode([LONG]).embeddings.shape == (1, 16, 32)
    info = replace(mine.info, location=BaseLocation("lengthless", str(folder)))
    assert len(limit_of_base(info).notes([LONG])) == 1
