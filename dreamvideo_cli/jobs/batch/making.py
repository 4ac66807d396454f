"""One row of a batch after another, each base loaded once; what every process that makes rows does."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from typing import TYPE_CHECKING, Any

from dreamvideo_cli.jobs.composing import Job, OnStep, load, make
from dreamvideo_cli.jobs.targets import Target, unused
from dreamvideo_cli.terminal.output import Out
from engine.errors import EngineError

if TYPE_CHECKING:
    from dreamvideo_cli.jobs.batch.running import Entry

OnRowStep = Callable[["Entry", Target, int, int, float], None]
"""Called after each denoising step with the row, and what `OnStep` is called with."""


class Maker:
    """Makes rows, and keeps the base of the last one for the next."""

    def __init__(self, out: Out) -> None:
        self._out = out
        self._base: Any = None
        self._loaded: tuple[object, ...] | None = None

    def make(self, entry: Entry, on_step: OnStep) -> str | None:
        """Make a row's files and note their hashes; give its error where it failed."""
        from engine.data.files import sha256_of

        try:
            if base_of(entry.job) != self._loaded:
                self._base = self._loaded = None  # only one is in memory
                self._base, self._loaded = load(entry.job), base_of(entry.job)
            self._set_aside(entry)
            for made in make(entry.job, self._base, on_step):
                entry.hashes[made.path] = sha256_of(made.path)
        except (EngineError, OSError) as error:
            return str(error)
        return None

    def _set_aside(self, entry: Entry) -> None:
        """Keep what somebody may have made of an earlier result."""
        for path in entry.changed:
            aside = path.rename(unused(path.with_name(f"{path.stem}-changed{path.suffix}")))
            self._out.warn(f"{path} isn't as it was made: it is {aside} now, and made again")


def made_here(entries: Sequence[Entry], on_step: OnRowStep, out: Out) -> Generator[tuple[Entry, str | None]]:
    """Make every row in this process, and give each with its error."""
    maker = Maker(out)
    for entry in entries:
        yield entry, maker.make(entry, lambda *step, entry=entry: on_step(entry, *step))


def base_of(job: Job) -> tuple[object, ...]:
    """What rows have in common that one loaded base serves."""
    wish = job.wish
    return job.base, wish.device, wish.dtype, wish.deterministic


def by_base(entries: Sequence[Entry]) -> list[Entry]:
    """The rows in an order in which each base is loaded once."""
    groups: dict[tuple[object, ...], list[Entry]] = {}
    for entry in entries:
        groups.setdefault(base_of(entry.job), []).append(entry)
    return [entry for group in groups.values() for entry in group]
