"""DreamVideo on diffusers as a careful reader of the paper writes it: a loop that encodes what it learns at every step.

It shares no code with dv's engine. `benchmarks.speed` compares dv's speed with it, and its losses and gradients with
dv's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL, DDPMScheduler, UNet3DConditionModel
from diffusers.models.attention import BasicTransformerBlock
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint
from transformers import CLIPTextModel, CLIPTokenizer, CLIPVisionModelWithProjection

Kind = Literal["identity", "motion"]


class Adapter(nn.Module):
    """GELU((h + W_c e) W_down) W_up beside a layer whose block goes on with h (paper, equations 4 to 6)."""

    def __init__(self, width: int, condition_width: int | None) -> None:
        super().__init__()
        self.down, self.up = nn.Linear(width, width // 2), nn.Linear(width // 2, width)
        nn.init.zeros_(self.up.weight)
        nn.init.zeros_(self.up.bias)
        self.condition = nn.Linear(condition_width, width) if condition_width is not None else None
        self.embedding: Tensor | None = None

    def forward(self, hidden_states: Tensor) -> Tensor:
        """`(N, T, C)` to `(N, T, C)`; `embedding` `(B, C')` is of B samples, the outermost part of N."""
        if self.condition is not None and self.embedding is not None:
            looked = self.condition(self.embedding)
            hidden_states = hidden_states + looked.repeat_interleave(len(hidden_states) // len(looked), 0)[:, None]
        out: Tensor = self.up(F.gelu(self.down(hidden_states)))
        return out


@dataclass
class PlainMethod:
    """The models of a base's folder, frozen, and the adapters that are attached to the UNet."""

    folder: Path
    device: torch.device
    dtype: torch.dtype = torch.float32
    adapters: dict[str, Adapter] = field(default_factory=dict)

    def __post_init__(self) -> None:
        def read(kind: Any, part: str) -> Any:
            model = kind.from_pretrained(self.folder / part, torch_dtype=self.dtype)
            return model.to(self.device).eval().requires_grad_(False)

        self.unet: UNet3DConditionModel = read(UNet3DConditionModel, "unet")
        self.vae: AutoencoderKL = read(AutoencoderKL, "vae")
        self.text_encoder: CLIPTextModel = read(CLIPTextModel, "text_encoder")
        self.image_encoder: CLIPVisionModelWithProjection = read(CLIPVisionModelWithProjection, "image_encoder")
        self.tokenizer = CLIPTokenizer.from_pretrained(self.folder / "tokenizer")
        self.scheduler = DDPMScheduler.from_pretrained(self.folder / "scheduler")
        self.token = "<subject>"

    def attach(self, kind: Kind) -> list[nn.Parameter]:
        """Put fresh adapters beside the layers that the paper names, and give their parameters."""
        looks = int(self.image_encoder.config.projection_dim) if kind == "motion" else None
        for name, block in self.unet.named_modules():
            if not isinstance(block, BasicTransformerBlock):
                continue
            temporal = "temp_attentions" in name or name.startswith("transformer_in")
            if temporal and kind == "motion":
                places = {"attn1": block.norm1, "attn2": block.norm2, "ff": block.norm3}
            elif not temporal and kind == "identity":
                places = {"attn2": block.norm2}
            else:
                continue
            for leaf, norm in places.items():
                adapter = Adapter(int(norm.normalized_shape[0]), looks).to(self.device)
                self.adapters[f"{name}.{leaf}"] = adapter
                self._beside(norm, getattr(block, leaf), adapter)
        return [parameter for adapter in self.adapters.values() for parameter in adapter.parameters()]

    def load(self, weights: Mapping[str, Tensor]) -> None:
        """Give the adapters the weights of dv's, called "site/leaf"."""
        with torch.no_grad():
            for site, adapter in self.adapters.items():
                for leaf, parameter in adapter.named_parameters():
                    parameter.copy_(weights[f"{site}/{leaf}"])

    def checkpointed(self) -> None:
        """Recompute transformers and resnets in the backward pass, for good."""
        for module in self.unet.modules():
            if type(module).__name__ in ("Transformer2DModel", "TransformerTemporalModel", "ResnetBlock2D"):
                plain = module.forward
                module.forward = lambda *args, _plain=plain, **named: checkpoint(
                    _plain, *args, use_reentrant=False, **named
                )

    def learn_token(self, word: str) -> nn.Parameter:
        """Add a token to the vocabulary, which starts as `word`; the matrix that textual inversion trains."""
        self.tokenizer.add_tokens(self.token)
        self.text_encoder.resize_token_embeddings(len(self.tokenizer), mean_resizing=False)
        embeddings = self.text_encoder.get_input_embeddings()
        start = self.tokenizer.encode(word, add_special_tokens=False)[0]
        with torch.no_grad():
            embeddings.weight[-1] = embeddings.weight[start]
        weight: nn.Parameter = embeddings.weight.requires_grad_(True)
        return weight

    def encode_text(self, prompts: Sequence[str]) -> Tensor:
        """`(B, L, D)`."""
        given = self.tokenizer(
            list(prompts), padding="max_length", truncation=True, return_tensors="pt",
            max_length=self.text_encoder.config.max_position_embeddings,
        )  # fmt: skip
        encoded: Tensor = self.text_encoder(given.input_ids.to(self.device))[0]
        return encoded

    @torch.no_grad()
    def encode_frames(self, windows: Tensor) -> Tensor:
        """Windows `(B, 3, F, H, W)` in [-1, 1] to latents `(B, C, F, h, w)`, drawn."""
        frames = windows.transpose(1, 2).flatten(0, 1).to(self.device, self.dtype)
        latents = self.vae.encode(frames).latent_dist.sample() * self.vae.config.scaling_factor
        framed: Tensor = latents.unflatten(0, (len(windows), -1)).transpose(1, 2)
        return framed

    @torch.no_grad()
    def look_at(self, windows: Tensor) -> None:
        """Condition the adapters on the first frames of windows `(B, 3, F, H, W)`."""
        side = int(self.image_encoder.config.image_size)
        frames = F.interpolate(windows[:, :, 0].to(self.device), size=(side, side), mode="bicubic")
        self.condition(self.image_encoder(frames.to(self.dtype)).image_embeds.float())

    def condition(self, embeddings: Tensor) -> None:
        """Condition the adapters on image embeddings `(B, C')`."""
        for adapter in self.adapters.values():
            adapter.embedding = embeddings

    def loss(self, latents: Tensor, noise: Tensor, timesteps: Tensor, text: Tensor) -> Tensor:
        """The denoising loss of latents `(B, C, F, h, w)` at `timesteps` `(B,)`."""
        noisy = self.scheduler.add_noise(latents, noise, timesteps)
        velocity = self.scheduler.config.prediction_type == "v_prediction"
        target = self.scheduler.get_velocity(latents, noise, timesteps) if velocity else noise
        return F.mse_loss(self.unet(noisy, timesteps, text).sample.float(), target.float())

    def step(self, windows: Tensor, prompts: Sequence[str], optimizer: torch.optim.Optimizer) -> float:
        """One step of learning as it is written down first: everything is encoded, then a loss is descended."""
        latents = self.encode_frames(windows)
        noise = torch.randn_like(latents)
        timesteps = torch.randint(
            0, int(self.scheduler.config.num_train_timesteps), (len(latents),), device=self.device
        )
        loss = self.loss(latents, noise, timesteps, self.encode_text(prompts))
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        return float(loss.detach())

    def _beside(self, norm: nn.Module, layer: nn.Module, adapter: Adapter) -> None:
        entering: list[Tensor] = []
        norm.register_forward_pre_hook(lambda _module, inputs: entering.append(inputs[0]))
        layer.register_forward_hook(lambda _module, _inputs, output: output + adapter(entering.pop()))
