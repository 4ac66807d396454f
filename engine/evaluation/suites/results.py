"""What came of a suite's cells: one line of JSON each, in the suite's folder, the last of a cell counts.

Shards of a suite write files of their own, which count like that of the whole suite and become part of it when it runs.
Beside them are the identities of the cells when the suite was last run: a result of another identity no longer counts.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Literal

from engine.errors import InputError
from engine.files import written_aside

RESULTS = "results.jsonl"
_OF_SHARDS = "results-*-of-*.jsonl"
_WANTED = "wanted.json"
_BLOCK = 65536
Key = tuple[str | int, ...]


@dataclass(frozen=True)
class Cell:
    """One video of a suite: who moves how, by which method, to which prompt, from which seed, and at which step of what
    was learnt of each; None is the last one."""

    method: str
    subject: str | None
    motion: str | None
    prompt: str
    seed: int
    subject_step: int | None = None
    motion_step: int | None = None

    @property
    def key(self) -> Key:
        """What tells cells apart, and orders them."""
        steps = (self.subject_step or 0, self.motion_step or 0)
        # Without steps it is that of the first version, which files' names and shards come from.
        return (
            self.method,
            self.subject or "",
            self.motion or "",
            self.prompt,
            self.seed,
            *(steps if any(steps) else ()),
        )

    @property
    def row(self) -> str:
        """The row of a table that it belongs to: its method, and the steps that its adapters are at."""
        return self.method + (f", {self.steps}" if self.steps else "")

    @property
    def steps(self) -> str:
        """The steps in words; nothing where all is at its last step."""
        steps = {"subject": self.subject_step, "motion": self.motion_step}
        # What a cell hasn't got can't be at another step.
        own = {kind: step for kind, step in steps.items() if getattr(self, kind) is not None}
        if not any(own.values()):
            return ""
        if len(set(own.values())) == 1:
            return f"step {next(iter(own.values()))}"
        return ", ".join(f"{kind} at step {step}" for kind, step in own.items() if step is not None)


@dataclass(frozen=True)
class CellAdapter:
    """A learnt adapter behind a cell: its registry id, its file's hash, and how it was learnt."""

    adapter: str
    sha256: str
    method: str
    settings: dict[str, Any]
    """By name: the resolved value and where it came from."""
    trainable_parameters: int
    losses: dict[str, list[tuple[int, float]]] = field(default_factory=dict)
    """The learning curve of each of its parts ("token", "identity", "motion"): step and loss."""
    step: int | None = None
    """The kept step that it is at; None is the last one."""
    held_out_loss: float | None = None
    """That of the step, where it was measured."""


@dataclass(frozen=True)
class CellResult:
    """What came of a cell. Paths are relative to the suite's folder, with forward slashes."""

    cell: Cell
    state: Literal["made", "failed"]
    base: str
    base_fingerprint: str
    made_at: str
    identity: str = ""
    """A hash of all that the cell was to be made and measured by: another one is another cell's result."""
    error: str | None = None
    video: str | None = None
    sha256: str | None = None
    seconds: float | None = None
    scores: dict[str, float | None] = field(default_factory=dict)
    """By the metric's name in `engine.evaluation.scoring.METRICS`."""
    score_identities: dict[str, str] = field(default_factory=dict)
    """Of each score, what it came from (`engine.evaluation.scoring.score_identity`). Results of the first version have
    none: `identity` told it of all their scores."""
    curves: dict[str, tuple[float, ...]] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)
    """Of the composition, by name: the resolved value and where it came from."""
    parts: dict[Literal["subject", "motion"], CellAdapter] = field(default_factory=dict)
    references: tuple[str, ...] = ()
    """Pictures of the subject, copied into the suite's folder."""
    reference_clips: tuple[str, ...] = ()
    """Clips of the motion, copied into the suite's folder as MP4."""


def results_of_shard(slug: str) -> str:
    """The name of the file that a shard writes its results into."""
    return f"results-{slug}.jsonl"


def results_files(folder: Path) -> list[Path]:
    """The files of results in a folder: that of the whole suite first, then those of its shards."""
    return [path for path in (folder / RESULTS, *sorted(folder.glob(_OF_SHARDS))) if path.exists()]


def append_result(folder: Path, result: CellResult, *, file: str = RESULTS) -> None:
    """Add a line, whole or not at all as far as a reader is concerned: `read_results` skips a torn last line,
    and the next one takes its place. The file is one process's."""
    path = folder / file
    path.touch()
    with path.open("rb+") as opened:
        opened.seek(_end_of_last_line(opened))
        opened.truncate()
        opened.write(_line(result))


