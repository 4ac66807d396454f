"""Loading a base: safetensors first, never remote code."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import torch
from diffusers import ModelMixin
from diffusers.utils import logging as diffusers_logging
from transformers import CLIPImageProcessorPil, CLIPVisionModelWithProjection, PreTrainedModel
from transformers.utils import logging as transformers_logging

from engine.bases.base import Base
from engine.bases.eight_bits import STORED, stored_in_8_bits
from engine.bases.families import family_named
from engine.bases.family import Compute, Prompts
from engine.bases.fingerprint import fingerprint
from engine.bases.image_encoder import ImageEncoder
from engine.bases.location import BaseInfo, BaseLocation, inspect_base
from engine.bases.offloading import check_offloadable
from engine.bases.offloading import offload as offload_blocks
from engine.bases.weights import Library, as_the_only_ones, weights_of
from engine.errors import BaseError, InputError
from engine.training import raise_if_out_of_memory

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16, "fp8": torch.bfloat16}
"""What is computed in. With fp8 the denoiser's matrices are stored in 8 bits, see `engine.bases.eight_bits`."""


def best_device() -> str:
    """cuda, else mps, else cpu."""
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def choose_device(device: str | None) -> torch.device:
    """The device asked for, or the best there is. Raises `InputError` for one that is not there."""
    name = device or best_device()
    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if not there.get(name.split(":")[0], False):
        present = ", ".join(k for k, v in there.items() if v)
        raise InputError(f"there is no device {name} here; there is: {present}")
    return torch.device(name)


def choose_compute(device: str | None, dtype: str, *, offload: bool = False) -> Compute:
    """The device as `choose_device` has it, and what is computed and stored in.

    Raises `InputError` for a dtype that is not in `DTYPES`, too, and where there is nothing to offload.
    """
    where = choose_device(device)
    if dtype not in DTYPES:
        raise InputError(f"unknown `dtype` {dtype}: choose one of {', '.join(DTYPES)}")
    if offload:
        check_offloadable(where)
    return Compute(where, DTYPES[dtype], STORED if dtype == "fp8" else None, offload)


def is_emulated(device: torch.device, dtype: torch.dtype) -> bool:
    """Whether the processor only imitates this precision: right, but many times slower than float32."""
    needed = {torch.bfloat16: "avx512_bf16", torch.float16: "avx512_fp16"}
    if device.type != "cpu" or dtype not in needed:
        return False
    found = torch.cpu.get_capabilities()
    return found.get("architecture") == "x86_64" and not found.get(needed[dtype], False)


def notes_on(device: torch.device, dtype: torch.dtype) -> tuple[str, ...]:
    """What a person should know before something is computed there in this precision."""
    if not is_emulated(device, dtype):
        return ()
    name = next(name for name, known in DTYPES.items() if known == dtype)
    return (f"this processor only emulates {name}: fp32 is many times faster here",)


def load_base(
    location: BaseLocation,
    *,
    device: str | None = None,
    dtype: str = "fp32",
    deterministic: bool = False,
    offload: bool = False,
) -> Base:
    """Load a base, frozen and in eval mode.

    `deterministic` makes CUDA's kernels repeatable (on a CPU they are, for a number of threads). With `offload` the
    denoiser's blocks never lie on the device as a whole. Raises `BaseError` for a base that is missing or damaged,
    `InputError` for an unknown device or dtype, and where there is nothing to offload.
    """
    compute = choose_compute(device, dtype, offload=offload)
    if deterministic:
        torch.backends.cudnn.benchmark = False
        torch.use_deterministic_algorithms(True)
    info = inspect_base(location)
    family = family_named(info.family)
    with quiet_libraries():
        waiting = family.parts.denoiser if offload else None
        loaded = family.load(info, partial(_read_part, info.places, compute, waiting), compute)
        image_encoder = None
        if info.image_encoder is not None:
            model = _load(CLIPVisionModelWithProjection, info.image_encoder, compute)
            image_encoder = ImageEncoder(model, _image_processor(info), compute)
    if compute.stored is not None:
        stored_in_8_bits(loaded.denoiser, compute.dtype)
    if offload:
        offload_blocks(loaded.denoiser, compute.device)
    return Base(
        info=info,
        fingerprint=fingerprint(info),
        family=family,
        compute=compute,
        denoiser=loaded.denoiser,
        codec=loaded.codec,
        text=loaded.text,
        image_encoder=image_encoder,
        objective=loaded.objective,
        sites=family.sites(loaded.denoiser),
        labels=family.labels(loaded.denoiser),
    )


