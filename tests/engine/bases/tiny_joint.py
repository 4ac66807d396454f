"""A family in miniature that is unlike UNet3D in all that the protocol asks about.

Attention over space and time at once, gated residuals, windows of 4k+1 frames compressed in time by a causal codec,
latents normalised by channel, text with a mask and a token in the encoder's output, and the prediction of a flow.
"""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
import torch.nn.functional as F
from diffusers import ConfigMixin, FlowMatchEulerDiscreteScheduler, ModelMixin
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from engine.bases.codecs import Normalisation
from engine.bases.family import (
    Axis,
    Compute,
    Conditioning,
    Config,
    Facts,
    Family,
    Label,
    LayerKind,
    Layout,
    Loaded,
    Parts,
    Projection,
    PromptFit,
    ReadPart,
    Recommended,
    Role,
    Site,
)
from engine.bases.location import BaseInfo
from engine.bases.objectives import objective_of
from engine.bases.token_vectors import at_places, vectors_of
from engine.errors import BaseError, InputError
from engine.prompts import words_beyond

LIMIT, VOCABULARY = 12, 50
STAR, PAD = 0, 1


class Attention(nn.Module):
    def __init__(self, width: int, context: int) -> None:
        super().__init__()
        self.to_q, self.to_out = nn.Linear(width, width), nn.Linear(width, width)
        self.to_k, self.to_v = nn.Linear(context, width), nn.Linear(context, width)

    def forward(self, x: Tensor, context: Tensor, mask: Tensor | None = None) -> Tensor:
        allowed = None if mask is None else mask[:, None, :]
        attended = F.scaled_dot_product_attention(self.to_q(x), self.to_k(context), self.to_v(context), allowed)
        out: Tensor = self.to_out(attended)
        return out


class Block(nn.Module):
    """What self-attention and feed-forward add is weighed by gates of the time of denoising, as in Wan."""

    def __init__(self, width: int, text: int) -> None:
        super().__init__()
        self.norm1, self.norm2, self.norm3 = (nn.LayerNorm(width) for _ in range(3))
        self.attn1, self.attn2 = Attention(width, width), Attention(width, text)
        self.ff = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))
        self.gates = nn.Parameter(torch.randn(2, width))
        self.after_attn1, self.after_ff = nn.Identity(), nn.Identity()

    def forward(self, hidden: Tensor, text: Tensor, mask: Tensor | None, time: Tensor) -> Tensor:
        gate1, gate3 = (self.gates + time[:, None, :]).unsqueeze(2).unbind(1)
        normed = self.norm1(hidden)
        hidden = self.after_attn1(hidden + gate1 * self.attn1(normed, normed))
        hidden = hidden + self.attn2(self.norm2(hidden), text, mask)
        out: Tensor = self.after_ff(hidden + gate3 * self.ff(self.norm3(hidden)))
        return out


class TinyJoint(ModelMixin, ConfigMixin):
    """Latents `(B, C, f, h, w)` to a flow of the same shape: every position of every frame is a token."""

    def __init__(self, channels: int = 4, width: int = 16, text_dim: int = 12, layers: int = 2) -> None:
        super().__init__()
        self.register_to_config(channels=channels, width=width, text_dim=text_dim, layers=layers)
        self.proj_in, self.proj_out = nn.Linear(channels, width), nn.Linear(width, channels)
        self.time_embedding = nn.Linear(8, width)
        self.blocks = nn.ModuleList(Block(width, text_dim) for _ in range(layers))
        self.recomputing = False

    def forward(self, latents: Tensor, timesteps: Tensor, text: Tensor, mask: Tensor | None = None) -> Tensor:
        angles = timesteps.float()[:, None] / 1000 * torch.arange(1, 5, device=timesteps.device)
        time = self.time_embedding(torch.cat([angles.sin(), angles.cos()], dim=1).to(text.dtype))
        places = torch.linspace(-1, 1, latents[0, 0].numel(), device=latents.device).view(latents.shape[2:])
        hidden = self.proj_in((latents + places).flatten(2).transpose(1, 2))
        for block in self.blocks:
            run = partial(checkpoint, block, use_reentrant=False) if self.recomputing else block
            hidden = run(hidden, text, mask, time)
        out: Tensor = self.proj_out(hidden).transpose(1, 2).view(latents.shape)
        return out


class TinyVideoVae(ModelMixin, ConfigMixin):
    """The first frame by itself, then four at a time; 4 x 4 pixels to one latent."""

    def __init__(self, latents_mean: Sequence[float] = (), latents_std: Sequence[float] = ()) -> None:
        super().__init__()
        self.register_to_config(latents_mean=latents_mean, latents_std=latents_std)
        self.down, self.up = nn.Linear(3 * 4 * 4, len(latents_mean)), nn.Linear(len(latents_mean), 3 * 4 * 4)

    def encode(self, window: Tensor) -> tuple[Tensor, Tensor]:
        first, rest = window[:, :, :1], window[:, :, 1:].unflatten(2, (-1, 4)).mean(dim=3)
        patches = F.pixel_unshuffle(torch.cat([first, rest], dim=2).transpose(1, 2), 4)
        mean = self.down(patches.permute(0, 3, 4, 1, 2)).permute(0, 4, 3, 1, 2)
        return mean, torch.full_like(mean, 0.1)

    def decode(self, latents: Tensor) -> Tensor:
        patches = self.up(latents.permute(0, 3, 4, 2, 1)).permute(0, 3, 4, 1, 2)
        frames = F.pixel_shuffle(patches, 4).transpose(1, 2)
        return torch.cat([frames[:, :, :1], frames[:, :, 1:].repeat_interleave(4, dim=2)], dim=2)


