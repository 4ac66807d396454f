"""What makes two results the same: which settings decide it, told here and compared by nothing else.

A run, an adapter or a video is known again by a hash, or by comparison, of its settings as `deciding` gives them.
Two things must not make it another one: a setting that only decides how a result is reached, and a setting that a
later version has, at the value that means what was done before it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import MISSING, fields
from typing import Any

WITHOUT_EFFECT = frozenset({
    "snapshot_every", "gradient_checkpointing", "workers", "threads", "keep_every", "held_out_every", "preview_every",
    "preview_prompt", "clip_cache",
})  # fmt: skip
"""Settings that change the time or memory that a result takes, and never the result: a resume may change them."""

_FIRST = frozenset({
    "adapter_learning_rate", "adapter_steps", "appearance_guidance", "appearance_strength", "attention", "batch_size",
    "beta1", "beta2", "eps", "eta", "fps", "frames", "gradient_accumulation", "gradient_checkpointing",
    "guidance_scale", "hidden_ratio", "hidden_width", "identifier", "identity_adapter", "layers", "learning_rate",
    "learning_rate_decay", "max_grad_norm", "motion_strength", "motion_until", "negative_prompt", "noise_bias",
    "offset_noise", "optimizer", "p_image_zero", "p_zero", "placement", "rank", "seed", "shift", "size",
    "snapshot_every", "steps", "subject_delay", "subject_strength", "textual_identity", "token_learning_rate",
    "token_prompt", "token_start_id", "token_steps", "unconditional_appearance_strength", "use_masks", "weight_decay",
})  # fmt: skip
"""The settings that every stored identity has: those of the first version. Never to be added to."""

_NEUTRAL: Mapping[str, object] = {"time_embedding": False, "layers": "cross-attention"}
"""What a later setting must be to count as not there, where that is no longer its default, or where the first version
had one of its name that could not be this (`layers`: a motion's, then)."""

_FIRST_FORMS = frozenset({"bottlenecks", "serial-bottlenecks", "low-rank", "weight-deltas"})
"""The forms of trained weights of the first version, in which settings alone told them. Never to be added to."""


def deciding(settings: Mapping[str, object], config: type[Any]) -> dict[str, object]:
    """The settings that decide a result, as plain values that JSON gives back: equal for equal results.

    `settings` are those of a `config`, a dataclass, of today or as they were stored; what else is among them counts
    as it is. Of the first version's settings, one without effect is given its default, not left out, so that hashes
    made then still hold.
    """
    defaults = {f.name: _plain(f.default) for f in fields(config) if f.default is not MISSING}
    found: dict[str, object] = {}
    for name, value in settings.items():
        plain = _plain(value)
        if name in _FIRST and plain != _NEUTRAL.get(name, MISSING):
            found[name] = defaults.get(name, plain) if name in WITHOUT_EFFECT else plain
        elif name not in WITHOUT_EFFECT and (name not in defaults or plain != _NEUTRAL.get(name, defaults[name])):
            found[name] = plain
    return found


def deciding_form(form: str | None) -> dict[str, str]:
    """What the form of trained weights adds to an identity: nothing for those of the first version, in which the
    settings told it."""
    return {} if form is None or form in _FIRST_FORMS else {"form": form}


def hashed(identity: object) -> str:
    """The hash of all that makes a result what it is: plain values, or what `str` tells apart."""
    text = json.dumps(identity, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def _plain(value: object) -> object:
    return [_plain(part) for part in value] if isinstance(value, tuple | list) else value
