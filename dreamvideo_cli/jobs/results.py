"""Whether a composed file is there, whole, and what was asked for: what lets a batch go on where it stopped."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dreamvideo_cli.jobs.bases import fingerprint_of
from dreamvideo_cli.jobs.composing import Job, learnt_of
from engine.errors import EngineError

_DTYPES = {None: "float32", "fp32": "float32", "bf16": "bfloat16", "fp16": "float16"}


@dataclass(frozen=True)
class Result:
    """A file that a job makes, and what its record must say. A contact sheet has no seed of its own."""

    path: Path
    seed: int | None
    expected: Mapping[str, Any]

    def is_there(self, known_hash: str | None) -> bool:
        """Whether the file was made by the same job, and is unchanged where its hash was noted."""
        if not self.path.is_file():
            return False
        from engine.data.files import sha256_of
        from engine.media.metadata import read_metadata

        try:
            if known_hash is not None and sha256_of(self.path) != known_hash:
                return False
            return _told(read_metadata(self.path)) == self.expected
        except EngineError:
            return False


def results_of(job: Job) -> list[Result]:
    """All the files of a job, in the order in which they are made."""
    return list(_results(job))


def _results(job: Job) -> Iterator[Result]:
    appearance = None
    if job.wish.appearance is not None:
        from engine.data.files import sha256_of

        appearance = sha256_of(job.wish.appearance)
    expected = {
        "prompt": job.prompt,
        "base": fingerprint_of(job.base),
        "dtype": _DTYPES[job.wish.dtype],
        "settings": job.settings.values(),
        "adapters": {kind: learnt["sha256"] for kind, learnt in learnt_of(job).items()},
        "appearance": appearance,
    }
    for target in job.targets:
        yield Result(target.path, target.seed, {**expected, "seed": target.seed})
    if job.wish.contact_sheet is not None:
        yield Result(job.wish.contact_sheet, None, {**expected, "seed": job.targets[0].seed})


def _told(record: Mapping[str, Any]) -> dict[str, Any]:
    """A file's record in the form of `Result.expected`; parts that it lacks are None."""

    def part(name: str, key: str) -> Any:
        value = record.get(name)
        return value.get(key) if isinstance(value, Mapping) else None

    told = {name: record.get(name) for name in ("prompt", "seed", "dtype", "settings")}
    adapters = {kind: part(kind, "sha256") for kind in ("subject", "motion") if kind in record}
    return {
        **told,
        "base": part("base", "fingerprint"),
        "adapters": adapters,
        "appearance": part("appearance", "sha256"),
    }
