"""What `benchmarks.speed` compares: dv's own jobs, the plain implementation's, diffusers' pipeline, on one base."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import DDIMScheduler, TextToVideoSDPipeline
from PIL import Image
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode, sdpa_backward_flop_count, sdpa_flop_count

from benchmarks.full_size import write_base, write_vision
from benchmarks.plain_method import Kind, PlainMethod
from engine.adapters.bottleneck import AdapterSet, identity_sites, motion_sites
from engine.adapters.storage import AdapterFiles, write_adapter
from engine.bases.base import Base
from engine.bases.load import load_base
from engine.bases.location import EMBEDDED, BaseLocation, inspect_base
from engine.composing import AppliedAdapter, ComposeConfig, compose
from engine.learning import learn_motion, learn_subject
from engine.losses import denoised
from engine.methods.dreamvideo import MotionConfig, SubjectConfig
from engine.planning import plan_motion, plan_subject
from engine.training import Progress, generator_at

PROMPT, WORD = "a dog on the beach", "dog"
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}
_IMAGES = 2
"""Pictures, and clips, that are learnt, all of them in every step."""


@dataclass(frozen=True)
class Case:
    """A base and the material that is learnt on it: a video's side in pixels and its frames."""

    work: Path
    size: str
    side: int
    frames: int
    device: str
    dtype: str

    @property
    def folder(self) -> Path:
        """The base's folder, written with random weights where it isn't the embedded one."""
        if self.size == "embedded":
            return Path(EMBEDDED.model)
        folder = self.work / self.size
        if not (folder / "scheduler").exists():
            divisor = 2 if self.size == "half" else 1
            write_vision(folder, divisor)
            write_base(folder, divisor)
        return folder

    def base(self) -> Base:
        """As dv loads it."""
        return load_base(BaseLocation(self.size, str(self.folder)), device=self.device, dtype=self.dtype)

    def plain(self) -> PlainMethod:
        """As diffusers and transformers load it."""
        torch.manual_seed(0)
        return PlainMethod(self.folder, torch.device(self.device), DTYPES[self.dtype])

    def pipeline(self) -> TextToVideoSDPipeline:
        """diffusers' own way from a prompt to a video."""
        parts = self.plain()
        pipe = TextToVideoSDPipeline(
            vae=parts.vae, text_encoder=parts.text_encoder, tokenizer=parts.tokenizer, unet=parts.unet,
            scheduler=DDIMScheduler.from_pretrained(self.folder / "scheduler"),
        )  # fmt: skip
        pipe.set_progress_bar_config(disable=True)
        return pipe

    def windows(self, frames: int) -> Tensor:
        """Smoothed noise `(2, 3, F, H, W)` in [-1, 1]."""
        coarse = torch.rand(_IMAGES, 3, frames, 8, 8, generator=torch.Generator().manual_seed(0)) * 2 - 1
        return torch.nn.functional.interpolate(coarse, size=(frames, self.side, self.side), mode="trilinear")

    def sources(self, folder: Path, frames: int) -> list[Path]:
        """The same as files: pictures, or folders of frames."""
        paths = []
        for number, window in enumerate(self.windows(frames)):
            pixels = ((window + 1) * 127.5).byte().permute(1, 2, 3, 0).numpy()
            path = folder / f"{number}"
            path.mkdir(parents=True)
            for at, frame in enumerate(pixels):
                Image.fromarray(frame).save(path / f"{at:03}.png")
            paths.append(path / "000.png" if frames == 1 else path)
        return paths


def measured(case: Case, job: str, peer: str, steps: int) -> list[float]:
    """Seconds of each of `steps` steps, after one that isn't counted."""
    return PEERS[job][peer](case, steps + 1)[1:]


def _timed(step: Callable[[], object], count: int) -> list[float]:
    moments = [time.perf_counter()]
    for _ in range(count):
        step()
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        moments.append(time.perf_counter())
    return [after - before for before, after in pairwise(moments)]


# --- dv ---


def _dv_subject(part: str, case: Case, steps: int) -> list[float]:
    moments: list[float] = []

    def note(name: str, _: Progress) -> None:
        if name == part:
            moments.append(time.perf_counter())

    counts = {"token_steps": steps + 1 if part == "token" else 1, "adapter_steps": steps + 1 if part != "token" else 0}
    info = inspect_base(BaseLocation(case.size, str(case.folder)))
    with tempfile.TemporaryDirectory() as work:
        options = {"size": (case.side, case.side), "batch_size": _IMAGES, "shift": 0.0, "noise_bias": 1.0, **counts}
        options["held_out_every"] = 0
        plan = plan_subject(case.sources(Path(work) / "s", 1), WORD, info=info, options=options)
        learn_subject(plan, case.base(), Path(work) / "out", on_progress=note)
    return [after - before for before, after in pairwise(moments)]