class TinyEncoder(nn.Module):
    def __init__(self, vae: TinyVideoVae) -> None:
        super().__init__()
        self.vae = vae

    def forward(self, windows: Tensor) -> Tensor:
        return self.vae.encode(windows)[0]


class TinyTextEncoder(ModelMixin, ConfigMixin):
    def __init__(self, width: int = 12) -> None:
        super().__init__()
        self.register_to_config(width=width)
        self.table = nn.Embedding(VOCABULARY, width)
        self.mix = nn.Linear(width, width)

    def forward(self, ids: Tensor) -> Tensor:
        embedded = self.table(ids)
        out: Tensor = embedded + self.mix(embedded.mean(dim=1, keepdim=True))
        return out


class TinyTokenizer:
    """A token a word; `*` stands for itself where there is a learnt token."""

    @classmethod
    def from_pretrained(cls, folder: Path) -> TinyTokenizer:
        json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
        return cls()

    def ids(self, prompt: str, *, vectors: int) -> list[int]:
        words = re.findall(r"\*|[^\s*]+", prompt.replace("*", "* " * vectors) if vectors else prompt)
        return [
            STAR if vectors and word == "*" else 2 + zlib.crc32(word.encode()) % (VOCABULARY - 2) for word in words
        ]  # fmt: skip

    def fit(self, prompt: str, *, vectors: int = 0) -> PromptFit:
        def count(text: str) -> int:
            return len(self.ids(text, vectors=vectors))

        return PromptFit(count(prompt), LIMIT, words_beyond(prompt, count, LIMIT))


class TinyText:
    """The learnt token is a row of the encoder's output."""

    def __init__(self, encoder: TinyTextEncoder, tokenizer: TinyTokenizer, compute: Compute) -> None:
        self._encoder: TinyTextEncoder | None = encoder
        self._tokenizer, self._compute = tokenizer, compute
        self.token_width = int(encoder.config.width)

    def encode(self, prompts: Sequence[str], token: Tensor | None = None) -> Conditioning:
        assert self._encoder is not None
        rows = [self._tokenizer.ids(prompt, vectors=vectors_of(token))[:LIMIT] for prompt in prompts]
        ids = torch.tensor([row + [PAD] * (LIMIT - len(row)) for row in rows], device=self._compute.device)
        with self._compute.autocast():
            embeddings = self._encoder(ids).float()
        if token is not None:
            embeddings = torch.where((ids == STAR)[..., None], at_places(token, ids == STAR), embeddings)
        mask = ids != PAD
        mask[:, 0] = True  # an empty prompt is looked at, too
        return Conditioning(embeddings, mask)

    def start_embedding(self, start_id: int | None, word: str) -> Tensor:
        if not word.strip():
            raise InputError(f'the class word "{word}" is empty')
        with torch.no_grad():
            return self.encode([word]).embeddings[0, 0]

    def unload(self) -> None:
        """It is small."""

    def release(self) -> None:
        self._encoder = None


class TinyCodec:
    def __init__(self, vae: TinyVideoVae, layout: Layout, compute: Compute) -> None:
        self._vae: TinyVideoVae | None = vae
        self._layout, self._compute = layout, compute
        self._normalisation = Normalisation.by_channel(vae.config.latents_mean, vae.config.latents_std)

    @torch.no_grad()
    def encode(self, windows: Tensor) -> tuple[Tensor, Tensor]:
        assert self._vae is not None
        if not self._layout.fits(windows.shape[2]):
            raise InputError(f"`frames` is {windows.shape[2]}: {self._layout.frames_told(windows.shape[2])}")
        with self._compute.autocast():
            mean, std = self._vae.encode(windows.to(self._compute.device, self._compute.dtype))
        return self._normalisation.applied(mean.float().cpu(), std.float().cpu())

    @torch.no_grad()
    def decode(self, latents: Tensor) -> Tensor:
        assert self._vae is not None
        known = self._normalisation.undone(latents).to(self._compute.device, self._compute.dtype)
        with self._compute.autocast():
            decoded: Tensor = self._vae.decode(known).float().cpu()
        return decoded

    def release(self) -> None:
        self._vae = None


_LAYERS: dict[str, LayerKind] = {
    "attn1": "self_attention", "norm1": "self_attention", "after_attn1": "self_attention",
    "attn2": "cross_attention", "norm2": "cross_attention",
    "ff": "feed_forward", "norm3": "feed_forward", "after_ff": "feed_forward",
    "gates": "other",
}  # fmt: skip
_PROJECTIONS: dict[str, Projection] = {"q": "query", "k": "key", "v": "value", "out": "output"}


