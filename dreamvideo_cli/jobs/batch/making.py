"""The rows of a batch as units of work: given to whoever is free, their files put where the batch wants them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from dreamvideo_cli.jobs.events import OnEvent, Warned
from dreamvideo_cli.jobs.execution.composing import ComposeUnit, Made, Stepped, memory_of, take_in
from dreamvideo_cli.jobs.execution.units import Done, Needs, Unit
from dreamvideo_cli.jobs.failures import reason_of
from dreamvideo_cli.jobs.targets import unused
from engine.data.files import sha256_of
from engine.errors import InputError

if TYPE_CHECKING:
    from dreamvideo_cli.jobs.batch.planning import PlannedRow
    from registry import Registry

OnRowStep = Callable[["PlannedRow", Stepped], None]
"""Called after each denoising step with the row."""


class RowMaker:
    """Has rows made, and takes in their files."""

    def __init__(self, rows: Sequence[PlannedRow], registry: Registry, on_step: OnRowStep, on_event: OnEvent) -> None:
        self._waiting = list(rows)
        self._registry, self._on_step, self._on_event = registry, on_step, on_event
        self._row_of: dict[int, PlannedRow] = {}
        self._failures: dict[int, str] = {}
        self.needs = [self._needs_of(row) for row in rows]

    def next_unit(self, loaded: Needs | None) -> Unit | None:
        """The next row: one for the base that is loaded, where there is one."""
        if not self._waiting:
            return None
        known = loaded.base if loaded is not None else None
        fitting = (number for number, row in enumerate(self._waiting) if row.plan.loading == known)
        row = self._waiting.pop(next(fitting, 0))
        unit = ComposeUnit(row.plan, self._needs_of(row))
        self._row_of[id(unit)] = row
        return unit

    def take(self, unit: Unit, message: object) -> None:
        """Take what was told of a row: a step, or a file, which is put where it belongs."""
        row = self._row_of[id(unit)]
        if isinstance(message, Stepped):
            self._on_step(row, message)
        elif isinstance(message, Made) and id(unit) not in self._failures:
            try:
                self._take_in(message, row)
            except Exception as error:
                self._failures[id(unit)] = reason_of(error)

    def take_end(self, done: Done) -> tuple[PlannedRow, str | None]:
        """The row that is over, and its error where it failed, whatever that was."""
        row, failure = self._row_of.pop(id(done.unit)), self._failures.pop(id(done.unit), None)
        if failure is None and done.error is not None:
            failure = reason_of(done.error)
        return row, failure

    def _needs_of(self, row: PlannedRow) -> Needs:
        return Needs(row.plan.loading, memory_bytes=memory_of(row.plan))

    def _take_in(self, made: Made, row: PlannedRow) -> None:
        """Put a file where the row wants it, and note its hash."""
        wanted = row.plan.files[made.number].path
        if wanted in row.changed:
            # Somebody may have made something of an earlier result.
            aside = wanted.rename(unused(wanted.with_name(f"{wanted.stem}-changed{wanted.suffix}")))
            self._on_event(Warned(f"{wanted} isn't as it was made: it is {aside} now, and made again"))
        file = take_in(made, row.plan, self._registry, self._on_event)
        if file.path != wanted:
            raise InputError(f"{wanted} appeared meanwhile, so this row's file is {file.path}")
        row.hashes[file.path] = sha256_of(file.path)
