"""A base in miniature: every part a real one has, at random weights, in a folder of the test session."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from engine.bases.base import Base

MakeBase = Callable[..., Path]
LoadBase = Callable[..., "Base"]


@pytest.fixture(scope="session", autouse=True)
def cache_of_its_own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Fingerprints are cached in the user's cache folder: not while testing."""
    cache = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("engine.hash_cache.user_cache_path", lambda _name: cache)
        yield


@pytest.fixture(scope="session")
def make_base(tmp_path_factory: pytest.TempPathFactory) -> MakeBase:
    """Write a base of a prediction type and a seed, once each."""
    import torch

    torch.set_num_threads(1)
    made: dict[tuple[str, int], Path] = {}

    def make(prediction_type: str = "epsilon", seed: int = 0) -> Path:
        key = (prediction_type, seed)
        if key not in made:
            made[key] = tmp_path_factory.mktemp("base")
            write_base(made[key], prediction_type, seed)
        return made[key]

    return make


@pytest.fixture(scope="session")
def load(make_base: MakeBase) -> LoadBase:
    """Load a base as `make_base` makes it, afresh: learning lets go of a base's encoders."""

    def load(prediction_type: str = "epsilon", seed: int = 0, *, dtype: str = "fp32") -> Base:
        from engine.bases.load import load_base
        from engine.bases.location import BaseLocation

        folder = make_base(prediction_type, seed)
        return load_base(BaseLocation(f"tiny{seed}", str(folder)), device="cpu", dtype=dtype)

    return load


@pytest.fixture(scope="session")
def base(load: LoadBase) -> Base:
    """One base for the tests that leave it as it was."""
    return load()


@pytest.fixture
def subject(base: Base, tmp_path: Path) -> Path:
    """The folder of a subject of random weights."""
    from engine.adapters.storage import write_adapter
    from tests.engine.sample_adapters import subject_of

    write_adapter(subject_of(base), tmp_path / "subject")
    return tmp_path / "subject"


@pytest.fixture
def motion(base: Base, tmp_path: Path) -> Path:
    """The folder of a motion of random weights."""
    from engine.adapters.storage import write_adapter
    from tests.engine.sample_adapters import motion_of

    write_adapter(motion_of(base), tmp_path / "motion")
    return tmp_path / "motion"


@pytest.fixture
def photographs(tmp_path: Path) -> Path:
    """A folder of three photographs."""
    from PIL import Image

    from tests.engine.learning_samples import pixels

    folder = tmp_path / "photographs"
    folder.mkdir()
    for i in range(3):
        Image.fromarray(pixels(i, 20, 24)).save(folder / f"{i}.png")
    return folder


@pytest.fixture
def clips(tmp_path: Path) -> Path:
    """A video of 9 frames, and a folder of 3."""
    from PIL import Image

    from engine.media.video import write_video
    from tests.engine.learning_samples import pixels

    folder = tmp_path / "clips"
    (folder / "short").mkdir(parents=True)
    write_video(pixels(5, 9, 16, 16), folder / "long.mp4", 8.0, {})
    for i, frame in enumerate(pixels(6, 3, 16, 16)):
        Image.fromarray(frame).save(folder / "short" / f"{i}.png")
    return folder


def write_base(folder: Path, prediction_type: str = "epsilon", seed: int = 0) -> None:
    """A base of the family `unet3d` in miniature."""
    import torch
    from diffusers import AutoencoderKL, DDIMScheduler, UNet3DConditionModel
    from transformers import (
        CLIPImageProcessorPil,
        CLIPTextConfig,
        CLIPTextModel,
        CLIPVisionConfig,
        CLIPVisionModelWithProjection,
    )

    from engine.pretraining.tokenizer import END, START, build

    tokenizer = build(merges=40, max_tokens=16)
    width: dict[str, Any] = {
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
    }
    start, end = tokenizer.convert_tokens_to_ids([START, END])
    text = CLIPTextConfig(
        vocab_size=len(tokenizer), max_position_embeddings=16, bos_token_id=start, eos_token_id=end, **width
    )
    # The image embedding's width is no other width of the base, so that mixing them up is an error.
    vision = CLIPVisionConfig(image_size=16, patch_size=8, projection_dim=24, **width)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        unet = UNet3DConditionModel(
            sample_size=8,
            down_block_types=("DownBlock3D", "CrossAttnDownBlock3D"),
            up_block_types=("CrossAttnUpBlock3D", "UpBlock3D"),
            block_out_channels=(16, 32),
            layers_per_block=1,
            norm_num_groups=8,
            cross_attention_dim=32,
            attention_head_dim=8,
        )
        # A temporal convolution ends in zeros when it is fresh; a trained one does not.
        for name, parameter in unet.named_parameters():
            if ".conv4." in name:
                torch.nn.init.normal_(parameter, std=0.05)
        models = {
            "unet": unet,
            "vae": AutoencoderKL(
                down_block_types=("DownEncoderBlock2D",) * 2,
                up_block_types=("UpDecoderBlock2D",) * 2,
                block_out_channels=(8, 8),
                norm_num_groups=4,
            ),
            "text_encoder": CLIPTextModel(text),
            "image_encoder": CLIPVisionModelWithProjection(vision),
        }
    for name, model in models.items():
        model.save_pretrained(folder / name)
    tokenizer.save_pretrained(folder / "tokenizer")
    CLIPImageProcessorPil(size={"shortest_edge": 16}, crop_size=16).save_pretrained(folder / "image_encoder")
    DDIMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        clip_sample=False,
        set_alpha_to_one=False,
        steps_offset=1,
        prediction_type=prediction_type,
    ).save_pretrained(folder / "scheduler")
