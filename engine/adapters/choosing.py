"""What a method may train, told without a tensor: where in the base, and in which form."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from engine.bases.base import Axis, Label, LayerKind, Projection, Site

Placement = Literal["parallel", "serial"]
Form = Literal["bottlenecks", "residual-serial-bottlenecks", "serial-bottlenecks", "low-rank", "weight-deltas"]
"""Which kind of weights a file holds. No new ones are made of the form `serial-bottlenecks`: see `adapters.bottleneck`.
"""


@dataclass(frozen=True)
class Where:
    """A choice among a base's sites and parameters by their labels. No axis, `kinds` or `projections`: all."""

    axis: Axis | None
    kinds: tuple[LayerKind, ...] = ()
    projections: tuple[Projection, ...] = ()

    def sites(self, sites: Iterable[Site]) -> list[Site]:
        """The layers chosen."""
        return [s for s in sites if self._holds(s)]

    def names(self, labels: Mapping[str, Label]) -> list[str]:
        """The names of the parameters chosen."""
        return [
            name
            for name, label in labels.items()
            if self._holds(label) and (not self.projections or label.projection in self.projections)
        ]

    def _holds(self, place: Site | Label) -> bool:
        return self.axis in (None, place.axis) and (not self.kinds or place.kind in self.kinds)


SPATIAL, TEMPORAL = Where("spatial"), Where("temporal")
SPATIAL_CROSS_ATTENTION = Where("spatial", ("cross_attention",))
SPATIAL_CROSS_ATTENTION_KV = Where("spatial", ("cross_attention",), ("key", "value"))
TEMPORAL_ATTENTION_KV = Where("temporal", ("self_attention",), ("key", "value"))
ATTENTION_KV = Where(None, ("cross_attention", "self_attention"), ("key", "value"))


@dataclass(frozen=True)
class Token:
    """A word of its own for a subject. It starts as the vocabulary's word `start_id`; where there is none, or
    the vocabulary is smaller, as the class word."""

    start_id: int | None = None


@dataclass(frozen=True)
class Guidance:
    """Appearance guidance while learning: its strength lambda, and how often the embedding is zero."""

    strength: float = 1.0
    p_image_zero: float = 0.0


@dataclass(frozen=True)
class Bottlenecks:
    """Adapters beside layers; `hidden_width`, where given, beats `hidden_ratio`."""

    where: Where
    hidden_ratio: float = 0.5
    hidden_width: int | None = None
    placement: Placement = "parallel"
    guidance: Guidance | None = None

    @property
    def form(self) -> Form:
        return "bottlenecks" if self.placement == "parallel" else "residual-serial-bottlenecks"


@dataclass(frozen=True)
class LowRank:
    """A low-rank update of matrices (LoRA, arXiv 2106.09685)."""

    where: Where
    rank: int

    @property
    def form(self) -> Form:
        return "low-rank"


@dataclass(frozen=True)
class FullWeights:
    """The base's own parameters, learnt as their difference to the frozen ones."""

    where: Where

    @property
    def form(self) -> Form:
        return "weight-deltas"


Trained = Bottlenecks | LowRank | FullWeights
