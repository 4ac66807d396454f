"""THE table of methods. Adding one is a file beside this one, and its name here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields

from engine.errors import InputError
from engine.methods import (
    animatediff,
    custom_diffusion,
    dreamix,
    dreamvideo,
    lora,
    modelscope,
    textual_inversion,
    tune_a_video,
)
from engine.methods.common import Kind, Method, OptimizerConfig

DEFAULT = "dreamvideo"
METHODS: tuple[Method, ...] = (
    *dreamvideo.METHODS,
    *textual_inversion.METHODS,
    *dreamix.METHODS,
    *custom_diffusion.METHODS,
    *lora.METHODS,
    *modelscope.METHODS,
    *animatediff.METHODS,
    *tune_a_video.METHODS,
)

# What a base recommends for DreamVideo and every method that reads it takes: what is the base's own affair (its frames,
# the noise that decides in it, how samples and rates are laid out), and textual inversion, which is the same wherever
# it is done. A method's rates, steps and optimizer are its own.
_SHARED = frozenset({
    "size", "frames", "fps", "shift", "batch_size", "offset_noise", "noise_bias", "p_zero", "learning_rate_decay",
    "beta2", "token_steps", "token_learning_rate", "gradient_checkpointing",
})  # fmt: skip


def methods_of(kind: Kind) -> dict[str, Method]:
    """The methods that learn subjects, or motions, by name."""
    return {method.name: method for method in METHODS if method.kind == kind}


def configs_of(kind: Kind) -> dict[str, type[OptimizerConfig]]:
    """The settings of each method of a kind, DreamVideo's first; an ablation has those of its method."""
    return {method.name: method.config for method in methods_of(kind).values() if not method.changed}


def method_named(kind: Kind, name: str) -> Method:
    """Raises `InputError` for a name that no method of that kind has."""
    known = methods_of(kind)
    if name not in known:
        raise InputError(f"there is no method {name!r} to learn a {kind}: `method` is one of {', '.join(known)}")
    return known[name]


def reads(method: Method) -> set[str]:
    """The names of a method's settings."""
    return {f.name for f in fields(method.config)}


def check_options(method: Method, options: Mapping[str, object]) -> None:
    """Raise `InputError` for an option that other methods read and this one doesn't, or that undoes an ablation."""
    for option, value in options.items():
        others = [other.name for other in methods_of(method.kind).values() if option in reads(other)]
        if others and method.name not in others:
            raise InputError(f"`{option}` is not for `method` {method.name}: it is read by {', '.join(others)}")
        if option in method.changed and value != method.changed[option]:
            raise InputError(
                f"`{option}` is what `method` {method.name} is about, which has it at {method.changed[option]}: "
                "leave it out, or choose another method"
            )


def known_as(kind: Kind, name: str, options: Mapping[str, object]) -> str | None:
    """What a method is by the options it was given: its own name, or that of an ablation where they make it one
    (`dreamvideo` without `textual_identity` is `dreamvideo-no-token`); None where they make it several."""
    method = methods_of(kind).get(name)
    if method is None:
        return name
    set_so = {**method.changed, **options}
    ablations = [
        other
        for other in methods_of(kind).values()
        if other.config is method.config and other.changed and other.changed.items() <= set_so.items()
    ]
    if not ablations:
        return name
    most = max(ablations, key=lambda ablation: len(ablation.changed))
    return most.name if all(other.changed.items() <= most.changed.items() for other in ablations) else None


def recommended_for(method: Method, recommended: Mapping[str, Mapping[str, object]]) -> dict[str, object]:
    """What a base recommends for a method: its table "subject" or "motion", which is DreamVideo's (other methods
    take from it what is no affair of a method's, such as the size), under its table "subject/NAME" or "motion/NAME".

    What makes an ablation one stands above the former.
    """
    shared = {k: v for k, v in recommended.get(method.kind, {}).items() if k not in method.changed}
    if method.config is not method_named(method.kind, DEFAULT).config:
        shared = {k: v for k, v in shared.items() if k in _SHARED & reads(method)}
    return {**shared, **recommended.get(f"{method.kind}/{method.name}", {})}


def recommended_composing_with(
    subject_method: str | None, recommended: Mapping[str, Mapping[str, object]]
) -> dict[str, object]:
    """What a base recommends for composing with a subject that was learnt by a method, or with none: its table
    "compose", which is for DreamVideo's, under its table "compose/NAME"."""
    return {**recommended.get("compose", {}), **recommended.get(f"compose/{subject_method}", {})}
