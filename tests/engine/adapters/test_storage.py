"""An adapter's files: they come back as they were written, and what is wrong with them is named."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from engine.adapters.storage import read_adapter, write_adapter
from engine.bases.base import Base
from engine.errors import AdapterError
from tests.engine.sample_adapters import motion_of, subject_of

DAMAGE = {"adapter.safetensors", "learned_embeds.safetensors", "image_embeddings.safetensors"}


@pytest.mark.parametrize("name", sorted(DAMAGE))
@pytest.mark.parametrize("content", [b"", b"hello", b"\xff" * 200])
def test_a_damaged_file_is_named(subject: Path, name: str, content: bytes) -> None:
    (subject / name).write_bytes(content)
    with pytest.raises(AdapterError, match=name):
        read_adapter(subject)


@pytest.mark.parametrize("name", sorted(DAMAGE))
def test_a_file_of_something_else_is_named(subject: Path, name: str) -> None:
    save_file({"something": torch.zeros(3)}, subject / name)
    with pytest.raises(AdapterError, match=name):
        read_adapter(subject)


def test_missing_weights_are_named(subject: Path) -> None:
    (subject / "adapter.safetensors").unlink()
    with pytest.raises(AdapterError, match=r"lacks its file .*adapter\.safetensors"):
        read_adapter(subject)
    shutil.rmtree(subject)
    with pytest.raises(AdapterError, match="lacks its file"):
        read_adapter(subject)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format_version": "99"}, "format 99, this dv reads up to 5"),
        ({"format_version": "one"}, "not an adapter"),
        ({"rank": "4"}, "says rank, which this dv does not know"),
        ({"kind": None}, "not an adapter"),
    ],
)
def test_a_newer_or_unknown_format_is_refused(subject: Path, change: dict[str, str | None], message: str) -> None:
    path = subject / "adapter.safetensors"
    with safe_open(path, framework="pt") as file:
        metadata = {**file.metadata(), **change}
    save_file(load_file(path), path, metadata={k: v for k, v in metadata.items() if v is not None})
    with pytest.raises(AdapterError, match=message):
        read_adapter(subject)


def test_an_adapter_comes_back_as_it_was_written(base: Base, tmp_path: Path) -> None:
    for adapter in (subject_of(base), motion_of(base), replace(subject_of(base), weights={}, widths={})):
        shutil.rmtree(tmp_path / "out", ignore_errors=True)
        write_adapter(adapter, tmp_path / "out")
        again = read_adapter(tmp_path / "out")
        assert (again.kind, again.base_fingerprint, again.widths) == (
            adapter.kind,
            adapter.base_fingerprint,
            adapter.widths,
        )
        assert again.weights.keys() == adapter.weights.keys()
        assert all(torch.equal(again.weights[k], t) for k, t in adapter.weights.items())
        for mine, theirs in ((again.token, adapter.token), (again.embeddings, adapter.embeddings)):
            assert (mine is None and theirs is None) or torch.equal(mine, theirs)  # type: ignore[arg-type]


def test_latents_of_clips_come_back_and_what_is_wrong_with_them_is_named(base: Base, tmp_path: Path) -> None:
    clips = (torch.randn(4, 3, 2, 2), torch.randn(4, 5, 2, 2))
    write_adapter(replace(motion_of(base), clips=clips), tmp_path)
    again = read_adapter(tmp_path).clips
    assert len(again) == 2 and all(torch.equal(mine, theirs) for mine, theirs in zip(again, clips, strict=True))
    file = tmp_path / "clip_latents.safetensors"
    for tensors, message in (
        ({"0": clips[0]}, "not the latents of 2 clips"),
        ({"0": clips[0], "2": clips[1]}, "not the latents of 2 clips"),
        ({"0": clips[0], "1": clips[1][0]}, "aren't"),
        ({"0": clips[0], "1": clips[1][:, :0]}, "aren't"),
        ({"0": clips[0], "1": clips[1] * float("nan")}, "no numbers"),
    ):
        save_file(tensors, file)
        with pytest.raises(AdapterError, match=rf"clip_latents\.safetensors .*{message}"):
            read_adapter(tmp_path)
    file.unlink()
    with pytest.raises(AdapterError, match=r"lacks its file .*clip_latents"):
        read_adapter(tmp_path)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("file", sorted(DAMAGE))
def test_an_adapter_with_values_that_are_no_numbers_is_refused(subject: Path, file: str, value: float) -> None:
    with safe_open(subject / file, framework="pt") as opened:
        metadata = opened.metadata()
    tensors = load_file(subject / file)
    next(iter(tensors.values())).view(-1)[0] = value
    save_file(tensors, subject / file, metadata=metadata)
    with pytest.raises(AdapterError, match=rf"{file} has values that are no numbers, at .*: learn it again"):
        read_adapter(subject)


def test_a_published_motion_of_before_tells_its_strengths_in_its_document(motion: Path) -> None:
    assert read_adapter(motion).appearance_strengths == (1.0, 0.0)
    for settings, expected in (
        ({"appearance_strength": 0.5, "unconditional_appearance_strength": 1}, (0.5, 1.0)),
        ({"appearance_strength": 0.5}, (1.0, 0.0)),
        ([], (1.0, 0.0)),
    ):
        (motion / "adapter.json").write_text(json.dumps({"hyperparameters": settings}))
        assert read_adapter(motion).appearance_strengths == expected
    (motion / "adapter.json").write_text("[")
    assert read_adapter(motion).appearance_strengths == (1.0, 0.0)
