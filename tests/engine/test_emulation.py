"""A precision that the processor only imitates is said before it costs hours."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from engine.bases.load import notes_on

CPU, CUDA = torch.device("cpu"), torch.device("cuda")


@pytest.mark.parametrize(
    ("found", "device", "dtype", "told"),
    [
        ({"architecture": "x86_64", "avx512_bf16": False}, CPU, torch.bfloat16, True),
        ({"architecture": "x86_64", "avx512_bf16": True}, CPU, torch.bfloat16, False),
        ({"architecture": "x86_64", "avx512_fp16": False}, CPU, torch.float16, True),
        ({"architecture": "aarch64"}, CPU, torch.bfloat16, False),
        ({"architecture": "x86_64"}, CPU, torch.float32, False),
        ({"architecture": "x86_64"}, CUDA, torch.bfloat16, False),
    ],
)
def test_what_is_emulated_is_told(
    monkeypatch: pytest.MonkeyPatch, found: dict[str, Any], device: torch.device, dtype: torch.dtype, told: bool
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: found)
    notes = notes_on(device, dtype)
    assert bool(notes) == told
    if told:
        assert {torch.bfloat16: "bf16", torch.float16: "fp16"}[dtype] in notes[0]
