"""The image encoder of appearance guidance (paper, section 3.3): CLIP's, whatever the family."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from transformers import CLIPImageProcessorPil, CLIPVisionModelWithProjection

from engine.bases.family import Compute


class ImageEncoder:
    """Pictures to image embeddings."""

    def __init__(
        self, model: CLIPVisionModelWithProjection, processor: CLIPImageProcessorPil, compute: Compute
    ) -> None:
        self.model, self.processor, self._compute = model, processor, compute

    @torch.no_grad()
    def encode(self, pictures: Sequence[npt.NDArray[np.uint8]], chunk: int = 32) -> Tensor:
        """Embeddings `(N, D)` of pictures `(H, W, 3)`, on the CPU."""
        embeddings = []
        for start in range(0, len(pictures), chunk):
            pixels = self.processor(list(pictures[start : start + chunk]), return_tensors="pt").pixel_values
            with self._compute.autocast():
                pixels = pixels.to(self._compute.device, self._compute.dtype)
                embeddings.append(self.model(pixels).image_embeds.float().cpu())
        return torch.cat(embeddings)