def _dv_motion(case: Case, steps: int) -> list[float]:
    moments: list[float] = []
    info = inspect_base(BaseLocation(case.size, str(case.folder)))
    with tempfile.TemporaryDirectory() as work:
        options = {
            "size": (case.side, case.side), "frames": case.frames, "batch_size": _IMAGES, "steps": steps + 1,
            "noise_bias": 1.0, "optimizer": "adamw", "held_out_every": 0,
        }  # fmt: skip
        plan = plan_motion(
            case.sources(Path(work) / "s", case.frames), PROMPT, info=info, options=options, source_fps=8
        )
        learn_motion(plan, case.base(), Path(work) / "out", on_progress=lambda *_: moments.append(time.perf_counter()))
    return [after - before for before, after in pairwise(moments)]


def _dv_compose(case: Case, steps: int, *, adapters: bool) -> list[float]:
    base, moments = case.base(), list[float]()
    config = ComposeConfig(
        steps=steps + 1, frames=case.frames, size=(case.side, case.side), guidance_scale=7.5, appearance_strength=0.0
    )
    with tempfile.TemporaryDirectory() as work:
        applied = [AppliedAdapter(_adapter(base, kind, Path(work) / kind), kind) for kind in ("subject", "motion")]
        compose(
            base, PROMPT, seed=0, config=config, adapters=applied if adapters else [],
            on_step=lambda *_: moments.append(time.perf_counter()),
        )  # fmt: skip
    return [after - before for before, after in pairwise(moments)]


def _adapter(base: Base, kind: Any, folder: Path) -> Path:
    sites = identity_sites(base.sites) if kind == "subject" else motion_sites(base.sites)
    weights = AdapterSet.create(sites, 0.5, condition_width=None, seed=0)
    word = "sks dog" if kind == "subject" else "*"
    files = AdapterFiles(kind, "dreamvideo", base.fingerprint, weights.state(), weights.widths, word=word)
    write_adapter(files, folder)
    return folder


# --- others ---


def _plain_adapter(kind: Kind, case: Case, steps: int, *, authors: bool = False) -> list[float]:
    plain, windows = case.plain(), case.windows(1 if kind == "identity" else case.frames)
    optimizer = torch.optim.AdamW(plain.attach(kind), lr=1e-5, weight_decay=0)
    if authors:
        plain.checkpointed()
    if kind == "motion":
        plain.look_at(windows)

    def step() -> None:
        if authors and kind == "motion":
            plain.look_at(windows)
        plain.step(windows, [PROMPT] * _IMAGES, optimizer)

    return _timed(step, steps)


def _diffusers_token(case: Case, steps: int) -> list[float]:
    plain, windows = case.plain(), case.windows(1)
    weight = plain.learn_token(WORD)
    kept = weight.detach().clone()
    optimizer = torch.optim.AdamW([weight], lr=1e-4, weight_decay=0)

    def step() -> None:
        plain.step(windows, [f"a {plain.token}"] * _IMAGES, optimizer)
        with torch.no_grad():
            weight[:-1] = kept[:-1]

    return _timed(step, steps)


def _pipeline(case: Case, steps: int) -> list[float]:
    moments: list[float] = []
    case.pipeline()(
        PROMPT, height=case.side, width=case.side, num_frames=case.frames, num_inference_steps=steps + 1,
        guidance_scale=7.5, output_type="latent", callback=lambda *_: moments.append(time.perf_counter()),
    )  # fmt: skip
    return [after - before for before, after in pairwise(moments)]


Peer = Callable[[Case, int], list[float]]
PEERS: dict[str, dict[str, Peer]] = {
    "token": {"dv": partial(_dv_subject, "token"), "diffusers": _diffusers_token},
    "identity": {
        "dv": partial(_dv_subject, "identity"),
        "plain": partial(_plain_adapter, "identity"),
        "authors": partial(_plain_adapter, "identity", authors=True),
    },
    "motion": {
        "dv": _dv_motion,
        "plain": partial(_plain_adapter, "motion"),
        "authors": partial(_plain_adapter, "motion", authors=True),
    },
    "compose": {
        "dv": partial(_dv_compose, adapters=True),
        "dv without adapters": partial(_dv_compose, adapters=False),
        "diffusers' pipeline": _pipeline,
    },
}
"""For each job who does it, `dv` first; each gives the seconds of so many steps."""


