"""A suite whose every part was found and checked: what must be learnt, which videos are missing, what it costs."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from dreamvideo_cli.jobs.execution.units import Loading, Needs
from dreamvideo_cli.jobs.kinds import AdapterKind
from dreamvideo_cli.jobs.requests import LearnRequest
from dreamvideo_cli.jobs.suite.shards import Shard
from engine.bases.location import BaseInfo
from engine.evaluation.expected import Expected
from engine.evaluation.suites.definition import Suite
from engine.evaluation.suites.results import Cell, CellResult
from engine.methods.dreamvideo import ComposeConfig

if TYPE_CHECKING:
    from engine.planning import MotionPlan, SubjectPlan
    from registry import Adapter


@dataclass
class PlannedAdapter:
    """A subject or a motion, as one method learns it. `identity` is a hash of all that decides what comes of it; `kept`
    are the steps before its last one that cells compose with."""

    request: LearnRequest
    plan: SubjectPlan | MotionPlan
    identity: str
    kept: frozenset[int] = frozenset()
    published: Adapter | None = None
    error: str | None = None

    @property
    def is_settled(self) -> bool:
        """Whether it was learnt, or tried."""
        return self.published is not None or self.error is not None


@dataclass
class PlannedCell:
    """A cell, what it needs, and its `newest` result before this run, whatever that was made and measured by. `config`
    is what these settings come to without what the motion was learnt with; `kept` has the steps of those adapters that
    aren't used as they are at their end; `compared` tells the contents of what is `expected`. A video that is there may
    lack scores: those `unscored`, by metric."""

    cell: Cell
    prompt: str
    settings: Mapping[str, Any]
    config: ComposeConfig
    expected: Expected
    adapters: Mapping[AdapterKind, PlannedAdapter]
    kept: Mapping[AdapterKind, int]
    identity: str
    newest: CellResult | None
    compared: list[object]
    has_video: bool
    unscored: tuple[str, ...]
    after: CellResult | None = None

    @property
    def is_whole(self) -> bool:
        """Whether there is nothing to do."""
        return self.has_video and not self.unscored

    @property
    def result(self) -> CellResult | None:
        """What came of the cell as it is wanted now, in this run or before it."""
        if self.after is not None or self.newest is None:
            return self.after
        return self.newest if self.newest.identity == self.identity else None


@dataclass(frozen=True)
class SuitePlan:
    """A suite whose every part was found and checked. `base` is how a command would name the base."""

    suite: Suite
    folder: Path
    base: str
    info: BaseInfo
    fingerprint: str
    device: str | None
    judges: Mapping[str, str]
    judge_digests: Mapping[str, str]
    cells: tuple[PlannedCell, ...]
    notes: tuple[str, ...]
    """What a person should know before it starts."""
    shard: Shard | None = None
    """The part of it that this run makes; None is all of it."""

    @property
    def dtype(self) -> str:
        """Precision of the frozen base."""
        return self.suite.dtype or "fp32"

    @cached_property
    def needs(self) -> Needs:
        """What all its work needs: the base, the judges, and the memory of the adapter that takes most."""
        weights = sum(self.info.components.values())
        memory = max([weights, *map(self.estimates.peak_bytes, self.to_learn)])
        return Needs(Loading(self.info.location, self.device, self.dtype), tuple(self.judges.items()), memory)

    @cached_property
    def estimates(self) -> Estimates:
        """What it takes."""
        return Estimates(self)

    @property
    def results(self) -> list[CellResult]:
        """The result of each cell that has one."""
        return _results(self.cells)

    @property
    def own_results(self) -> list[CellResult]:
        """Those of its own cells."""
        return _results(self.own)

    @cached_property
    def own(self) -> tuple[PlannedCell, ...]:
        """The cells that this run is to make: its shard's, or all."""
        if self.shard is None:
            return self.cells
        chosen = self.shard.cells(one.cell for one in self.cells)
        return tuple(one for one in self.cells if one.cell in chosen)

    @property
    def waiting(self) -> list[PlannedCell]:
        """Its own cells that aren't whole."""
        return [cell for cell in self.own if not cell.is_whole]

    @property
    def to_make(self) -> list[PlannedCell]:
        """Its own cells whose video isn't there as it is wanted now."""
        return [cell for cell in self.own if not cell.has_video]

    @property
    def to_learn(self) -> list[PlannedAdapter]:
        """What the missing videos need and the registry doesn't have, each once: subjects first, or in its shard's
        order."""
        needed = {
            adapter.identity: adapter
            for kind in get_args(AdapterKind)
            for cell in self.to_make
            if (adapter := cell.adapters.get(kind)) is not None and adapter.published is None
        }
        if self.shard is None:
            return list(needed.values())
        return [needed[identity] for identity in self.shard.learning_order(list(needed))]


def _results(cells: Sequence[PlannedCell]) -> list[CellResult]:
    return [cell.result for cell in cells if cell.result is not None]


@dataclass
class Estimates:
    """Seconds and trainable parameters, worked out once for what is alike."""

    plan: SuitePlan
    _known: dict[str, Any] = field(default_factory=dict)

    def learning(self, adapter: PlannedAdapter) -> float:
        """The seconds that learning will take."""
        return float(self._estimate(adapter).seconds)

    def parameters(self, adapter: PlannedAdapter) -> int:
        """The number of values that are trained."""
        return sum(self._estimate(adapter).parameters.values())

    def steps(self, adapter: PlannedAdapter) -> int:
        """The number of steps of learning."""
        return sum(self._estimate(adapter).steps.values())

    def peak_bytes(self, adapter: PlannedAdapter) -> int:
        """The memory that learning takes at its peak."""
        return int(self._estimate(adapter).peak_bytes)

    def composing(self, cell: PlannedCell) -> float:
        """The seconds that a cell's video will take."""
        from engine.estimating import composing_seconds

        config = cell.config
        inverts = any(
            adapter.plan.method.recipe(adapter.plan.settings.config).starts_from_clips
            for adapter in cell.adapters.values()
        )
        costs = [
            config.steps,
            config.frames,
            config.size,
            config.guidance_scale == 1,
            inverts,
            bool(config.motion_init),
        ]
        location, where = self.plan.info.location, self._where()
        return float(self._once(costs, lambda: composing_seconds(config, location, inverts=inverts, **where)))

    def _estimate(self, adapter: PlannedAdapter) -> Any:
        from engine.estimating import estimate

        plan = adapter.plan
        frames = max(source.frames for source in plan.sources)
        alike = [plan.method.kind, plan.method.name, plan.settings.values(), frames]
        return self._once(alike, lambda: estimate(plan, self.plan.info.location, **self._where()))

    def _where(self) -> dict[str, Any]:
        return {"device": self.plan.device, "dtype": self.plan.dtype}

    def _once(self, key: object, work: Callable[[], Any]) -> Any:
        text = json.dumps(key)
        if text not in self._known:
            self._known[text] = work()
        return self._known[text]
