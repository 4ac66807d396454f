"""One row of a batch after another, each base loaded once; what every process that makes rows does."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from typing import TYPE_CHECKING

from dreamvideo_cli.jobs.composing import OnTargetStep, load_base_of, make_files
from dreamvideo_cli.jobs.events import OnEvent, Warned
from dreamvideo_cli.jobs.failures import reason_of
from dreamvideo_cli.jobs.targets import Target, unused
from engine.errors import InputError

if TYPE_CHECKING:
    from dreamvideo_cli.jobs.batch.planning import PlannedRow
    from engine.bases.base import Base
    from registry import Registry

OnRowStep = Callable[["PlannedRow", Target, int, int, float], None]
"""Called after each denoising step with the row, and what `OnTargetStep` is called with."""


class RowMaker:
    """Makes rows, and keeps the base of the last one for the next."""

    def __init__(self, registry: Registry, on_event: OnEvent) -> None:
        self._registry, self._on_event = registry, on_event
        self._base: Base | None = None
        self._loaded: tuple[object, ...] | None = None

    def make(self, row: PlannedRow, on_step: OnTargetStep) -> str | None:
        """Make a row's files and note their hashes; give its error where it failed, whatever that was."""
        from engine.data.files import sha256_of

        try:
            base = self._base_of(row)
            self._set_aside(row)
            for made, wanted in zip(
                make_files(row.plan, base, self._registry, on_step, self._on_event), row.plan.files, strict=True
            ):
                if made.path != wanted.path:
                    raise InputError(f"{wanted.path} appeared meanwhile, so this row's file is {made.path}")
                row.hashes[made.path] = sha256_of(made.path)
        except Exception as error:
            return reason_of(error)
        return None

    def _base_of(self, row: PlannedRow) -> Base:
        if self._base is None or row.plan.loading != self._loaded:
            self._base = self._loaded = None  # only one is in memory
            self._base, self._loaded = load_base_of(row.plan), row.plan.loading
        return self._base

    def _set_aside(self, row: PlannedRow) -> None:
        """Keep what somebody may have made of an earlier result."""
        for path in row.changed:
            aside = path.rename(unused(path.with_name(f"{path.stem}-changed{path.suffix}")))
            self._on_event(Warned(f"{path} isn't as it was made: it is {aside} now, and made again"))


def made_here(
    rows: Sequence[PlannedRow], registry: Registry, on_step: OnRowStep, on_event: OnEvent
) -> Generator[tuple[PlannedRow, str | None]]:
    """Make every row in this process, and give each with its error."""
    maker = RowMaker(registry, on_event)
    for row in rows:
        yield row, maker.make(row, lambda *step, row=row: on_step(row, *step))


def by_base(rows: Sequence[PlannedRow]) -> list[PlannedRow]:
    """The rows in an order in which each base is loaded once."""
    groups: dict[tuple[object, ...], list[PlannedRow]] = {}
    for row in rows:
        groups.setdefault(row.plan.loading, []).append(row)
    return [row for group in groups.values() for row in group]
