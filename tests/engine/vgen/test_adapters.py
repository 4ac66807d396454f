"""The authors' adapter and token files: what comes of them, and what is refused."""

from __future__ import annotations

import os
import pickle
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from engine.adapters.bottleneck import AdapterSet
from engine.adapters.forms import restored
from engine.bases.base import Base
from engine.errors import AdapterError
from engine.methods.common import Kind
from engine.vgen.adapters import read_adapter_file, read_token_file
from tests.engine.vgen.authors_files import (
    SPATIAL,
    TEMPORAL,
    adapter_state,
    info_of,
    random,
    write_adapter_file,
    write_token_file,
)

MakeBase = Callable[..., Path]


@pytest.mark.parametrize("kind", ["subject", "motion"])
def test_every_value_is_at_its_layer(make_base: MakeBase, tmp_path: Path, kind: Kind) -> None:
    file = write_adapter_file(tmp_path / "a.pth", kind)
    read = read_adapter_file(file, kind, info_of(make_base()))
    state = adapter_state(kind)
    assert (read.step, len(read.state)) == (500, len(state))
    assert read.condition_width == (24 if kind == "motion" else None)
    place = "mid_block.attentions.0.transformer_blocks.0.attn2" if kind == "subject" else (
        "mid_block.temp_attentions.0.transformer_blocks.0.attn2"
    )  # fmt: skip
    theirs = f"middle_block.{1 if kind == 'subject' else 2}.transformer_blocks.0.cross_attn_adapter"
    assert torch.equal(read.state[f"{place}/down.weight"], state[f"{theirs}.down_linear.weight"])
    assert torch.equal(read.state[f"{place}/up.bias"], state[f"{theirs}.up_linear.bias"])
    if kind == "motion":
        first = "transformer_in.transformer_blocks.0.ff/condition.weight"
        assert torch.equal(
            read.state[first], state["input_blocks.0.1.transformer_blocks.0.ff_adapter.condition_linear.weight"]
        )


@torch.no_grad()
def test_an_imported_adapter_computes_the_papers_formula(base: Base, make_base: MakeBase, tmp_path: Path) -> None:
    """h + layer(norm(h)) + GELU((h + lambda (e W_cond + b_cond)) W_down + b) W_up + b, written out."""
    file = write_adapter_file(tmp_path / "a.pth", "motion")
    adapters = restored("bottlenecks", read_adapter_file(file, "motion", info_of(make_base())).state)
    assert isinstance(adapters, AdapterSet)
    state, place = adapter_state("motion"), "middle_block.2.transformer_blocks.0.ff_adapter"
    site = next(s for s in base.sites if s.name == "mid_block.temp_attentions.0.transformer_blocks.0.ff")
    seen: dict[str, Tensor] = {}
    handles = [
        site.norm.register_forward_pre_hook(lambda _m, inputs: seen.__setitem__("h", inputs[0])),
        site.layer.register_forward_hook(lambda _m, _i, out: seen.__setitem__("layer", out)),
    ]
    look, strength = random(2, 24), torch.tensor([0.3, 1.0])
    with adapters.attached(base):
        handles.append(site.layer.register_forward_hook(lambda _m, _i, out: seen.__setitem__("sum", out)))
        adapters.condition(look, strength)
        base.predict(random(2, 4, 3, 8, 8), torch.tensor([20, 320]), base.text.encode(["a dog", "a cat"]))
    for handle in handles:
        handle.remove()

    def linear(x: Tensor, name: str) -> Tensor:
        return F.linear(x, state[f"{place}.{name}.weight"], state[f"{place}.{name}.bias"])

    guided = (strength[:, None] * linear(look, "condition_linear")).repeat_interleave(len(seen["h"]) // 2, 0)
    expected = linear(F.gelu(linear(seen["h"] + guided[:, None], "down_linear")), "up_linear")
    torch.testing.assert_close(seen["sum"] - seen["layer"], expected, atol=1e-5, rtol=1e-4)


def test_half_precision_and_the_prefix_of_parallel_training_are_taken(make_base: MakeBase, tmp_path: Path) -> None:
    state = {f"module.{name}": tensor.half() for name, tensor in adapter_state("subject").items()}
    torch.save({"state_dict": state, "step": 7}, tmp_path / "a.pth")
    read = read_adapter_file(tmp_path / "a.pth", "subject", info_of(make_base()))
    assert {tensor.dtype for tensor in read.state.values()} == {torch.float32}


def first(kind: str) -> str:
    return f"{next(iter(SPATIAL if kind == 'subject' else TEMPORAL))}.transformer_blocks.0.cross_attn_adapter"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"mystery.weight": random(2, 2)}, "has mystery.weight, which is no adapter's weight"),
        ({f"{first('subject')}.side_linear.weight": random(2, 2)}, "side_linear"),
        ({f"{first('subject')}.down_linear.weight": random(16, 31)}, "not whole|does not fit|width 31"),
        ({f"{first('subject')}.up_linear.bias": torch.tensor([float("nan")] * 32)}, "are no numbers"),
        ({f"{first('subject')}.up_linear.bias": torch.zeros(1).expand(10**12)}, "which the file doesn't hold"),
        ({f"{first('subject')}.up_linear.bias": torch.zeros(32, dtype=torch.int64)}, "no tensor of numbers"),
        ({f"{first('motion')}.up_linear.bias": torch.zeros(64)}, "is a motion's: say `kind` motion"),
    ],
)
def test_a_file_that_does_not_fit_is_named(
    make_base: MakeBase, tmp_path: Path, changes: dict[str, Tensor], message: str
) -> None:
    file = write_adapter_file(tmp_path / "a.pth", "subject", changes=changes)
    with pytest.raises(AdapterError, match=message):
        read_adapter_file(file, "subject", info_of(make_base()))


