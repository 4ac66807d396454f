"""What a method may train, told without a tensor: where in the base, and in which form."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from engine.bases.family import Axis, Family, Label, LayerKind, Projection, Role, Site

Placement = Literal["parallel", "serial"]
Form = Literal["bottlenecks", "residual-serial-bottlenecks", "serial-bottlenecks", "low-rank", "weight-deltas"]
"""Which kind of weights a file holds. No new ones are made of the form `serial-bottlenecks`: see `adapters.bottleneck`.
"""


@dataclass(frozen=True)
class Where:
    """A choice among a base's sites and parameters. No `axes`, `kinds` or `projections`: all of them.

    With a `role`, it is the sites where the family has adapters of that role. `also` are other choices of parameters
    that are chosen beside these.
    """

    axes: tuple[Axis, ...] = ()
    kinds: tuple[LayerKind, ...] = ()
    projections: tuple[Projection, ...] = ()
    role: Role | None = None
    also: tuple[Where, ...] = ()

    def sites(self, sites: Iterable[Site]) -> list[Site]:
        """The layers chosen."""
        return [s for s in sites if self._holds(s) and self.role in (None, s.role)]

    def without_sites(self, sites: Iterable[Site]) -> tuple[LayerKind, ...]:
        """Those of the kinds asked for of which there is no layer among `sites` to sit beside."""
        found = {site.kind for site in self.sites(sites)}
        return tuple(kind for kind in self.kinds if kind not in found)

    def names(self, labels: Mapping[str, Label]) -> list[str]:
        """The names of the parameters chosen."""
        return [name for name, label in labels.items() if any(where._names(label) for where in (self, *self.also))]

    def lacks(self, family: Family) -> str | None:
        """What a family would need for anything to be chosen; None where it has it."""
        if self.role is not None and self.role not in family.roles:
            return f"places for {self.role} adapters"
        if self.axes and not family.axes & set(self.axes):
            return f"{' or '.join(self.axes)} layers"
        return None

    def _names(self, label: Label) -> bool:
        return self._holds(label) and (not self.projections or label.projection in self.projections)

    def _holds(self, place: Site | Label) -> bool:
        return (not self.axes or place.axis in self.axes) and (not self.kinds or place.kind in self.kinds)


# Where space and time are mixed by the same layers ("joint"), these are a subject's as well as a motion's.
SPATIAL, TEMPORAL = Where(("spatial", "joint")), Where(("temporal", "joint"))
IMAGE_MODEL = Where(("spatial", "joint", "embedding"))
TEMPORAL_AND_TIME = Where(("temporal", "joint", "embedding"))
IDENTITY, MOTION = Where(role="identity"), Where(role="motion")
# An identity adapter may sit beside other layers of pictures than cross-attention, its own.
IDENTITY_LAYERS: Mapping[str, Where] = {
    "cross-attention": IDENTITY,
    "self-attention": Where(("spatial", "joint"), ("self_attention",)),
    "feed-forward": Where(("spatial", "joint"), ("feed_forward",)),
    "attention": Where(("spatial", "joint"), ("cross_attention", "self_attention")),
    "cross-attention+feed-forward": Where(("spatial", "joint"), ("cross_attention", "feed_forward")),
    "self-attention+feed-forward": Where(("spatial", "joint"), ("self_attention", "feed_forward")),
    "all": Where(("spatial", "joint"), ("cross_attention", "self_attention", "feed_forward")),
}
MOTION_LAYERS: Mapping[str, Where] = {
    "all": MOTION,
    "attention": Where(role="motion", kinds=("self_attention",)),
    "feed-forward": Where(role="motion", kinds=("feed_forward",)),
}
SPATIAL_CROSS_ATTENTION_KV = Where(("spatial", "joint"), ("cross_attention",), ("key", "value"))
TEMPORAL_ATTENTION_KV = Where(("temporal", "joint"), ("self_attention",), ("key", "value"))
ATTENTION_KV = Where((), ("cross_attention", "self_attention"), ("key", "value"))
# Where layers are joint, these two share no matrix: who looks at what is a motion's, what is seen there a subject's.
TEMPORAL_ATTENTION_QK = Where(("temporal", "joint"), ("self_attention",), ("query", "key"))
# What Tune-A-Video trains of an inflated image model; the norms before the new attention stay.
INFLATED_QUERIES = Where(
    ("spatial",),
    ("self_attention", "cross_attention"),
    ("query",),
    also=(Where(("temporal",), ("self_attention",), ("query", "key", "value", "output")),),
)
APPEARANCE = Where(
    ("spatial", "joint"),
    ("cross_attention",),
    ("key", "value"),
    also=(
        Where(("spatial", "joint"), ("self_attention",), ("value",)),
        Where(("spatial", "joint"), ("feed_forward",)),
    ),
)


@dataclass(frozen=True)
class Token:
    """A word of its own for a subject, of a number of `vectors` that stand in a prompt in a row. It starts as the
    vocabulary's word `start_id`; where there is none, or the vocabulary is smaller, as the class word."""

    start_id: int | None = None
    vectors: int = 1


@dataclass(frozen=True)
class Guidance:
    """Appearance guidance: its strength lambda, how often the embedding is zero while learning, and lambda on the
    unconditional branch while composing."""

    strength: float = 1.0
    p_image_zero: float = 0.0
    unconditional_strength: float = 0.0


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
    """A low-rank update of those of the parameters chosen that are matrices (LoRA, arXiv 2106.09685)."""

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
