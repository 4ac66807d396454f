"""What a family of bases is asked: the protocol that the rest of the engine goes through, and the values it speaks in.

docs/adding-a-family.md goes through it question by question. Nothing here loads torch before it computes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol, TypeVar

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from engine.bases.location import BaseInfo
    from engine.bases.objectives import Objective

Axis = Literal["spatial", "temporal", "joint", "embedding"]
"""What a layer mixes: positions of one frame, frames, both at once; or it embeds the time of denoising."""
LayerKind = Literal["cross_attention", "self_attention", "feed_forward", "other"]
Projection = Literal["query", "key", "value", "output"]
Role = Literal["identity", "motion"]
"""What an adapter is for: a subject's identity, or a motion."""
Config = Mapping[str, object]
"""A component's `config.json`."""
Recommended = Mapping[str, Mapping[str, object]]
"""Tables of settings for "subject", "motion", "compose", for methods such as "motion/lora", and for composing with the
subjects of a method, such as "compose/lora"."""
_Component = TypeVar("_Component")
_PROJECTIONS: dict[str, Projection] = {"q": "query", "k": "key", "v": "value", "out": "output"}


@dataclass(frozen=True)
class Site:
    """A layer that an adapter can sit beside.

    `norm` is the module whose input is the block's hidden state, `(N, T, width)` with the sample as the outermost part
    of N; what `layer` gives takes the adapter's output on top. A `layer` gives what is added to the hidden state; where
    a block weighs that first (a gated residual), it is a module that the sum passes through, and `gives_sum` is true.
    `role` says whose adapters sit here: None for a layer that has none.
    """

    name: str
    norm: nn.Module
    layer: nn.Module
    width: int
    axis: Axis
    kind: LayerKind
    depth: int
    role: Role | None = None
    gives_sum: bool = False


@dataclass(frozen=True)
class Label:
    """What a parameter of the base belongs to. `depth` counts levels from the outermost, 0; `projection` is
    which matrix of an attention it is part of."""

    axis: Axis
    kind: LayerKind
    depth: int
    projection: Projection | None = None


def projection_of(parameter: str) -> Projection | None:
    """Which matrix of an attention a parameter is part of, by the names that diffusers' transformer blocks have."""
    inner = re.search(r"\.attn(?:1|2|_temp)\.to_(q|k|v|out)\b", parameter)
    return _PROJECTIONS[inner.group(1)] if inner is not None else None


def whole(value: object, default: int) -> int:
    """A whole number of a config, or what its class has where it is left out."""
    return value if isinstance(value, int) else default


@dataclass(frozen=True)
class Parts:
    """The folders of a base. `weights` are those that hold weights, as a fingerprint goes through them; `apart` are
    components that may lie elsewhere and be named on their own. Weights of `passing` ones are in memory while they are
    needed only, which is before the first step; those of `wide` ones are float32 whatever is asked for."""

    denoiser: str
    folders: tuple[str, ...]
    weights: tuple[str, ...]
    apart: tuple[str, ...] = ("image_encoder",)
    passing: tuple[str, ...] = ()
    wide: tuple[str, ...] = ()


