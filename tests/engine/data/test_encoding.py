"""What frozen encoders say of the data: views of an image, and masks that go with them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import Image

from engine.bases.base import Base
from engine.data.encoding import encode_images, to_window
from engine.data.images import shifted


def test_shifted_views_take_their_masks_along(base: Base, tmp_path: Path) -> None:
    picture = np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    mask = np.zeros((16, 16), dtype=np.uint8)
    mask[6:8, 6:8] = 255  # one pixel of the latents, too far from the edges to be reflected
    image, painted = tmp_path / "a.png", tmp_path / "mask.png"
    Image.fromarray(picture).save(image)
    Image.fromarray(mask).save(painted)
    generator = torch.Generator().manual_seed(0)
    seen = encode_images(base, [image], [painted], (16, 16), shift=0.25, generator=generator)
    assert seen.masks is not None
    assert seen.embeddings is not None
    assert len(seen.latents.mean) == len(seen.masks) == 17
    assert len(seen.embeddings) == 1
    places = [tuple(torch.nonzero(view[0])[0].tolist()) for view in seen.masks]
    assert places[0] == (3, 3)
    assert len(set(places)) > 5
    assert max(abs(side - 3) for place in places for side in place) == 2
    for mean, (down, right) in zip(seen.latents.mean, places, strict=True):
        moved = shifted(picture, 2 * (right - 3), 2 * (down - 3))
        torch.testing.assert_close(mean, base.codec.encode(to_window(moved[None])[None])[0][0])
    plain = encode_images(base, [image], [painted], (16, 16))
    torch.testing.assert_close(plain.latents.mean, seen.latents.mean[:1])
