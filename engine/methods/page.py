"""The tables of `docs/methods.md`, from the table of methods. `python -m engine.methods.page FILE` renews it."""

from __future__ import annotations

import re
import sys
from dataclasses import fields
from functools import cache
from pathlib import Path
from typing import Any

from engine.methods.common import CLASS, Method, OptimizerConfig
from engine.methods.dreamvideo import ComposeConfig, MotionConfig
from engine.methods.table import DEFAULT, METHODS, method_named

MODELSCOPE: dict[str, Any] = {
    "in_channels": 4,
    "block_out_channels": (320, 640, 1280, 1280),
    "layers_per_block": 2,
    "attention_head_dim": 64,
    "cross_attention_dim": 1024,
    "norm_num_groups": 32,
}
"""The configuration of ModelScope's denoiser (`ali-vilab/text-to-video-ms-1.7b`)."""
STABLE_DIFFUSION: dict[str, Any] = {
    "block_out_channels": (320, 640, 1280, 1280),
    "layers_per_block": 2,
    "attention_head_dim": 8,
    "cross_attention_dim": 768,
}
"""The configuration of Stable Diffusion 1.5's denoiser."""
_IMAGE_EMBEDDING = 1024
"""The width of the image embeddings for appearance guidance, by the paper's CLIP image encoder."""
_SOURCES = {
    "paper": "the paper's text (`paper`)",
    "authors": "its authors' published code and settings files (`authors`)",
    "dv": "neither: dv's own, neutral (`dv`)",
}


@cache
def modelscope_skeleton() -> Any:
    """ModelScope's denoiser without weights, for counting."""
    import torch
    from diffusers import UNet3DConditionModel

    with torch.device("meta"):
        return UNet3DConditionModel(**MODELSCOPE)


@cache
def stable_diffusion_skeleton() -> Any:
    """Stable Diffusion 1.5's denoiser, inflated over time, without weights, for counting."""
    import torch
    from diffusers import UNet2DConditionModel

    from engine.bases.inflated_blocks import inflate

    with torch.device("meta"):
        return inflate(UNet2DConditionModel(**STABLE_DIFFUSION))


@cache
def animatediff_skeleton() -> Any:
    """The denoiser of Stable Diffusion 1.5 with a motion module of the library's defaults, which are those of
    `guoyww/animatediff-motion-adapter-v1-5-2`; without weights, for counting."""
    import torch
    from diffusers import MotionAdapter, UNet2DConditionModel, UNetMotionModel

    with torch.device("meta"):
        image_model = UNet2DConditionModel(**STABLE_DIFFUSION)
        return UNetMotionModel.from_unet2d(image_model, MotionAdapter(), load_weights=False)


def full_size_counts(method: Method) -> tuple[str, int]:
    """A base of full size that a method is for, and how many values it trains there."""
    from engine.bases.families import family_named
    from engine.estimating import trainable_parameters

    family = family_named(method.families[0] if method.families else "unet3d")
    name, skeleton, config = {
        "unet3d": ("ModelScope", modelscope_skeleton, MODELSCOPE),
        "animatediff": ("Stable Diffusion 1.5", animatediff_skeleton, STABLE_DIFFUSION),
        "stable_diffusion": ("Stable Diffusion 1.5", stable_diffusion_skeleton, STABLE_DIFFUSION),
    }[family.name]
    recipe, width = method.recipe(method.settings()), config["cross_attention_dim"]
    return name, sum(trainable_parameters(recipe, skeleton(), family, width, _IMAGE_EMBEDDING).values())


def methods_table() -> str:
    """All methods as two Markdown tables, of subjects and of motions."""
    tables = []
    for kind, third, fourth in (("subject", "Prompt", "Steps at rate"), ("motion", "One clip", "Several clips")):
        lines = [
            f"| `dv {kind} learn --method` | Trains | {third} | {fourth} | Trainable | Paper |",
            "|---|---|---|---|---:|---|",
        ]
        for method in (m for m in METHODS if m.kind == kind):
            base, count = full_size_counts(method)
            trained = f"{count:,}" + ("" if base == "ModelScope" else f" of {base}")
            own = _prompt(method) if kind == "subject" else _steps(method, 1)
            cells = (f"`{method.name}`", method.summary, own, _steps(method, 2), trained, method.source)
            lines.append(f"| {' | '.join(cells)} |")
        tables.append("\n".join(lines))
    return "\n\n".join(tables)


def origins_table() -> str:
    """DreamVideo's settings and those of composing by who says their defaults, as a Markdown table."""
    configs: dict[str, OptimizerConfig | ComposeConfig] = {
        "learning a subject": method_named("subject", DEFAULT).settings(),
        "learning a motion": method_named("motion", DEFAULT).settings(),
        "composing": ComposeConfig(),
    }
    lines = ["| Defaults for | from | |", "|---|---|---|"]
    for purpose, config in configs.items():
        lines += [f"| {purpose} | {source} | {', '.join(_values(config, o))} |" for o, source in _SOURCES.items()]
    return "\n".join(lines)


def renewed(page: str) -> str:
    """The page with its tables as they are now, each between its marks."""
    for name, table in (("methods", methods_table()), ("origins", origins_table())):
        begin, end = f"<!-- {name} -->", f"<!-- /{name} -->"
        before, _, rest = page.partition(begin)
        page = f"{before}{begin}\n{table}\n{end}{rest.partition(end)[2]}"
    return page


def _values(config: OptimizerConfig | ComposeConfig, origin: str) -> list[str]:
    """The settings whose default is of one origin, with their values."""
    one = MotionConfig.for_clips(1)
    found = []
    for f in (f for f in fields(config) if f.metadata["origin"] == origin):
        value = getattr(config, f.name)
        alone = getattr(one, f.name) if isinstance(config, MotionConfig) else value
        text = f.metadata["unset"] if value is None else _shown(value)
        found.append(f"`{f.name}` {text}" + (f" ({_shown(alone)} for one clip)" if alone != value else ""))
    return found


def _shown(value: object) -> str:
    if isinstance(value, tuple):
        return " x ".join(map(str, value))
    if isinstance(value, str):
        return f'"{value}"'
    return str(value).lower()


def _prompt(method: Method) -> str:
    prompts = {part.prompt for part in method.recipe(method.settings()).parts}
    return ", ".join(f'"{prompt.replace(CLASS, "dog")}"' for prompt in sorted(prompts))


def _steps(method: Method, sources: int) -> str:
    """Steps and learning rates of the parts, as `3000 at 1e-04, 800 at 1e-05`."""
    parts = method.recipe(method.settings(sources)).parts
    return ", ".join(f"{part.steps} at {_rate(part.learning_rate)}" for part in parts)


def _rate(rate: float) -> str:
    return re.sub(r"e-0", "e-", f"{rate:.0e}")


if __name__ == "__main__":
    file = Path(sys.argv[1])
    file.write_text(renewed(file.read_text(encoding="utf-8")), encoding="utf-8")
