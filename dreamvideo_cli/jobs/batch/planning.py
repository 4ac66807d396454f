"""What a batch comes to: every row checked, and which results are there already."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from dreamvideo_cli.jobs.batch.files import Row
from dreamvideo_cli.jobs.batch.manifest import MANIFEST, noted_hashes
from dreamvideo_cli.jobs.batch.rows import request_of
from dreamvideo_cli.jobs.composing import ComposePlan, plan_composition
from dreamvideo_cli.jobs.events import OnEvent, ignore
from dreamvideo_cli.jobs.expected_files import ExpectedFile, expected_files
from dreamvideo_cli.wording import count_text
from engine.errors import EngineError, InputError
from engine.files import check_replaceable

if TYPE_CHECKING:
    from registry import Registry

_ERRORS_SHOWN = 20
State = Literal["waiting", "kept", "made", "failed"]


@dataclass
class PlannedRow:
    """A row, its plan, and how it went: "kept" are results that were there, whole, from before."""

    row: Row
    plan: ComposePlan
    files: list[ExpectedFile]
    state: State = "waiting"
    error: str | None = None
    hashes: dict[Path, str] = field(default_factory=dict)
    changed: list[Path] = field(default_factory=list)
    """Results of an earlier run that aren't any more as it left them."""

    @property
    def steps(self) -> int:
        """The denoising steps of the whole row."""
        return self.plan.settings.config.steps * len(self.plan.targets)

    def data(self) -> dict[str, Any]:
        """The row's line in the manifest."""
        done = self.state in ("kept", "made")
        shown = [file for file in self.files if done or file.path in self.hashes]
        return {
            "row": self.row.number,
            "state": self.state,
            "results": [{"path": str(f.path), "seed": f.seed, "sha256": self.hashes.get(f.path)} for f in shown],
            "error": self.error,
            "prompt": self.plan.prompt,
            **{adapter.kind: adapter.id for adapter in self.plan.adapters},
            "base": self.plan.base.name,
            "settings": self.plan.settings.values(),
        }


@dataclass(frozen=True)
class BatchPlan:
    """A batch whose every row was checked."""

    rows: tuple[PlannedRow, ...]
    folder: Path

    @property
    def waiting(self) -> list[PlannedRow]:
        """The rows that are still to be made."""
        return [row for row in self.rows if row.state == "waiting"]

    def count(self, state: State) -> int:
        """How many rows went so."""
        return sum(row.state == state for row in self.rows)


def plan_batch(
    rows: Sequence[Row],
    folder: Path,
    registry: Registry,
    *,
    force: bool = False,
    device: str | None = None,
    on_event: OnEvent = ignore,
) -> BatchPlan:
    """Plan every row, and see which results are there already. `device` is for rows that name none.

    Raises `InputError` with all the rows that can't be made; then none is.
    """
    from registry import RegistryError, RegistryUnavailableError

    planned: list[PlannedRow] = []
    errors: list[str] = []
    taken: dict[Path, int] = {}
    check_replaceable(folder / MANIFEST)
    before = noted_hashes(folder)
    for row in rows:
        try:
            one = _planned(row, folder, registry, on_event, device)
            _claim(one, taken)
            planned.append(_compared(one, before, force=force))
        except RegistryUnavailableError:
            raise
        except (EngineError, RegistryError) as error:
            errors.append(f"row {row.number}: {error}")
    if errors:
        more = len(errors) - _ERRORS_SHOWN
        told = "\n".join([*errors[:_ERRORS_SHOWN], *([f"and {count_text(more, 'row')} more"] if more > 0 else [])])
        raise InputError(f"{count_text(len(errors), 'row')} of {len(rows)} can't be made, so none was\n{told}")
    return BatchPlan(tuple(planned), folder)


def _planned(row: Row, folder: Path, registry: Registry, on_event: OnEvent, device: str | None) -> PlannedRow:
    request = request_of(row, folder)
    request = replace(request, device=request.device or device)
    # Files that exist are compared below: they may be this row's.
    plan = plan_composition(replace(request, force=True), registry, on_event)
    plan = replace(plan, request=request)
    return PlannedRow(row, plan, expected_files(plan))


def _claim(planned: PlannedRow, taken: dict[Path, int]) -> None:
    for file in planned.files:
        first = taken.setdefault(file.path.absolute(), planned.row.number)
        if first != planned.row.number:
            raise InputError(f"row {first} writes {file.path} too: give each an output of its own")


def _compared(planned: PlannedRow, before: Mapping[str, str], *, force: bool) -> PlannedRow:
    """The row, kept where its results are all there; refused where it would replace a file of another origin."""
    from engine.data.files import sha256_of

    hashes = {file.path: before.get(str(file.path.absolute())) for file in planned.files}
    there = [file.is_there(hashes[file.path]) for file in planned.files]
    if all(there):
        kept = {file.path: hashes[file.path] or sha256_of(file.path) for file in planned.files}
        return replace(planned, state="kept", hashes=kept)
    own: set[Path] = set()
    changed: list[Path] = []
    for file, whole in zip(planned.files, there, strict=True):
        noted = hashes[file.path]
        if not file.path.exists():
            continue
        if whole or (noted is None and (force or planned.plan.request.force)):
            own.add(file.path)
        elif noted is None:
            raise InputError(f"{file.path} exists and isn't this row's: choose another name, or add `force`")
        elif sha256_of(file.path) == noted:
            own.add(file.path)
        else:
            changed.append(file.path)
    return replace(planned, plan=_replacing(planned.plan, own), changed=changed)


def _replacing(plan: ComposePlan, own: set[Path]) -> ComposePlan:
    """The plan whose files take the place of these alone."""
    videos = tuple(replace(target, replace=target.path in own) for target in plan.targets)
    sheet = None if plan.sheet is None else replace(plan.sheet, replace=plan.sheet.path in own)
    return replace(plan, targets=videos, sheet=sheet)
