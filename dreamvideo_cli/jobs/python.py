"""The whole tool from Python: each function opens the registry, does its job and closes it again.

`home` is the registry's folder, and as for `dv` that in DV_HOME where it isn't given. `on_event` is called with what
the job tells of itself. All raise the engine's errors (`engine.errors`) and the registry's (`registry.errors`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict, Unpack

from dreamvideo_cli.jobs.batch.files import Row, read_rows
from dreamvideo_cli.jobs.batch.planning import PlannedRow
from dreamvideo_cli.jobs.batch.running import run_rows
from dreamvideo_cli.jobs.composing import ComposedFile, ComposeRequest
from dreamvideo_cli.jobs.composing import compose as compose_request
from dreamvideo_cli.jobs.events import OnEvent, ignore
from dreamvideo_cli.jobs.execution.choosing import HERE, Execution
from dreamvideo_cli.jobs.kinds import AdapterKind, Device, Dtype
from dreamvideo_cli.jobs.learning import learn
from dreamvideo_cli.jobs.requests import LearnRequest, given, new_request
from dreamvideo_cli.jobs.suite.running import run_cells
from dreamvideo_cli.jobs.suite.shards import shard_from
from dreamvideo_cli.jobs.suite.shipped import suite_named
from engine.errors import JobError
from engine.evaluation.suites.results import CellResult
from engine.methods.dreamvideo import ComposeConfig
from engine.methods.table import DEFAULT, method_named
from engine.settings import typed

if TYPE_CHECKING:
    from registry import Adapter

Settings = Mapping[str, object]


class LearnKeywords(TypedDict, total=False):
    """How to learn. What isn't given is the paper's method on the default base, on the best device, in fp32."""

    method: str
    base: str
    device: Device
    dtype: Dtype
    offload: bool
    settings: Settings
    resume: bool
    restart: bool
    on_event: OnEvent
    home: Path


class ComposeKeywords(TypedDict, total=False):
    """What to compose with, and where to; see `ComposeRequest`."""

    subject: str | None
    motion: str | None
    appearance: Path | None
    seed: int
    count: int
    output: Path | None
    contact_sheet: Path | None
    force: bool
    base: str | None
    allow_other_base: bool
    device: Device | None
    dtype: Dtype | None
    deterministic: bool
    offload: bool


def learn_subject(
    name: str, images: Sequence[Path], class_word: str, *, masks: Path | None = None, **how: Unpack[LearnKeywords]
) -> Adapter:
    """Learn a subject from images, publish it, and give its row: `class_word` is what it is, such as "dog"."""
    return _learned("subject", name, images, given(**{"class": class_word}, masks=masks), how)


def learn_motion(
    name: str,
    clips: Sequence[Path],
    prompt: str | None = None,
    *,
    start: float | None = None,
    end: float | None = None,
    source_fps: float | None = None,
    **how: Unpack[LearnKeywords],
) -> Adapter:
    """Learn a motion from clips, publish it, and give its row. `prompt` is what happens in clips that have no .txt
    beside them; `start` and `end` are seconds of the clips, `source_fps` the rate of numbered frames."""
    about = given(prompt=prompt, start=start, end=end, source_fps=source_fps)
    return _learned("motion", name, clips, about, how)


def compose(
    prompt: str,
    *,
    settings: Settings | None = None,
    on_event: OnEvent = ignore,
    home: Path | None = None,
    **how: Unpack[ComposeKeywords],
) -> list[ComposedFile]:
    """Compose a video of `prompt`, or of each of `count` seeds, and give the files with their records."""
    from registry import Registry

    request = ComposeRequest(prompt, **how, settings=typed(ComposeConfig, settings or {}))
    with Registry.open(home) as registry:
        return compose_request(request, registry, on_event)


def run_batch(
    rows: Path | Sequence[Mapping[str, object]],
    folder: Path,
    *,
    execution: Execution = HERE,
    force: bool = False,
    device: Device | None = None,
    on_event: OnEvent = ignore,
    home: Path | None = None,
) -> tuple[PlannedRow, ...]:
    """Compose a video for every row, of a batch file or as dictionaries, and give the rows with how each went.

    A row's `state` is "made", "kept" or "failed", and then it has an `error`. `device` is for rows that name none.
    `execution` says where they are made, and how many at once: `Execution("ray", workers=4)`.
    """
    from registry import Registry

    if isinstance(rows, Path):
        read = read_rows(str(rows), None)
    else:
        read = [Row(number, values) for number, values in enumerate(rows, 1)]
    with Registry.open(home) as registry:
        return run_rows(read, folder, registry, force=force, execution=execution, device=device, on_event=on_event).rows


def run_suite(
    suite: Path | str,
    folder: Path,
    *,
    shard: str | None = None,
    execution: Execution = HERE,
    device: Device | None = None,
    on_event: OnEvent = ignore,
    home: Path | None = None,
) -> list[CellResult]:
    """Learn, compose and score every cell of a suite, a TOML file or one that dv brings; give the cells' results.

    With a `shard`, "3/16", those of that part. `execution` is as for `run_batch`.
    """
    from registry import Registry

    part = shard_from(shard) if shard is not None else None
    with Registry.open(home) as registry:
        plan = run_cells(
            suite_named(str(suite)), folder, registry, shard=part, execution=execution, device=device,
            on_event=on_event,
        )  # fmt: skip
    return plan.own_results


def list_adapters(
    *, kind: AdapterKind | None = None, name: str | None = None, home: Path | None = None
) -> list[Adapter]:
    """All that was learnt, or what is of one kind or name, the newest last."""
    from registry import Registry

    with Registry.open(home) as registry:
        return registry.adapters(kind=kind, name=name)


def _learned(
    kind: AdapterKind, name: str, sources: Sequence[Path], about: dict[str, Any], how: LearnKeywords
) -> Adapter:
    from registry import Registry

    method = method_named(kind, how.get("method", DEFAULT))
    settings = typed(method.config, how.get("settings", {}))
    where = given(
        method=how.get("method"),
        base=how.get("base"),
        device=how.get("device"),
        dtype=how.get("dtype"),
        offload=how.get("offload") or None,
    )
    request: LearnRequest = new_request(kind, name, sources, {**about, **where}, settings)
    with Registry.open(how.get("home")) as registry:
        adapter = learn(
            request, registry, resume=how.get("resume", False), restart=how.get("restart", False),
            on_event=how.get("on_event", ignore),
        )  # fmt: skip
    if adapter is None:  # also of a dry run, which this isn't
        raise JobError("the first of the processes that learn together learnt nothing: it says why")
    return adapter
