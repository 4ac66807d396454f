"""What goes into the registry and what comes out of it: plain, frozen values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

Kind = Literal["subject", "motion"]
Role = Literal["image", "mask", "clip"]
SortKey = Literal["age", "name", "kind", "base", "method", "steps", "size"]
RunKind = Literal["subject", "motion", "base"]
"""What a run makes: an adapter, or a base that is tuned."""
Outcome = Literal["finished", "failed", "interrupted"]
RunState = Literal["running", "finished", "failed", "interrupted"]


@dataclass(frozen=True, kw_only=True)
class NewAdapter:
    """What a finished run says about the adapter that it made.

    `hyperparameters`, `origins` (where each of them came from) and `library_versions` hold what JSON can
    hold. `started_at` and `ended_at` are ISO times in UTC. `seed` fits 64 bits with a sign.
    """

    kind: Kind
    name: str
    base_fingerprint: str
    base_name: str
    method: str
    hyperparameters: dict[str, Any]
    origins: dict[str, Any]
    seed: int
    device: str
    dtype: str
    library_versions: dict[str, Any]
    started_at: str
    ended_at: str
    steps: int
    final_loss: float
    dv_version: str
    class_word: str | None = None
    prompt: str | None = None


@dataclass(frozen=True, kw_only=True)
class Adapter(NewAdapter):
    """A published adapter.

    `file_hash` is the SHA-256 over the names and contents of its folder's files, `size` their bytes; both
    leave out `adapter.json`, which states them, `labels.json`, which changes, and `learning/`, how it was learnt.
    """

    version: int
    file_hash: str
    size: int

    @property
    def id(self) -> str:
        """Name and version, as a user writes them: `chowchow@2`."""
        return f"{self.name}@{self.version}"


@dataclass(frozen=True, kw_only=True)
class AdapterAtStep(Adapter):
    """An adapter as it was at a step that was kept while it was learnt.

    `file_hash`, `size` and `final_loss` are the step's own; `held_out_loss` is None where none was measured there.
    """

    step: int
    held_out_loss: float | None = None

    @property
    def id(self) -> str:
        """Name, version and step, as a user writes them: `chowchow@2:400`."""
        return f"{self.name}@{self.version}:{self.step}"


@dataclass(frozen=True)
class Labels:
    """What a user says of an adapter after it was published: tags in alphabetical order, and a note."""

    tags: tuple[str, ...] = ()
    note: str | None = None


@dataclass(frozen=True, kw_only=True)
class Source:
    """One file that an adapter learnt from. `path` is absolute; an image or a mask has one frame.

    Bytes of a path that aren't text are kept as `\\udcNN`, as Python shows them.
    """

    path: str
    sha256: str
    bytes: int
    width: int
    height: int
    frames: int
    role: Role


@dataclass(frozen=True, kw_only=True)
class BaseRow:
    """A base model that the user added. `model`, `image_encoder` and `motion_module` are directories or hub ids.

    `lineage` tells where one comes from that was tuned here, as JSON can hold it: at least its `parent`, a mapping with
    that base's `name` and `fingerprint`. The others have none.
    """

    name: str
    model: str
    image_encoder: str | None
    motion_module: str | None = None
    fingerprint: str | None
    is_default: bool
    lineage: dict[str, Any] | None = None


@dataclass(frozen=True, kw_only=True)
class Run:
    """One learning process and what became of it. Times are ISO, in UTC.

    It got to `step` of `steps` of `part`, if it made a step; `message` is the error of a failed one, `adapter`
    what a finished one made (`chowchow@2`, or a base's name).
    """

    id: int
    kind: RunKind
    name: str
    state: RunState
    pid: int
    started_at: str
    heartbeat_at: str
    ended_at: str | None
    message: str | None
    part: str | None
    step: int | None
    steps: int | None
    adapter: str | None


@dataclass(frozen=True, kw_only=True)
class NewComposition:
    """A video file (`path` is absolute) and the record of how it was made, as it stands in the file."""

    path: str
    sha256: str
    bytes: int
    record: dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class CompositionAdapter:
    """An adapter that a video was made with: what for, its name as it was then, and its hash, which is for good."""

    role: Kind
    name: str
    file_hash: str


@dataclass(frozen=True, kw_only=True)
class Composition(NewComposition):
    """A video in the history."""

    id: int
    made_at: str
    prompt: str
    seed: int
    base_name: str

    @property
    def adapters(self) -> tuple[CompositionAdapter, ...]:
        """What it was made with, in the order of its record."""
        return adapters_in(self.record)


def adapters_in(record: Mapping[str, Any]) -> tuple[CompositionAdapter, ...]:
    """The adapters that a video's record names, in its order; the hash of one that never was in a registry is "".

    They are a list, `adapters`; records of dv 0.1 have one of each kind at most, under `subject` and `motion`.
    """
    listed = record.get("adapters")
    if not isinstance(listed, list):
        listed = [{**record[kind], "role": kind} for kind in get_args(Kind) if isinstance(record.get(kind), Mapping)]
    told = [each for each in listed if isinstance(each, Mapping) and each.get("role") in get_args(Kind)]
    return tuple(
        CompositionAdapter(role=each["role"], name=str(each.get("name")), file_hash=str(each.get("sha256", "")))
        for each in told
    )


@dataclass(frozen=True, kw_only=True)
class SuiteCell:
    """What came of one cell of a suite. `video` is a path in the suite's folder, `state` is made or failed. The steps
    are those of the learnt subject and motion that it is made with; None is the last one."""

    method: str
    subject: str | None
    motion: str | None
    prompt: str
    seed: int
    state: str
    error: str | None
    video: str | None
    sha256: str | None
    base_fingerprint: str
    made_at: str
    scores: dict[str, float | None]
    subject_step: int | None = None
    motion_step: int | None = None


@dataclass(frozen=True, kw_only=True)
class SuiteRun:
    """A suite in its folder (an absolute path): of `size` cells some were made, and some failed."""

    id: int
    name: str
    folder: str
    size: int
    updated_at: str
    made: int
    failed: int


@dataclass(frozen=True, kw_only=True)
class Query:
    """Which adapters, and in which order. `name` may hold `*` and `?`, and `a` isn't `A`; of `tags` an adapter has all.

    `limit` keeps the newest of those that fit, whatever they are sorted by.
    """

    kind: Kind | None = None
    name: str | None = None
    base: str | None = None
    method: str | None = None
    tags: tuple[str, ...] = ()
    sort: SortKey = "age"
    reverse: bool = False
    limit: int | None = None
