"""An adapter's files: weights, learnt token, image embeddings, latents of clips. Names, times and paths stand
elsewhere, in `adapter.json`, so that equal runs have equal files.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from math import isfinite
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from engine.bases.token_vectors import vectors_of
from engine.errors import AdapterError, JobError
from engine.files import written_aside
from engine.prompts import PLACEHOLDER, TOKEN

FORMAT_VERSION = 5
"""Format 1 knows no `form` and no `word`, format 2 no `appearance_strengths`, format 3 no `clips`, format 4
no `token_vectors`. What needs less is written in those."""
WEIGHTS, TOKENS, EMBEDDINGS, CLIPS = (
    "adapter.safetensors",
    "learned_embeds.safetensors",
    "image_embeddings.safetensors",
    "clip_latents.safetensors",
)

_FIRST_FORM = "bottlenecks"
_FIRST_STRENGTHS = (1.0, 0.0)
_DOCUMENT = "adapter.json"


@dataclass(frozen=True)
class AdapterFiles:
    """What is learnt of a subject or a motion, and what is needed to use it.

    `weights` are the state of learnt weights of the given `form` (empty when only a token was learnt), `token`
    is `(D,)`, or `(N, D)` where it has several vectors, `embeddings` are image embeddings `(N, C')` of training images
    or frames. `word` is what stands for a subject in a prompt: `*` is the token, and an identifier with its class word
    is "sks dog". `appearance_strengths` are those of appearance guidance, on the conditional and the unconditional
    branch, that a motion was learnt for. `clips` are latents `(C, f, h, w)`, a window of each training clip, that
    compositions start from: none where these start from noise.
    """

    kind: str
    method: str
    base_fingerprint: str
    weights: dict[str, Tensor]
    widths: dict[str, int] = field(default_factory=dict)
    token: Tensor | None = None
    embeddings: Tensor | None = None
    form: str = _FIRST_FORM
    word: str = PLACEHOLDER
    appearance_strengths: tuple[float, float] = _FIRST_STRENGTHS
    clips: tuple[Tensor, ...] = ()

    @property
    def vectors(self) -> int:
        """How many vectors stand for the `*` in `word`."""
        return vectors_of(self.token)


def write_adapter(adapter: AdapterFiles, folder: Path) -> None:
    """Write an adapter's files into `folder`, which is created. Raises `JobError` for values that are no numbers."""
    version, later = 1, dict[str, str]()
    if (adapter.form, adapter.word) != (_FIRST_FORM, PLACEHOLDER):
        version = 2
    if adapter.appearance_strengths != _FIRST_STRENGTHS:
        version = 3
    if adapter.clips:
        version = 4
    if adapter.vectors > 1:
        version = 5
    if version >= 2:
        later |= {"form": adapter.form, "word": adapter.word}
    if version >= 3:
        later |= {"appearance_strengths": json.dumps(adapter.appearance_strengths)}
    if version >= 4:
        later |= {"clips": str(len(adapter.clips))}
    if version >= 5:
        later |= {"token_vectors": str(adapter.vectors)}
    metadata = {
        "format_version": str(version),
        "kind": adapter.kind,
        "method": adapter.method,
        "base_fingerprint": adapter.base_fingerprint,
        "widths": json.dumps(adapter.widths, sort_keys=True),
        **later,
    }
    # One key, so that diffusers' `load_textual_inversion` takes the file as it is.
    token = None if adapter.token is None else {TOKEN: adapter.token}
    embeddings = None if adapter.embeddings is None else {"image_embeddings": adapter.embeddings}
    _save(folder / WEIGHTS, adapter.weights, metadata)
    clips = {str(number): clip for number, clip in enumerate(adapter.clips)} or None
    for name, tensors in ((TOKENS, token), (EMBEDDINGS, embeddings), (CLIPS, clips)):
        if tensors is not None:
            _save(folder / name, tensors, None)


def read_adapter(folder: Path) -> AdapterFiles:
    """Read what `write_adapter` wrote.

    Raises `AdapterError` for files that are missing, damaged, or of a format newer than this.
    """
    weights, metadata = read_file(folder / WEIGHTS)
    try:
        version = int(metadata["format_version"])
        if version > FORMAT_VERSION:
            raise AdapterError(
                f"the adapter in {folder} has format {version}, this dv reads up to {FORMAT_VERSION}: update dv"
            )
        known = {"kind", "method", "base_fingerprint"} | ({"form", "word"} if version > 1 else set())
        more = {"format_version", "widths"} | ({"appearance_strengths"} if version > 2 else set())
        more |= ({"clips"} if version > 3 else set()) | ({"token_vectors"} if version > 4 else set())
        fields = {key: metadata[key] for key in known}
        widths = json.loads(metadata["widths"])
        told = metadata["appearance_strengths"] if version > 2 else None
        strengths = _strengths(json.loads(told)) if told is not None else _strengths_beside(folder)
        count = int(metadata["clips"]) if version > 3 else 0
        vectors = int(metadata["token_vectors"]) if version > 4 else 1
    except (KeyError, TypeError, ValueError) as error:
        raise AdapterError(f"{folder / WEIGHTS} is not an adapter of dv's: {error}") from error
    if unknown := set(metadata) - known - more:
        raise AdapterError(f"{folder / WEIGHTS} says {', '.join(sorted(unknown))}, which this dv does not know")
    token = _read_one(folder / TOKENS, TOKEN, 1 if vectors == 1 else 2)
    embeddings = _read_one(folder / EMBEDDINGS, "image_embeddings", 2)
    if token is not None and token.ndim == 2 and len(token) != vectors:
        raise AdapterError(f"{folder / TOKENS} has {len(token)} vectors, and {folder / WEIGHTS} says {vectors}")
    return AdapterFiles(
        weights=weights, widths=widths, token=token, embeddings=embeddings, appearance_strengths=strengths,
        clips=_read_clips(folder / CLIPS, count), **fields
    )  # fmt: skip