def merge_results(folder: Path) -> None:
    """Take the results of shards into the whole suite's file, and remove theirs. The folder is one process's.

    Raises `InputError` where a line isn't a result.
    """
    shards = [path for path in results_files(folder) if path.name != RESULTS]
    if not shards:
        return
    whole = folder / RESULTS
    known = _newest_in(whole) if whole.exists() else {}
    lines = [_line(result) for result in newest_results(folder) if known.get(result.cell.key) != result]
    *kept, _ = whole.read_bytes().split(b"\n") if whole.exists() else [b""]
    with written_aside(whole) as partial:
        partial.write_bytes(b"".join([line + b"\n" for line in kept] + lines))
    for path in shards:
        path.unlink()


def _line(result: CellResult) -> bytes:
    return (json.dumps(asdict(result), ensure_ascii=False) + "\n").encode("utf-8", "backslashreplace")


def _end_of_last_line(file: BinaryIO) -> int:
    """Where what was written whole ends."""
    end = file.seek(0, os.SEEK_END)
    while end:
        start = max(0, end - _BLOCK)
        file.seek(start)
        found = file.read(end - start).rfind(b"\n")
        if found >= 0:
            return start + found + 1
        end = start
    return 0


def save_identities(folder: Path, identities: Mapping[Cell, str]) -> None:
    """Note the suite's cells in its order, and the `CellResult.identity` that each is to have."""
    rows = [[*cell.key, identity] for cell, identity in identities.items()]
    with written_aside(folder / _WANTED) as partial:
        partial.write_text("[\n" + ",\n".join(map(json.dumps, rows)) + "\n]\n", encoding="utf-8")


def read_results(folder: Path) -> list[CellResult]:
    """The newest result of each cell of the suite as it was last run, in the suite's order.

    What was made for a cell that the suite no longer has, or by what it no longer says, is left out. Raises
    `InputError` where `folder` holds no results, and for damaged ones.
    """
    newest = {result.cell.key: result for result in newest_results(folder)}
    expected = stored_identities(folder)
    if expected is None:
        return list(newest.values())
    return [
        result
        for key, identity in expected.items()
        if (result := newest.get(key)) is not None and result.identity == identity
    ]


def stored_identities(folder: Path) -> dict[Key, str] | None:
    """What `save_identities` noted: each cell's `CellResult.identity` by its key, in the suite's order; None where
    nothing was noted. Raises `InputError` where the file is damaged.
    """
    path = folder / _WANTED
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))
        return {_key(key): str(identity) for *key, identity in rows}
    except FileNotFoundError:
        return None
    except (ValueError, TypeError) as error:
        raise InputError(f"{path} is damaged ({error}): run the suite again, which writes it anew") from None


def _key(values: Iterable[Any]) -> Key:
    method, subject, motion, prompt, seed, *steps = values
    return (str(method), str(subject), str(motion), str(prompt), int(seed), *map(int, steps))


def newest_results(folder: Path) -> list[CellResult]:
    """The newest result of each cell there ever was, in the order of `Cell.key`. What follows a file's last line's end
    is torn.

    Raises `InputError` where `folder` holds no results, or a line isn't one.
    """
    files = results_files(folder)
    if not files:
        raise InputError(f"{folder} holds no results of a suite: make some with `dv suite run`")
    newest: dict[Key, CellResult] = {}
    for path in files:
        for key, result in _newest_in(path).items():
            # A shard's file may have been copied here from another machine after it was merged. A cell that was only
            # measured anew has the time that its video was made at.
            if key not in newest or result.made_at >= newest[key].made_at:
                newest[key] = result
    return [newest[key] for key in sorted(newest)]


def _newest_in(path: Path) -> dict[Key, CellResult]:
    *lines, _ = path.read_bytes().split(b"\n")
    newest: dict[Key, CellResult] = {}
    for number, line in enumerate(lines, 1):
        try:
            result = _result(json.loads(line))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise InputError(f"{path}, line {number} is not a result of a suite: {error}") from None
        newest[result.cell.key] = result
    return newest


def made(results: Iterable[CellResult]) -> list[CellResult]:
    """Those of which there is a video."""
    return [result for result in results if result.state == "made"]


def _result(data: dict[str, Any]) -> CellResult:
    parts = {
        kind: CellAdapter(**{**part, "losses": {k: [tuple(p) for p in v] for k, v in part["losses"].items()}})
        for kind, part in data.pop("parts").items()
    }
    curves = {name: tuple(curve) for name, curve in data.pop("curves").items()}
    references, clips = tuple(data.pop("references")), tuple(data.pop("reference_clips"))
    cell = Cell(**data.pop("cell"))
    return CellResult(
        cell=cell, parts=parts, curves=curves, references=references, reference_clips=clips, **data
    )  # fmt: skip
