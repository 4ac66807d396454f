"""LoRA (arXiv 2106.09685) as the paper compares with it: keys and values, all else as DreamVideo (appendix A.3)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from engine.adapters.choosing import ATTENTION_KV, SPATIAL_CROSS_ATTENTION_KV, TEMPORAL_ATTENTION_KV, LowRank
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


@dataclass(frozen=True)
class LoraMotionConfig(RankSettings, MotionSettings):
    """Steps and learning rate of the motion adapter; no appearance guidance.

    The paper says "all attention layers" (A.3) and "temporal LoRAs" (section 4.1). The former is taken at its
    word: on ModelScope these are 6,770,688 parameters; the temporal layers' alone are 3,325,952.
    """

    attention: Literal["all", "temporal"] = setting(
        "all", "Attention layers that get an update.", choices=("all", "temporal")
    )


def _for_clips(count: int) -> LoraMotionConfig:
    return LoraMotionConfig() if count > 1 else LoraMotionConfig(batch_size=1)


def subject_recipe(config: LoraSubjectConfig) -> Recipe:
    """Keys and values of spatial cross-attention."""
    part = Part("lora", ("weights",), config.steps, config.learning_rate, f"a {called(config.identifier)}")
    return Recipe((part,), weights=LowRank(SPATIAL_CROSS_ATTENTION_KV, config.rank), word=called(config.identifier))


_ATTENTION = {"all": ATTENTION_KV, "temporal": TEMPORAL_ATTENTION_KV}


def motion_recipe(config: LoraMotionConfig) -> Recipe:
    """Keys and values of every attention, or of those over frames."""
    part = Part("lora", ("weights",), config.steps, config.learning_rate)
    return Recipe((part,), weights=LowRank(_ATTENTION[config.attention], config.rank))


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
    Method(
        "lora",
        "motion",
        LoraMotionConfig,
        motion_recipe,
        "low-rank updates of keys and values of every attention",
        "A.3",
        _for_clips,
    ),
)
