"""What weights take: which of them are there when, and that what was freed is given back."""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import numpy.typing as npt
import pytest
import torch
from safetensors.torch import save_file

from engine.bases import fingerprint
from engine.bases.families import family_named
from engine.bases.family import Compute
from engine.bases.location import BaseLocation, inspect_base
from engine.freeing import give_back
from engine.memory import BaseWeights, PartWeights, base_weights
from tests.engine.bases.tiny_wan import write_tiny_image_encoder, write_tiny_wan

CPU, GPU = torch.device("cpu"), torch.device("cuda")


def weights_of(folder: Path, compute: Compute) -> BaseWeights:
    write_tiny_wan(folder)
    write_tiny_image_encoder(folder / "image_encoder")
    info = inspect_base(BaseLocation("wan", str(folder)))
    family = family_named(info.family)
    return base_weights(info, family.skeleton(info), family.parts, compute)


def test_on_a_gpu_all_parts_are_there_from_the_start_and_encoders_leave() -> None:
    parts = {"transformer": PartWeights(100), "vae": PartWeights(20), "image_encoder": PartWeights(30)}
    weights = BaseWeights({**parts, "text_encoder": PartWeights(1000)}, passing=("text_encoder",))
    assert (weights.loading, weights.encoding(40), weights.encoding(2000)) == (1150, 1150, 2150)
    assert weights.learning(with_text=True) == weights.learning(with_text=False) == 100


def test_pages_of_files_are_there_from_when_they_are_used() -> None:
    parts = {name: PartWeights(size, mapped=True) for name, size in (("transformer", 100), ("vae", 20))}
    weights = BaseWeights({**parts, "text_encoder": PartWeights(30, mapped=True)}, passing=("text_encoder",))
    assert (weights.loading, weights.encoding(5), weights.encoding(50)) == (0, 30, 70)
    assert weights.learning(with_text=False) == 100


def test_what_is_converted_is_there_twice_for_a_while() -> None:
    parts = {"transformer": PartWeights(200, converted_from=100), "vae": PartWeights(20, mapped=True)}
    weights = BaseWeights({**parts, "text_encoder": PartWeights(80, converted_from=40)}, passing=("text_encoder",))
    assert (weights.loading, weights.encoding(5), weights.learning(with_text=False)) == (320, 280, 200)


def test_a_text_encoder_that_stays_is_there_while_a_token_is_learnt() -> None:
    weights = BaseWeights({"unet": PartWeights(100), "text_encoder": PartWeights(30), "vae": PartWeights(20)}, ())
    assert (weights.learning(with_text=True), weights.learning(with_text=False)) == (130, 100)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_files_tell_what_is_mapped_and_what_is_converted(tmp_path: Path, dtype: torch.dtype) -> None:
    """The folder has an autoencoder and an image encoder in float32, all else in bfloat16."""
    parts = weights_of(tmp_path, Compute(CPU, dtype)).parts
    assert list(parts) == ["transformer", "vae", "image_encoder", "text_encoder"]
    half = {"transformer", "text_encoder"}
    mapped = {"vae", *(half if dtype == torch.bfloat16 else {"image_encoder"})}
    assert {name for name, part in parts.items() if part.mapped} == mapped
    assert {name for name, part in parts.items() if part.converted_from} == parts.keys() - mapped
    on_gpu = weights_of(tmp_path, Compute(GPU, dtype)).parts
    assert {name: part.bytes for name, part in on_gpu.items()} == {name: part.bytes for name, part in parts.items()}
    assert not any(part.mapped or part.converted_from for part in on_gpu.values())


def resident() -> int:
    """Bytes of this process's own memory."""
    (line,) = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("RssAnon")]
    return int(line.split()[1]) * 1024


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_what_was_freed_is_given_back() -> None:
    torch.ones(2**23)  # From now on, glibc keeps what is freed of blocks up to 32 MiB.
    between, weights = [], []
    for _ in range(100):
        weights.append(torch.ones(2**18))
        between.append(torch.ones(2**12))
    held, size = resident(), 100 * 4 * 2**18
    del weights
    give_back(CPU)
    assert held - resident() > 0.9 * size
    assert len(between) == 100


def test_a_large_tensor_is_hashed_in_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Noted:
        """A hash that notes how many bytes it is given at once."""

        def __init__(self, start: bytes) -> None:
            self._hash = hashlib.sha256(start)

        def update(self, values: npt.NDArray[np.float16]) -> None:
            given.append(values.nbytes)
            self._hash.update(values.tobytes())

        def digest(self) -> bytes:
            return self._hash.digest()

    given: list[int] = []
    save_file({"table": torch.randn(16, 8)}, tmp_path / "model.safetensors")
    whole = fingerprint._tensor_digests(tmp_path / "model.safetensors")
    monkeypatch.setattr(fingerprint, "hashlib", SimpleNamespace(sha256=Noted))
    monkeypatch.setattr(fingerprint, "_VALUES_AT_ONCE", 24)
    assert fingerprint._tensor_digests(tmp_path / "model.safetensors") == whole
    assert max(given) == 2 * 24 and sum(given) == 2 * 128