@dataclass(frozen=True)
class Layout:
    """How a window of frames lies in latents: `channels` of them, `scale` pixels to one along each side.

    Width and height in pixels are multiples of `size_multiple`. A window has `frame_step` * k + 1 frames, which become
    k + 1 frames of latents: with a step of 1 any number, each by itself. It has no more than `most_frames`, where the
    denoiser has places for so many only.
    """

    channels: int
    scale: int
    size_multiple: int
    frame_step: int = 1
    most_frames: int | None = None

    def fits(self, frames: int) -> bool:
        """Whether a window of so many frames can be encoded whole."""
        return frames >= 1 and frames == self.trimmed(frames)

    def trimmed(self, frames: int) -> int:
        """The largest number of frames up to `frames` that fits."""
        most = frames if self.most_frames is None else min(frames, self.most_frames)
        return most - (most - 1) % self.frame_step

    def frames_told(self, frames: int) -> str:
        """What windows may hold, and which of them are nearest to `frames`: the rest of a message."""
        if self.most_frames is not None and frames > self.most_frames:
            return f"the base takes {self.trimmed(frames)} frames at most"
        below = self.trimmed(frames)
        return f"the base takes {self.frame_step}k+1 frames, such as {below} or {below + self.frame_step}"

    def latent_frames(self, frames: int) -> int:
        """Frames of the latents of a window that fits."""
        return (frames - 1) // self.frame_step + 1

    def shape(self, frames: int, size: tuple[int, int]) -> tuple[int, int, int, int]:
        """The latents `(C, f, h, w)` of a window of frames of a `size`, width and height in pixels."""
        return (self.channels, self.latent_frames(frames), size[1] // self.scale, size[0] // self.scale)


@dataclass(frozen=True)
class Facts:
    """What a base's configs say: its `layout`, the width of its text conditioning, the most tokens of a prompt, the
    side in latents that it was trained at, and what it predicts."""

    layout: Layout
    text_width: int
    text_tokens: int
    sample_size: int
    prediction_type: str


@dataclass(frozen=True)
class PromptFit:
    """How a prompt fits the text encoder: `tokens` of at most `limit`; `dropped` are the words, from the first that is
    cut on, that fall off the end, "" for none."""

    tokens: int
    limit: int
    dropped: str


@dataclass(frozen=True)
class Conditioning:
    """What a denoiser is told of B prompts. Only a family looks inside: `embeddings` `(B, L, D)`, and a `mask` `(B, L)`
    of those that count, where the family has one."""

    embeddings: Tensor
    mask: Tensor | None = None

    def __len__(self) -> int:
        return len(self.embeddings)

    def take(self, indices: Tensor) -> Conditioning:
        """Those of the prompts at `indices` `(K,)`."""
        return Conditioning(self.embeddings[indices], None if self.mask is None else self.mask[indices])

    def expand(self, count: int) -> Conditioning:
        """One prompt's, for `count` samples."""
        mask = None if self.mask is None else self.mask.expand(count, -1)
        return Conditioning(self.embeddings.expand(count, -1, -1), mask)

    def to(self, device: torch.device, dtype: torch.dtype) -> Conditioning:
        """The embeddings in a precision, all of it on a device."""
        mask = None if self.mask is None else self.mask.to(device)
        return replace(self, embeddings=self.embeddings.to(device, dtype), mask=mask)

    @staticmethod
    def cat(parts: Sequence[Conditioning]) -> Conditioning:
        """Several, one after another; all have a mask, or none has."""
        import torch

        masks = [part.mask for part in parts if part.mask is not None]
        return Conditioning(torch.cat([part.embeddings for part in parts]), torch.cat(masks) if masks else None)


@dataclass(frozen=True)
class Compute:
    """Where models run, and the precision that they compute in; `stored` is that of the denoiser's matrices, where it
    is another. With `offload` its blocks lie in the processor's memory."""

    device: torch.device
    dtype: torch.dtype
    stored: torch.dtype | None = None
    offload: bool = False

    @property
    def precision(self) -> str:
        """What tells results apart: how the denoiser's weights are stored."""
        return str(self.stored or self.dtype).removeprefix("torch.")

    def autocast(self) -> torch.autocast:
        """Half precision where the weights have it; adapters keep their own float32."""
        import torch

        return torch.autocast(self.device.type, self.dtype, enabled=self.dtype != torch.float32)


class Codec(Protocol):
    """Windows of frames to latents and back, on the device, in and out on the CPU. Latents are normalised: what the
    denoiser knows."""

    def encode(self, windows: Tensor) -> tuple[Tensor, Tensor]:
        """Windows `(B, 3, F, H, W)` in [-1, 1] to mean and standard deviation of their latents, `(B, C, f, h, w)`.

        Raises `InputError` for a number of frames that the layout doesn't have.
        """

    def decode(self, latents: Tensor) -> Tensor:
        """Latents `(B, C, f, h, w)` to windows `(B, 3, F, H, W)`, as the autoencoder gives them: beyond [-1, 1] they
        are cut where pixels are made, once it is known that all are numbers."""

    def release(self) -> None:
        """Let the weights leave the memory: nothing is encoded or decoded from then on."""


class Prompts(Protocol):
    """How prompts become tokens: what can be known without the text encoder's weights."""

    def fit(self, prompt: str, *, vectors: int = 0) -> PromptFit:
        """How much room a prompt takes; a `*` in it is a learnt token of so many `vectors`, with none ordinary text."""


class Text(Protocol):
    """Prompts to what the denoiser is told of them, and the place of a learnt token among words."""

    @property
    def token_width(self) -> int:
        """The width D of a learnt token `(D,)`, or `(N, D)` where it has several vectors."""

    def encode(self, prompts: Sequence[str], token: Tensor | None = None) -> Conditioning:
        """Encode prompts; where they say `*`, the learnt `token` `(D,)` stands in, or its `(N, D)` in a row.

        Gradients flow to a `token` that asks for them.
        """

    def start_embedding(self, start_id: int | None, word: str) -> Tensor:
        """Where a new token starts, `(D,)`: as the vocabulary's `start_id` where it has one, else as `word`.

        Raises `InputError` for a word that is empty.
        """

    def unload(self) -> None:
        """Let those weights leave the memory that prompts which were encoded before don't need, whatever the token:
        none where gradients to a token need them. They are loaded again for others."""

    def release(self) -> None:
        """Let the weights leave the memory: nothing is encoded from then on."""


class ReadPart(Protocol):
    """Reads one component of a base: a tokenizer, a scheduler, or a model, frozen, in eval mode and on the device, in
    the precision asked for, or else in `dtype`.

    Raises `BaseError`.
    """

    def __call__(self, kind: type[_Component], part: str, dtype: torch.dtype | None = None) -> _Component: ...


@dataclass(frozen=True)
class Loaded:
    """A family's own parts, loaded."""

    denoiser: nn.Module
    codec: Codec
    text: Text
    objective: Objective


class BlockCache(Protocol):
    """First Block Cache: blocks are skipped inside the context, whose predictions are the steps of one denoising."""

    def __call__(self, denoiser: nn.Module, threshold: float) -> AbstractContextManager[None]: ...


class Family(Protocol):
    """One kind of bases: a file of this folder, and a line in `engine/bases/families.py`."""

    @property
    def name(self) -> str:
        """The file's name, which people see."""

    @property
    def parts(self) -> Parts:
        """Its folders."""

    @property
    def roles(self) -> frozenset[Role]:
        """The roles that have sites."""

    @property
    def axes(self) -> frozenset[Axis]:
        """The axes that its parameters have."""

    @property
    def recommended(self) -> Recommended:
        """Settings for bases that recommend none themselves."""

    def facts(self, configs: Mapping[str, Config]) -> Facts:
        """What the configs of the components, by folder, say, and the base's own `model_index.json`, which may be
        empty. Raises `BaseError` for a base that looks like one of the family and isn't."""

    def prompts(self, info: BaseInfo, read: ReadPart) -> Prompts:
        """The tokenizer alone."""

    def load(self, info: BaseInfo, read: ReadPart, compute: Compute) -> Loaded:
        """All of a base but its image encoder."""

    def skeleton(self, info: BaseInfo) -> nn.Module:
        """The denoiser without weights, on the meta device, frozen: for counting."""

    def encoder_skeleton(self, folder: Path) -> nn.Module:
        """The codec's encoder without weights, on the meta device; it takes windows `(B, 3, F, H, W)`. For counting."""

    def sites(self, denoiser: nn.Module) -> list[Site]:
        """The layers that adapters can sit beside, in the model's own order. Raises `BaseError` as `labels`."""

    def labels(self, denoiser: nn.Module) -> dict[str, Label]:
        """A label for every parameter. Raises `BaseError` for a name that no rule knows."""

    def stored_in(self, name: str) -> str | None:
        """The folder whose weights hold a tensor of the denoiser's state, which has the same name there; None where no
        file of a base holds it."""

    def native_name(self, layer: str) -> str | None:
        """What the model's own code calls a layer, as ComfyUI does; None where there is no such name."""

    def predict(self, denoiser: nn.Module, noisy: Tensor, timesteps: Tensor, text: Conditioning) -> Tensor:
        """What the denoiser says of noisy latents `(B, C, f, h, w)` at `timesteps` `(B,)`, of the same shape."""

    @property
    def has_dropout(self) -> bool:
        """Whether there are layers that can drop activations while something is learnt."""

    def dropouts(self, denoiser: nn.Module) -> list[nn.Dropout]:
        """These layers."""

    def checkpointed(self, denoiser: nn.Module) -> AbstractContextManager[None]:
        """Recompute activations in the backward pass, inside the context."""

    @property
    def block_cache(self) -> BlockCache | None:
        """First Block Cache on its denoiser; None where diffusers' hook doesn't know it."""