@pytest.mark.parametrize("dropped", [f"{first('subject')}.", f"{first('subject')}.up_linear.weight"])
def test_a_file_that_lacks_something_is_refused(make_base: MakeBase, tmp_path: Path, dropped: str) -> None:
    state = {name: tensor for name, tensor in adapter_state("subject").items() if not name.startswith(dropped)}
    torch.save({"state_dict": state, "step": 1}, tmp_path / "a.pth")
    with pytest.raises(AdapterError, match="is not whole"):
        read_adapter_file(tmp_path / "a.pth", "subject", info_of(make_base()))


# --- tokens ---


def test_a_token_file_is_its_vector(tmp_path: Path) -> None:
    token = read_token_file(write_token_file(tmp_path / "t.pth"))
    assert token is not None
    assert torch.equal(token, random(1, 32)[0])
    assert read_token_file(write_adapter_file(tmp_path / "a.pth", "subject")) is None


def test_several_vectors_are_taken_in_their_order(tmp_path: Path) -> None:
    token = read_token_file(write_token_file(tmp_path / "t.pth", vectors=3))
    assert token is not None
    assert torch.equal(token, random(3, 32))


@pytest.mark.parametrize("vectors", [0, 33])
def test_a_number_of_vectors_that_fits_no_prompt_is_refused(tmp_path: Path, vectors: int) -> None:
    with pytest.raises(AdapterError, match=f"has {vectors} vectors, and dv takes 1 to 32"):
        read_token_file(write_token_file(tmp_path / "t.pth", vectors=vectors))


# --- hostile files ---


class Hostile:
    """Runs a command when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self._mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self._mark}",)


@pytest.mark.parametrize("place", ["whole", "step", "state", "token"])
@pytest.mark.parametrize("plain", [False, True])
def test_a_hostile_pickle_is_refused_and_nothing_is_run(
    make_base: MakeBase, tmp_path: Path, place: str, plain: bool
) -> None:
    mark, file = tmp_path / "was-run", tmp_path / "a.pth"
    bomb = Hostile(mark)
    content: Any = {
        "whole": bomb,
        "step": {"state_dict": adapter_state("subject"), "step": bomb},
        "state": {"state_dict": {**adapter_state("subject"), "x": bomb}, "step": 1},
        "token": {"string_to_token": {}, "string_to_param": bomb},
    }[place]
    if plain:
        file.write_bytes(pickle.dumps(content))
    else:
        torch.save(content, file)
    for read in (lambda: read_adapter_file(file, "subject", info_of(make_base())), lambda: read_token_file(file)):
        with pytest.raises(AdapterError, match=re.escape(str(file))):
            read()
    assert not mark.exists()


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04junk", b"\x80\x02junk", b"<html>"])
def test_what_is_no_pickle_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.pth").write_bytes(content)
    with pytest.raises(AdapterError, match=r"a\.pth"):
        read_token_file(tmp_path / "a.pth")


@pytest.mark.parametrize("content", [[], {}, {"state_dict": {}}, {"state_dict": [1]}, {"state_dict": 3, "step": 1}, 5])
def test_what_has_no_table_of_weights_is_named(make_base: MakeBase, tmp_path: Path, content: Any) -> None:
    torch.save(content, tmp_path / "a.pth")
    with pytest.raises(AdapterError, match=r"a\.pth"):
        read_adapter_file(tmp_path / "a.pth", "subject", info_of(make_base()))
