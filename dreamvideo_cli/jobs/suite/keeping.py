"""Which steps of an adapter a suite has kept, so that it is learnt once for the videos of all its steps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import gcd
from typing import TypeVar

from dreamvideo_cli.jobs.suite.plans import PlannedAdapter
from engine.errors import InputError
from engine.methods.common import OptimizerConfig
from engine.planning import MotionPlan, SubjectPlan
from engine.settings import Resolved

Config = TypeVar("Config", bound=OptimizerConfig)
_MOST_KEPT = 50
"""Steps of one adapter whose files may be kept: each is as large as the adapter."""


def kept_steps(plan: SubjectPlan | MotionPlan, method: str, used_at: Sequence[int | None]) -> frozenset[int]:
    """Of the steps at which an adapter is used those before its last one, which is None as well as its number.

    Raises `InputError` for a step that it isn't learnt for, and where the last one is named twice.
    """
    last, kind = plan.method.recipe(plan.settings.config).parts[-1].steps, plan.method.kind
    steps = {step for step in used_at if step is not None}
    if steps and max(steps) > last:
        raise InputError(f"{method}: step {max(steps)} of a {kind} is asked for, and it is learnt for {last} steps")
    if last in steps and None in used_at:
        raise InputError(f'{method}: step {last} of a {kind} is its last one: leave out one of {last} and "last"')
    return frozenset(steps - {last})


def keep_steps(adapter: PlannedAdapter) -> None:
    """Have the wanted steps of an adapter kept when it is learnt. Raises `InputError` where its own `keep_every` leaves
    some out, and where so many would have to be kept that it is a mistake."""
    if not adapter.kept:
        return
    every, plan = gcd(*adapter.kept), adapter.plan
    chosen, wanted = plan.settings.config.keep_every, ", ".join(map(str, sorted(adapter.kept)))
    if chosen and every % chosen:
        raise InputError(f"{adapter.request.name}: `keep_every` {chosen} doesn't keep all of the steps {wanted}")
    every = chosen or every
    last = plan.method.recipe(plan.settings.config).parts[-1].steps
    if last // every > _MOST_KEPT:
        raise InputError(
            f"{adapter.request.name}: to have the steps {wanted}, every {every} steps one of {last} would have to be "
            "kept. Take steps that are multiples of a larger number"
        )
    adapter.request = replace(adapter.request, settings={**adapter.request.settings, "keep_every": every})
    if isinstance(plan, SubjectPlan):
        adapter.plan = replace(plan, settings=_keeping(plan.settings, every))
    else:
        adapter.plan = replace(plan, settings=_keeping(plan.settings, every))


def _keeping(settings: Resolved[Config], every: int) -> Resolved[Config]:
    return Resolved(replace(settings.config, keep_every=every), {**settings.origins, "keep_every": "option"})
