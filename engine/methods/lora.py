"""LoRA (arXiv 2106.09685) as the paper compares with it: keys and values, all else as DreamVideo (appendix A.3)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from engine.adapters.choosing import (
    APPEARANCE,
    ATTENTION_KV,
    SPATIAL_CROSS_ATTENTION_KV,
    TEMPORAL_ATTENTION_KV,
    TEMPORAL_ATTENTION_QK,
    LowRank,
)
from engine.methods.common import Checked, IdentifierSettings, Method, MotionSettings, Part, Recipe, called, setting


@dataclass(frozen=True)
class RankSettings(Checked):
    """The paper's rank. The update's scale (alpha over rank) is 1."""

    rank: int = setting(32, "Rank of the update.", least=1, below=100_000)


@dataclass(frozen=True)
class LoraSubjectConfig(RankSettings, IdentifierSettings):
    """DreamBooth's prompt (appendix C.2), steps and learning rate of the identity adapter."""

    steps: int = setting(800, "Steps of training.", least=1)
    learning_rate: float = setting(1e-5, "Learning rate.", least=0)
    targets: Literal["cross-attention", "appearance"] = setting(
        "cross-attention",
        "What gets an update: cross-attention (keys and values), or also self-attention (values) and feed-forward.",
        choices=("cross-attention", "appearance"),
        origin="dv",
    )
    """With `appearance`, and a motion's updates at `query-key`, no two updates are added on one matrix."""


@dataclass(frozen=True)
class LoraMotionConfig(RankSettings, MotionSettings):
    """Steps and learning rate of the motion adapter; no appearance guidance.

    The paper says "all attention layers" (A.3) and "temporal LoRAs" (section 4.1). The former is taken at its
    word: on ModelScope these are 6,770,688 parameters; the temporal layers' alone are 3,325,952.
    """

    attention: Literal["all", "temporal", "query-key"] = setting(
        "all",
        "What gets an update: keys and values of all or of temporal attention, or the latter's queries and keys.",
        choices=("all", "temporal", "query-key"),
    )


def subject_recipe(config: LoraSubjectConfig) -> Recipe:
    """Keys and values of spatial cross-attention, or all that decides what things look like."""
    where = APPEARANCE if config.targets == "appearance" else SPATIAL_CROSS_ATTENTION_KV
    part = Part("lora", ("weights",), config.steps, config.learning_rate, f"a {called(config.identifier)}")
    return Recipe((part,), weights=LowRank(where, config.rank), word=called(config.identifier))


_ATTENTION = {"all": ATTENTION_KV, "temporal": TEMPORAL_ATTENTION_KV, "query-key": TEMPORAL_ATTENTION_QK}


def motion_recipe(config: LoraMotionConfig) -> Recipe:
    """Keys and values of every attention, or of those over frames, or these ones' queries and keys."""
    part = Part("lora", ("weights",), config.steps, config.learning_rate)
    return Recipe((part,), weights=LowRank(_ATTENTION[config.attention], config.rank))


MOTION = Method(
    "lora",
    "motion",
    LoraMotionConfig,
    motion_recipe,
    "low-rank updates of keys and values of every attention",
    "A.3",
    LoraMotionConfig.for_clips,
)
METHODS = (
    Method(
        "lora",
        "subject",
        LoraSubjectConfig,
        subject_recipe,
        "low-rank updates of keys and values of spatial cross-attention",
        "A.3, C.2",
        lambda _images: LoraSubjectConfig(),
    ),
    MOTION,
    MOTION.ablation(
        "query-key", "low-rank updates of queries and keys of attention over frames", "ours", attention="query-key"
    ),
)