def _strengths(told: Any) -> tuple[float, float]:
    """Raises ValueError or TypeError for what are no strengths."""
    conditional, unconditional = map(float, told)
    if not (isfinite(conditional) and isfinite(unconditional)):
        raise ValueError("its appearance strengths are no numbers")
    return conditional, unconditional


def _strengths_beside(folder: Path) -> tuple[float, float]:
    """Those of an adapter of an earlier format: the settings in a published one's document tell them."""
    try:
        settings = json.loads((folder / _DOCUMENT).read_text(encoding="utf-8"))["hyperparameters"]
        return _strengths((settings["appearance_strength"], settings["unconditional_appearance_strength"]))
    except (OSError, KeyError, TypeError, ValueError, RecursionError):
        return _FIRST_STRENGTHS


def called_of(folder: Path) -> tuple[str, int]:
    """What stands for a subject in a prompt, and how many vectors a `*` in it has, read without its weights.

    Raises `AdapterError`.
    """
    with _opened(folder / WEIGHTS) as file:
        metadata = file.metadata() or {}
    word = str(metadata.get("word", PLACEHOLDER))
    told = str(metadata.get("token_vectors", int(PLACEHOLDER in word)))
    if not told.isdecimal():
        raise AdapterError(f"{folder / WEIGHTS} is not an adapter of dv's: it has {told} vectors")
    return word, int(told)


def stored_form(folder: Path) -> str:
    """The form of the weights in an adapter's folder. Raises `AdapterError` for files that are missing or damaged."""
    with _opened(folder / WEIGHTS) as file:
        return str((file.metadata() or {}).get("form", _FIRST_FORM))


def _read_one(path: Path, key: str, dimensions: int) -> Tensor | None:
    """The one tensor of a file, or None where there is no file."""
    if not path.exists():
        return None
    tensor = read_file(path)[0].get(key)
    if tensor is None or tensor.ndim != dimensions:
        raise AdapterError(f"{path} is not an adapter's file of dv's: it has no {key} of {dimensions} dimensions")
    return tensor


def _read_clips(path: Path, count: int) -> tuple[Tensor, ...]:
    """The latents of so many clips."""
    if count == 0:
        return ()
    tensors = read_file(path)[0]
    if tensors.keys() != {str(number) for number in range(len(tensors))} or len(tensors) != count:
        raise AdapterError(f"{path} is not an adapter's file of dv's: it has not the latents of {count} clips")
    clips = tuple(tensors[str(number)] for number in range(count))
    if any(clip.ndim != 4 or clip.numel() == 0 for clip in clips):
        raise AdapterError(f"{path} is not an adapter's file of dv's: it has clips that aren't (C, f, h, w)")
    return clips


def _save(path: Path, tensors: Mapping[str, Tensor], metadata: dict[str, str] | None) -> None:
    if bad := [name for name, tensor in tensors.items() if not bool(tensor.isfinite().all())]:
        raise JobError(f"what was learnt is not written: {bad[0]} holds values that are no numbers")
    with written_aside(path) as partial:
        partial.write_bytes(file_of(tensors, metadata))


def file_of(tensors: Mapping[str, Tensor], metadata: dict[str, str] | None) -> bytes:
    """A file of tensors in float32, the same bytes for the same values: safetensors writes metadata in random order."""
    plain = {name: t.detach().to("cpu", torch.float32).contiguous() for name, t in tensors.items()}
    content = save(plain, metadata=metadata)
    length = int.from_bytes(content[:8], "little")
    header = json.dumps(json.loads(content[8 : 8 + length]), sort_keys=True, separators=(",", ":")).encode()
    header += b" " * (-len(header) % 8)
    return len(header).to_bytes(8, "little") + header + content[8 + length :]


def read_file(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The tensors of a file and what its header says. Raises `AdapterError` for a file that is missing or damaged."""
    with _opened(path) as file:
        keys: list[str] = file.keys()
        tensors = {key: file.get_tensor(key) for key in keys}
        metadata = dict(file.metadata() or {})
    for key, tensor in tensors.items():
        if not tensor.isfinite().all():
            raise AdapterError(f"the adapter's file {path} has values that are no numbers, at {key}: learn it again")
    return tensors, metadata


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    try:
        with safe_open(path, framework="pt") as file:
            yield file
    except FileNotFoundError as error:
        raise AdapterError(f"the adapter lacks its file {path}") from error
    except (OSError, SafetensorError) as error:
        raise AdapterError(f"the adapter's file {path} is damaged: {error}") from error
