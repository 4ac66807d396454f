"""Suites small enough to run in a test, and what came of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from engine.evaluation.suites.results import CellResult, read_results
from registry import Registry
from tests.rendering import MATERIAL

SMALL = """
[subject_options]
size = [32, 32]
batch_size = 1
token_steps = 2
adapter_steps = 2
steps = 2
[motion_options]
size = [32, 32]
frames = 2
batch_size = 1
steps = 2
[compose_options]
size = [16, 16]
frames = 2
steps = 2
guidance_scale = 1
"""
FOX = f'[[subjects]]\nname = "fox"\nclass = "dog"\nimages = "{MATERIAL / "rex"}"\n'
ZIGZAG = f"""
[[motions]]
name = "zigzag"
doing = "zigzagging"
clips = "{MATERIAL / "zigzag" / "1-dog.mp4"}"
"""
TOKEN = '{name = "token", subject = "textual-inversion"}'
BARE = '{name = "bare"}'
Write = Callable[..., str]


def learnt() -> list[str]:
    with Registry.open() as registry:
        return sorted(adapter.id for adapter in registry.adapters())


def by_method(folder: Path) -> dict[str, CellResult]:
    return {result.cell.method: result for result in read_results(folder)}
