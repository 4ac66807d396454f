"""Units of work, what each needs, and how one is worked on, wherever that is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from engine.bases.location import BaseLocation
from engine.errors import EngineError

if TYPE_CHECKING:
    from engine.bases.base import Base
    from engine.evaluation.scoring import Scorer

Tell = Callable[[object], None]
"""Called by a unit that is worked on, with what whoever wants it done should know before it is over."""


@dataclass(frozen=True)
class Loading:
    """A base, and how it is loaded. `device` is None for the best where it is loaded, `dtype` for float32."""

    location: BaseLocation
    device: str | None = None
    dtype: str | None = None
    deterministic: bool = False
    offload: bool = False

    def load(self) -> Base:
        """Load it here. Raises `BaseError`, and `InputError` for a device that isn't here."""
        from engine.bases.load import load_base

        return load_base(
            self.location,
            device=self.device,
            dtype=self.dtype or "fp32",
            deterministic=self.deterministic,
            offload=self.offload,
        )


@dataclass(frozen=True)
class Needs:
    """What must be loaded before a unit is worked on, and the bytes of memory that this and the work take. `judges` are
    the folders or hub ids of the judges that score, by name."""

    base: Loading
    judges: tuple[tuple[str, str], ...] = ()
    memory_bytes: int = 0


class Unit(Protocol):
    """Work that can be done anywhere. It is carried as a whole, by pickle, with the files that it names."""

    @property
    def needs(self) -> Needs:
        """What must be loaded for it."""
        ...

    @property
    def files(self) -> tuple[Path, ...]:
        """The files and folders that it reads, beside base and judges."""
        ...

    def work(self, place: Place, tell: Tell) -> object:
        """Do it, and give what came of it. It writes into the place's folder alone: files there that what it gives or
        tells names come along."""
        ...


@dataclass(frozen=True)
class Done:
    """A unit that is over: what came of it, or why nothing did. Where it was `unprepared`, what it needs could not be
    loaded, and nothing was begun."""

    unit: Unit
    value: Any = None
    error: Exception | None = None
    unprepared: bool = False


class Place:
    """Where units are worked on, one after another: what they need is loaded once and kept for the next. `folder` is
    the present unit's own."""

    folder: Path

    def __init__(self) -> None:
        self.loaded: Needs | None = None
        self._base: Base | None = None
        self._scorer: Scorer | None = None

    @property
    def base(self) -> Base:
        """The base that the unit needs."""
        assert self._base is not None
        return self._base

    @property
    def scorer(self) -> Scorer:
        """What scores by the judges that the unit needs."""
        assert self._scorer is not None
        return self._scorer

    def prepare(self, needs: Needs) -> None:
        """Load what isn't loaded yet. Raises `BaseError` for what can't be."""
        if self._base is None or self.loaded is None or needs.base != self.loaded.base:
            self._base = self.loaded = None  # only one is in memory
        if needs.judges and (self._scorer is None or dict(needs.judges) != self._scorer.judges.models):
            self._scorer = _scorer(needs)
        if self._base is None:
            self._base = needs.base.load()
        self.loaded = needs


def _scorer(needs: Needs) -> Scorer:
    from engine.bases.load import choose_device
    from engine.evaluation.judges import Judges
    from engine.evaluation.scoring import METRICS, Scorer

    judges = Judges(dict(needs.judges), device=str(choose_device(needs.base.device)))
    for judge in dict.fromkeys(name for metric in METRICS for name in metric.judges):
        judges[judge]  # Where a judge is missing, no video is of use.
    return Scorer(judges, metrics=METRICS)


def worked_on(unit: Unit, place: Place, folder: Path, tell: Tell) -> Done:
    """Do a unit's work in `folder`, and give what came of it. What stops more than the unit, such as Ctrl-C, is let
    through."""
    try:
        place.prepare(unit.needs)
    except Exception as error:
        return Done(unit, error=error, unprepared=True)
    place.folder = folder
    try:
        return Done(unit, unit.work(place, tell))
    except Exception as error:
        return Done(unit, error=error)


class WorkerDiedError(EngineError):
    """Every worker that had a unit died at it."""
