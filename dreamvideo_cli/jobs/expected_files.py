"""Whether a composed file is there, whole, and what was asked for: what lets a batch go on where it stopped."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dreamvideo_cli.jobs.bases import fingerprint_of
from dreamvideo_cli.jobs.composing import ComposePlan
from engine.errors import EngineError
from engine.identity import deciding
from engine.methods.dreamvideo import ComposeConfig

_DTYPES = {None: "float32", "fp32": "float32", "bf16": "bfloat16", "fp16": "float16", "fp8": "float8_e4m3fn"}


@dataclass(frozen=True)
class ExpectedFile:
    """A file that a plan makes, and what its record must say. A contact sheet has no seed of its own."""

    path: Path
    seed: int | None
    expected: Mapping[str, Any]

    def is_there(self, known_hash: str | None) -> bool:
        """Whether the file was made by the same plan, and is unchanged where its hash was noted."""
        if not self.path.is_file():
            return False
        from engine.data.files import sha256_of
        from engine.media.metadata import read_metadata

        try:
            if known_hash is not None and sha256_of(self.path) != known_hash:
                return False
            return _recorded(read_metadata(self.path)) == self.expected
        except EngineError:
            return False


def expected_files(plan: ComposePlan) -> list[ExpectedFile]:
    """All the files of a plan, in the order in which they are made."""
    return list(_expected(plan))


def _expected(plan: ComposePlan) -> Iterator[ExpectedFile]:
    appearance = None
    if plan.request.appearance is not None:
        from engine.data.files import sha256_of

        appearance = sha256_of(plan.request.appearance)
    expected = {
        "prompt": plan.prompt,
        "base": fingerprint_of(plan.base),
        "dtype": _DTYPES[plan.request.dtype],
        "settings": deciding(plan.settings.values(), ComposeConfig),
        "adapters": [(adapter.kind, adapter.file_hash) for adapter in plan.adapters],
        "appearance": appearance,
    }
    for target in plan.files:
        seed = plan.targets[0].seed if target.seed is None else target.seed
        yield ExpectedFile(target.path, target.seed, {**expected, "seed": seed})


def _recorded(record: Mapping[str, Any]) -> dict[str, Any]:
    """A file's record in the form of `ExpectedFile.expected`; parts that it lacks are None."""

    def part(name: str, key: str) -> Any:
        value = record.get(name)
        return value.get(key) if isinstance(value, Mapping) else None

    from registry import adapters_in

    settings = record.get("settings")
    return {
        **{name: record.get(name) for name in ("prompt", "seed", "dtype")},
        "settings": deciding(settings, ComposeConfig) if isinstance(settings, Mapping) else None,
        "base": part("base", "fingerprint"),
        "adapters": [(each.role, each.file_hash) for each in adapters_in(record)],
        "appearance": part("appearance", "sha256"),
    }
