"""A loaded base: frozen models behind one face, and the sites and labels that adapters and methods choose from."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from engine.bases.location import BaseInfo
from engine.errors import InputError
from engine.prompts import PLACEHOLDER, TOKEN

Axis = Literal["spatial", "temporal", "time_embedding"]
LayerKind = Literal["cross_attention", "self_attention", "feed_forward", "other"]
Projection = Literal["query", "key", "value", "output"]


@dataclass(frozen=True)
class Site:
    """A layer that an adapter can sit beside.

    `norm` is the module whose input is the block's hidden state, `(N, T, width)` with the sample as the
    outermost part of N; `layer` is the module whose output is added to that state.
    """

    name: str
    norm: nn.Module
    layer: nn.Module
    width: int
    axis: Axis
    kind: LayerKind
    depth: int


@dataclass(frozen=True)
class Label:
    """What a parameter of the base belongs to. `depth` counts levels from the outermost, 0; `projection` is
    which matrix of an attention it is part of."""

    axis: Axis
    kind: LayerKind
    depth: int
    projection: Projection | None = None


class Objective:
    """The base's noise schedule and what it predicts; from its scheduler's config.

    `alphas_cumprod` is `(T,)`. Formulas: DDPM (arXiv 2006.11239), v-prediction (arXiv 2202.00512).
    """

    def __init__(self, alphas_cumprod: Tensor, prediction_type: str) -> None:
        if prediction_type not in ("epsilon", "v_prediction"):
            raise InputError(f"the base predicts {prediction_type!r}; known are epsilon and v_prediction")
        self.alphas_cumprod, self.prediction_type = alphas_cumprod.float(), prediction_type

    def add_noise(self, clean: Tensor, noise: Tensor, timesteps: Tensor) -> Tensor:
        """Diffuse `clean` `(B, ...)` to `timesteps` `(B,)`."""
        signal, spread = self._scales(timesteps, clean)
        return signal * clean + spread * noise

    def target(self, clean: Tensor, noise: Tensor, timesteps: Tensor) -> Tensor:
        """What the base should predict."""
        if self.prediction_type == "epsilon":
            return noise
        signal, spread = self._scales(timesteps, clean)
        return signal * noise - spread * clean

    def split(self, noisy: Tensor, prediction: Tensor, timesteps: Tensor) -> tuple[Tensor, Tensor]:
        """The clean sample and the noise that a prediction stands for."""
        signal, spread = self._scales(timesteps, noisy)
        if self.prediction_type == "epsilon":
            return (noisy - spread * prediction) / signal, prediction
        return signal * noisy - spread * prediction, signal * prediction + spread * noisy

    def _scales(self, timesteps: Tensor, like: Tensor) -> tuple[Tensor, Tensor]:
        kept = self.alphas_cumprod[timesteps.cpu()].to(like.device, torch.float32)
        kept = kept.view(-1, *[1] * (like.ndim - 1))
        return kept.sqrt(), (1 - kept).sqrt()


@dataclass
class Base:
    """A frozen base on a device. Encoders may be released once everything is encoded."""

    info: BaseInfo
    fingerprint: str
    device: torch.device
    dtype: torch.dtype
    denoiser: nn.Module
    vae: Any
    text_encoder: Any
    tokenizer: Any
    image_encoder: Any
    image_processor: Any
    scheduler_config: dict[str, Any]
    objective: Objective
    sites: list[Site]
    labels: dict[str, Label]

    @property
    def name(self) -> str:
        return self.info.location.name

    @property
    def latent_scale(self) -> int:
        """Pixels to one latent along each side."""
        return int(2 ** (len(self.vae.config.block_out_channels) - 1))

    @property
    def size_multiple(self) -> int:
        """What width and height in pixels must be multiples of."""
        return self.latent_scale * 2 ** (len(self.denoiser.config.block_out_channels) - 1)  # type: ignore[union-attr,arg-type,no-any-return]

    @property
    def latent_channels(self) -> int:
        return int(self.vae.config.latent_channels)

    def autocast(self) -> torch.autocast:
        """Half precision where the base has it; adapters keep their own float32."""
        return torch.autocast(self.device.type, self.dtype, enabled=self.dtype != torch.float32)

    def predict(self, noisy: Tensor, timesteps: Tensor, text: Tensor) -> Tensor:
        """The base's prediction in float32: latents `(B, C, F, h, w)`, timesteps `(B,)`, text `(B, L, D)`."""
        with self.autocast():
            prediction = self.denoiser(noisy.to(self.dtype), timesteps.to(self.device), text.to(self.dtype))
        return prediction.sample.float()  # type: ignore[no-any-return]

    def encode_text(self, prompts: Sequence[str], token: Tensor | None = None) -> Tensor:
        """Encode prompts to `(B, L, D)`; where they say `*`, the learnt `token` `(D,)` stands in.

        Gradients flow to `token` where it asks for them.
        """
        plain = [_without_token(prompt) for prompt in prompts]
        texts = [p.replace(PLACEHOLDER, f" {TOKEN} ") for p in plain] if token is not None else plain
        ids = self.tokenizer(
            texts, padding="max_length", truncation=True, max_length=self.tokenizer.model_max_length,
            return_tensors="pt",
        ).input_ids.to(self.device)  # fmt: skip
        with self.autocast(), token_inserted(self.text_encoder, ids, self.token_id, token) as known:
            return self.text_encoder(known)[0].float()  # type: ignore[no-any-return]

    @property
    def token_id(self) -> int:
        return int(self.tokenizer.convert_tokens_to_ids(TOKEN))

    def word_embedding(self, word: str) -> Tensor:
        """The input embedding of a word, `(D,)`; of several tokens, their mean (paper: the class word's)."""
        ids = self.tokenizer(_without_token(word), add_special_tokens=False).input_ids
        if not ids:
            raise InputError(f'the class word "{word}" is empty')
        table = self.text_encoder.get_input_embeddings().weight
        return table[torch.tensor(ids, device=table.device)].float().mean(dim=0).detach()  # type: ignore[no-any-return]

    def start_embedding(self, start_id: int | None, word: str) -> Tensor:
        """Where a new token starts, `(D,)`: as the vocabulary's `start_id` where it has one, else as `word`."""
        table = self.text_encoder.get_input_embeddings().weight
        if start_id is None or start_id >= min(len(table), self.token_id):
            return self.word_embedding(word)
        return table[start_id].float().detach()  # type: ignore[no-any-return]

    @torch.no_grad()
    def encode_latents(self, pixels: Tensor, chunk: int = 8) -> tuple[Tensor, Tensor]:
        """Scaled mean and standard deviation of the latents of pictures `(N, 3, H, W)` in [-1, 1], on the CPU."""
        means, stds = [], []
        factor = float(self.vae.config.scaling_factor)
        for part in pixels.split(chunk):
            with self.autocast():
                posterior = self.vae.encode(part.to(self.device, self.dtype)).latent_dist
            means.append(posterior.mean.float().cpu() * factor)
            stds.append(posterior.std.float().cpu() * factor)
        return torch.cat(means), torch.cat(stds)

    @torch.no_grad()
    def decode_latents(self, latents: Tensor, chunk: int = 8) -> Tensor:
        """Pictures `(N, 3, H, W)` in [-1, 1] on the CPU from scaled latents `(N, C, h, w)`."""
        factor = float(self.vae.config.scaling_factor)
        pictures = []
        for part in latents.split(chunk):
            with self.autocast():
                pictures.append(self.vae.decode((part / factor).to(self.dtype)).sample.float().cpu())
        return torch.cat(pictures).clamp(-1, 1)

    @torch.no_grad()
    def encode_images(self, pictures: Sequence[Any], chunk: int = 32) -> Tensor:
        """Image embeddings `(N, D)` of pictures (uint8 arrays `(H, W, 3)`), on the CPU.

        Raises `InputError` where the base has no image encoder.
        """
        if self.image_encoder is None:
            raise InputError(
                f"the base {self.name} has no image encoder, which appearance guidance needs: add the base "
                "again with --image-encoder, or learn with --no-appearance-guidance"
            )
        embeddings = []
        for start in range(0, len(pictures), chunk):
            pixels = self.image_processor(list(pictures[start : start + chunk]), return_tensors="pt").pixel_values
            with self.autocast():
                embeddings.append(self.image_encoder(pixels.to(self.device, self.dtype)).image_embeds.float().cpu())
        return torch.cat(embeddings)

    def release_encoders(self, *, keep_text: bool = False) -> None:
        """Let the encoders leave the memory; the base can only predict from then on."""
        self.image_encoder = None
        self.vae = _Released(self.vae.config)
        if not keep_text:
            self.text_encoder = None
        if self.device.type == "cuda":
            torch.cuda.empty_cache()


class _Released:
    """A model that has left the memory; its config is still asked for."""

    def __init__(self, config: Any) -> None:
        self.config = config


def _without_token(text: str) -> str:
    """The text with our own word for the token, should somebody write it, as ordinary words."""
    return re.sub(re.escape(TOKEN), TOKEN[1:-1], text, flags=re.IGNORECASE)


@contextmanager
def token_inserted(text_encoder: Any, ids: Tensor, token_id: int, token: Tensor | None) -> Iterator[Tensor]:
    """Give ids that the encoder knows, and put `token` where they said `token_id`, without touching a weight."""
    if token is None:
        yield ids
        return
    places = ids == token_id

    def put(_module: nn.Module, _inputs: Any, output: Tensor) -> Tensor:
        return torch.where(places[..., None], token.to(output.dtype), output)

    handle = text_encoder.get_input_embeddings().register_forward_hook(put)
    try:
        yield torch.where(places, torch.zeros_like(ids), ids)
    finally:
        handle.remove()