class TinyJointFamily:
    name = "tiny_joint"
    parts = Parts(
        denoiser="transformer",
        folders=("transformer", "vae", "text_encoder", "tokenizer", "scheduler"),
        weights=("transformer", "text_encoder", "vae"),
    )
    roles: frozenset[Role] = frozenset({"identity", "motion"})
    axes: frozenset[Axis] = frozenset({"joint", "embedding"})
    has_dropout = False
    block_cache = None
    recommended: Recommended = MappingProxyType({})

    def facts(self, configs: Mapping[str, Config]) -> Facts:
        channels, width = configs["transformer"]["channels"], configs["transformer"]["text_dim"]
        assert isinstance(channels, int) and isinstance(width, int)
        return Facts(Layout(channels, 4, 4, frame_step=4), width, LIMIT, 4, "flow")

    def prompts(self, info: BaseInfo, read: ReadPart) -> TinyTokenizer:
        return read(TinyTokenizer, "tokenizer")

    def load(self, info: BaseInfo, read: ReadPart, compute: Compute) -> Loaded:
        scheduler = read(FlowMatchEulerDiscreteScheduler, "scheduler")
        return Loaded(
            denoiser=read(TinyJoint, "transformer"),
            codec=TinyCodec(read(TinyVideoVae, "vae"), info.layout, compute),
            text=TinyText(read(TinyTextEncoder, "text_encoder"), self.prompts(info, read), compute),
            objective=objective_of(scheduler.config),
        )

    def skeleton(self, info: BaseInfo) -> nn.Module:
        with torch.device("meta"):
            model: nn.Module = TinyJoint.from_config(TinyJoint.load_config(info.places["transformer"]))
        return model.eval().requires_grad_(False)

    def encoder_skeleton(self, folder: Path) -> nn.Module:
        with torch.device("meta"):
            return TinyEncoder(TinyVideoVae.from_config(TinyVideoVae.load_config(folder / "vae")))

    def sites(self, denoiser: nn.Module) -> list[Site]:
        found = []
        for name, block in denoiser.named_modules():
            if not isinstance(block, Block):
                continue
            width, depth = block.attn1.to_q.in_features, _depth(name)
            layers: tuple[tuple[str, nn.Module, nn.Module, LayerKind, Role, bool], ...] = (
                ("attn1", block.norm1, block.after_attn1, "self_attention", "motion", True),
                ("attn2", block.norm2, block.attn2, "cross_attention", "identity", False),
                ("ff", block.norm3, block.after_ff, "feed_forward", "motion", True),
            )
            found += [
                Site(f"{name}.{leaf}", norm, layer, width, "joint", kind, depth, role, gives_sum)
                for leaf, norm, layer, kind, role, gives_sum in layers
            ]
        return found

    def labels(self, denoiser: nn.Module) -> dict[str, Label]:
        return {name: _label(name) for name, _ in denoiser.named_parameters()}

    def stored_in(self, name: str) -> str | None:
        return "transformer"

    def native_name(self, layer: str) -> str | None:
        return None

    def predict(self, denoiser: nn.Module, noisy: Tensor, timesteps: Tensor, text: Conditioning) -> Tensor:
        prediction: Tensor = denoiser(noisy, timesteps, text.embeddings, text.mask)
        return prediction

    def dropouts(self, denoiser: nn.Module) -> list[nn.Dropout]:
        return []

    @contextmanager
    def checkpointed(self, denoiser: nn.Module) -> Iterator[None]:
        model: Any = denoiser
        model.recomputing = True
        try:
            yield
        finally:
            model.recomputing = False


TINY_JOINT: Family = TinyJointFamily()


def _depth(name: str) -> int:
    return int(name.split(".")[1])


def _label(name: str) -> Label:
    if name.startswith("time_embedding."):
        return Label("embedding", "other", 0)
    if re.match(r"proj_(in|out)\.", name):
        return Label("joint", "other", 0)
    place = re.match(r"blocks\.\d+\.(\w+)", name)
    if place is None or place.group(1) not in _LAYERS:
        raise BaseError(f"the denoiser has a parameter {name}, which the family {TinyJointFamily.name} does not know")
    matrix = re.search(r"\.to_(q|k|v|out)\.", name)
    return Label("joint", _LAYERS[place.group(1)], _depth(name), _PROJECTIONS[matrix.group(1)] if matrix else None)


def write_tiny_joint(folder: Path) -> None:
    """Write a base of this family, but for an image encoder, at random weights."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        models: dict[str, Any] = {
            "transformer": TinyJoint(),
            "vae": TinyVideoVae(latents_mean=(0.1, -0.2, 0.3, 0.0), latents_std=(0.5, 2.0, 1.0, 0.7)),
            "text_encoder": TinyTextEncoder(),
        }
    for name, model in models.items():
        model.save_pretrained(folder / name)
    (folder / "tokenizer").mkdir()
    (folder / "tokenizer" / "tokenizer.json").write_text("{}", encoding="utf-8")
    FlowMatchEulerDiscreteScheduler(shift=3.0).save_pretrained(folder / "scheduler")