def prompts_of(info: BaseInfo) -> Prompts:
    """How the base's prompts become tokens, without its weights. Raises `BaseError`."""
    with quiet_libraries():
        return family_named(info.family).prompts(info, lambda kind, part, dtype=None: _read(kind, info.places[part]))


def _read(kind: Any, folder: Path) -> Any:
    """One component without weights: a tokenizer, a scheduler."""
    with loading(f"the base's {folder.name} in {folder}"):
        return kind.from_pretrained(folder)


def _read_part(
    places: Mapping[str, Path],
    compute: Compute,
    waiting: str | None,
    kind: Any,
    part: str,
    dtype: torch.dtype | None = None,
) -> Any:
    """A component of the base whose parts lie at `places`, now or when it is needed; the part `waiting` on the CPU."""
    device = torch.device("cpu") if part == waiting else compute.device
    with quiet_libraries():
        return _load(kind, places[part], Compute(device, dtype or compute.dtype))


def _load(kind: Any, folder: Path, compute: Compute) -> Any:
    """One component. Without safetensors the libraries read `.bin` files with `weights_only=True`."""
    if not issubclass(kind, ModelMixin | PreTrainedModel):
        return _read(kind, folder)
    weights = weights_of(folder)
    library: Library = "diffusers" if issubclass(kind, ModelMixin) else "transformers"
    with loading(f"the base's {folder.name} in {folder}"), as_the_only_ones(weights, library) as shown:
        model, told = kind.from_pretrained(
            shown, torch_dtype=compute.dtype, use_safetensors=weights.suffix == "safetensors", output_loading_info=True
        )
    if missing := sorted(told["missing_keys"]):
        raise BaseError(f"the base's {folder.name} in {folder} lacks {len(missing)} weights, such as {missing[0]}")
    return model.to(compute.device).eval().requires_grad_(False)


def _image_processor(info: BaseInfo) -> CLIPImageProcessorPil:
    """The image encoder's own preprocessing, or CLIP's at the encoder's size."""
    folders = [info.image_encoder, info.folder / "feature_extractor"]
    for folder in folders:
        if folder is not None and (folder / "preprocessor_config.json").exists():
            with loading(f"the base's {folder.name} in {folder}"):
                return CLIPImageProcessorPil.from_pretrained(folder)
    return CLIPImageProcessorPil()


@contextmanager
def loading(what: str) -> Iterator[None]:
    """Turn what a library raises at files that it can't load into a `BaseError` that names them.

    Whatever it is: on damaged or foreign files the libraries raise errors of every kind. Only a device that is too
    small is no fault of the files.
    """
    try:
        yield
    except BaseError:
        raise
    except Exception as error:
        if isinstance(error, RuntimeError):
            raise_if_out_of_memory(error, "use bf16, or another device")
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise BaseError(f"{what} can't be loaded: {reason}") from error


@contextmanager
def quiet_libraries() -> Iterator[None]:
    """Silence what the libraries say of loading: progress bars and remarks meant for their developers."""
    levels = diffusers_logging.get_verbosity(), transformers_logging.get_verbosity()
    diffusers_logging.set_verbosity_error()
    transformers_logging.set_verbosity_error()
    diffusers_logging.disable_progress_bar()
    transformers_logging.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        diffusers_logging.set_verbosity(levels[0])
        transformers_logging.set_verbosity(levels[1])