# --- the arithmetic of a step ---

_ATTENTION_ON_PROCESSORS: dict[Any, Callable[..., int]] = {
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu:
        lambda q, k, v, *_, **__: int(sdpa_flop_count(q, k, v)),
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward:
        lambda grad, q, k, v, *_, **__: int(sdpa_backward_flop_count(grad, q, k, v)),
}  # fmt: skip
"""What torch's counter leaves out: by shapes, as it counts the same on a GPU."""


def operations(case: Case, job: str, peer: str) -> int:
    """Operations of one step of `peer`, counted while it is taken: a run of two steps less one of a single step."""
    counted = []
    for steps in (1, 2):
        with FlopCounterMode(display=False, custom_mapping=_ATTENTION_ON_PROCESSORS) as counter:
            PEERS[job][peer](case, steps)
        counted.append(int(counter.get_total_flops()))
    return counted[1] - counted[0]


# --- agreement ---


def _agreement(kind: Kind, case: Case) -> dict[str, float]:
    """The largest relative difference of dv's loss and of its adapters' gradients to the plain ones, at equal noise."""
    base, plain = case.base(), case.plain()
    plain.attach(kind)
    sites = identity_sites(base.sites) if kind == "identity" else motion_sites(base.sites)
    looks = base.info.image_embedding_width if kind == "motion" else None
    weights = AdapterSet.create(sites, 0.5, condition_width=looks, seed=0)
    with torch.no_grad():
        for parameter in weights.parameters().values():
            parameter.add_(0.01 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)))
    plain.load(weights.state())
    frames = 1 if kind == "identity" else case.frames
    clean = torch.randn((_IMAGES, *base.layout.shape(frames, (case.side, case.side))))
    config: Any = SubjectConfig() if kind == "identity" else MotionConfig()
    with torch.no_grad():
        text = base.text.encode([PROMPT] * _IMAGES)
        told = plain.encode_text([PROMPT] * _IMAGES)
    weights.to(base.device)
    with weights.attached(base):
        if looks is not None:
            embeddings = torch.randn(_IMAGES, looks)
            weights.condition(embeddings.to(base.device), torch.ones(_IMAGES, device=base.device))
            plain.condition(embeddings.to(base.device))
        ours = denoised(base, config, clean, text, torch.Generator().manual_seed(5)).loss
        ours.backward()
    generator = torch.Generator().manual_seed(5)
    noise = torch.randn(clean.shape, generator=generator)
    noise += config.offset_noise * torch.randn((*clean.shape[:-2], 1, 1), generator=generator)
    timesteps = (torch.rand(_IMAGES, generator=generator) * plain.scheduler.config.num_train_timesteps).long()
    theirs = plain.loss(clean.to(plain.device), noise.to(plain.device), timesteps.to(plain.device), told)
    theirs.backward()
    gradients = 0.0
    for name, parameter in weights.parameters().items():
        site, _, leaf = name.partition("/")
        other = dict(plain.adapters[site].named_parameters())[leaf].grad
        if parameter.grad is not None and other is not None:
            gradients = max(gradients, float((parameter.grad - other).norm() / other.norm().clamp(min=1e-12)))
    return {"loss": abs(float(ours.detach() / theirs.detach()) - 1), "gradients": gradients}


def _frames_agree(case: Case) -> dict[str, float]:
    """How far dv's bare video is from the pipeline's on the same noise: the mean difference, white being 1."""
    base = case.base()
    config = ComposeConfig(
        steps=4, frames=case.frames, size=(case.side, case.side), guidance_scale=7.5, offset_noise=0.0
    )
    ours = compose(base, PROMPT, seed=0, config=config).frames.astype(np.float32) / 255
    start = torch.randn(
        (1, *base.layout.shape(case.frames, (case.side, case.side))), generator=generator_at(0, 0, "sampling")
    )
    theirs = case.pipeline()(
        PROMPT, height=case.side, width=case.side, num_frames=case.frames, num_inference_steps=4, guidance_scale=7.5,
        latents=start.to(case.device), output_type="np",
    ).frames[0]  # fmt: skip
    return {"frames": float(np.abs(ours - theirs).mean())}


AGREEMENTS: dict[str, Callable[[Case], dict[str, float]]] = {
    "identity": partial(_agreement, "identity"),
    "motion": partial(_agreement, "motion"),
    "compose": _frames_agree,
}
