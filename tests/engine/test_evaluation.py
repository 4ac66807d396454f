"""Metrics against NumPy written out, judges against PIL and transformers written out, intervals on known data."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import CLIPImageProcessorPil, CLIPModel, CLIPTokenizer, ViTConfig, ViTModel

from engine.bases.location import EMBEDDED, BaseLocation, inspect_base
from engine.errors import BaseError, InputError
from engine.evaluation import metrics
from engine.evaluation.judges import ClipJudge, DinoJudge, judges_of
from engine.evaluation.statistics import bootstrap_interval, paired_interval
from tests.rendering import rendered

INFO = inspect_base(EMBEDDED)
CLIP, DINO = INFO.folder / "judges" / "clip", INFO.folder / "judges" / "dino"


def cosine(one: np.ndarray, other: np.ndarray) -> float:
    return float(one @ other / np.sqrt((one**2).sum() * (other**2).sum()))


def features(count: int, seed: int) -> np.ndarray:
    # Lengths far from 1: cosines must not depend on them.
    return np.random.default_rng(seed).normal(size=(count, 7)) * np.arange(1, count + 1)[:, None]


def pictures() -> list[np.ndarray]:
    generator = np.random.default_rng(3)
    smooth = [generator.integers(0, 256, (9, 13, 3), dtype=np.uint8) for _ in range(3)]
    sizes = [(97, 64), (64, 131), (45, 38)]
    return [
        np.asarray(Image.fromarray(s).resize(size, Image.Resampling.BICUBIC))
        for s, size in zip(smooth, sizes, strict=True)
    ]


def prepared(picture: np.ndarray, resize: int, crop: int, mean: list[float], std: list[float]) -> torch.Tensor:
    """Resize the shorter side (bicubic), cut out the centre, scale: with PIL and NumPy alone."""
    image = Image.fromarray(picture)
    width, height = image.size
    if width <= height:
        image = image.resize((resize, int(resize * height / width)), Image.Resampling.BICUBIC)
    else:
        image = image.resize((int(resize * width / height), resize), Image.Resampling.BICUBIC)
    left, top = (image.width - crop) // 2, (image.height - crop) // 2
    cut = np.asarray(image.crop((left, top, left + crop, top + crop)), dtype=np.float64) / 255
    scaled = (cut - np.array(mean)) / np.array(std)
    return torch.from_numpy(scaled.transpose(2, 0, 1)).float()[None]


def test_metrics_equal_the_formulas_written_out() -> None:
    frames, references = features(5, 0), features(3, 1)
    text = features(1, 2)[0]
    f, r, t = (torch.from_numpy(x).float() for x in (frames, references, text))
    assert metrics.clip_t(f, t) == pytest.approx(np.mean([cosine(x, text) for x in frames]), abs=1e-6)
    pairs = np.mean([cosine(x, y) for x in frames for y in references])
    assert metrics.clip_i(f, r) == pytest.approx(pairs, abs=1e-6)
    assert metrics.dino_i(f, r) == pytest.approx(pairs, abs=1e-6)
    neighbours = np.mean([cosine(frames[i], frames[i + 1]) for i in range(4)])
    assert metrics.temporal_consistency(f) == pytest.approx(neighbours, abs=1e-6)


def test_a_still_video_is_wholly_consistent() -> None:
    judge = ClipJudge(CLIP)
    assert metrics.temporal_consistency(judge.images(pictures()[:1] * 4)) == pytest.approx(1, abs=1e-6)


def test_a_changing_video_is_less_consistent() -> None:
    assert metrics.temporal_consistency(ClipJudge(CLIP).images(pictures())) < 0.99


def test_consistency_of_one_frame_is_refused() -> None:
    with pytest.raises(InputError, match="at least 2 frames"):
        metrics.temporal_consistency(torch.ones(1, 4))


def test_colours_count_only_where_they_are_weighted() -> None:
    pixels = torch.zeros(1, 3, 2, 2)
    pixels[:, 0, 0] = 1.0  # The upper row is red, the lower black.
    red = torch.zeros(1, 3, 1, 1) + torch.tensor([1.0, 0, 0]).view(1, 3, 1, 1)
    upper = torch.tensor([[[[1.0, 1.0], [0.0, 0.0]]]])
    only_red = metrics.colour_histogram(red, torch.ones(1, 1, 1, 1))
    assert metrics.colour_similarity(metrics.colour_histogram(pixels, upper), only_red) == pytest.approx(1)
    assert metrics.colour_similarity(metrics.colour_histogram(pixels, 1 - upper), only_red) == pytest.approx(0)
    both = metrics.colour_histogram(pixels, torch.ones(1, 1, 2, 2))
    assert metrics.colour_similarity(both, only_red) == pytest.approx(0.5)


def test_trajectories_correlate_as_numpy_says() -> None:
    one, other = np.random.default_rng(0).random((2, 8, 2))
    expected = np.corrcoef(np.diff(one, axis=0).T.ravel(), np.diff(other, axis=0).T.ravel())[0, 1]
    result = metrics.trajectory_correlation(torch.from_numpy(one), torch.from_numpy(other))
    assert result == pytest.approx(expected, abs=1e-9)


def test_a_trajectory_elsewhere_correlates_fully_and_a_still_one_not_at_all() -> None:
    track = torch.tensor([[0.1, 0.2], [0.3, 0.1], [0.2, 0.6]])
    assert metrics.trajectory_correlation(track + 0.3, track) == pytest.approx(1)
    assert metrics.trajectory_correlation(1 - track, track) == pytest.approx(-1)
    assert metrics.trajectory_correlation(torch.full((3, 2), 0.5), track) == 0


def test_bootstrap_interval_of_coin_tosses_is_the_binomial_one() -> None:
    interval = bootstrap_interval([1.0] * 50 + [0.0] * 50)
    assert interval.mean == 0.5
    # 1.96 standard errors of 0.05, in steps of one toss.
    assert interval.low == pytest.approx(0.402, abs=0.011)
    assert interval.high == pytest.approx(0.598, abs=0.011)


def test_a_wider_level_gives_a_wider_interval_and_equal_values_none() -> None:
    values = list(np.random.default_rng(1).normal(size=30))
    narrow, wide = bootstrap_interval(values, level=0.5), bootstrap_interval(values, level=0.99)
    assert wide.low < narrow.low < narrow.mean < narrow.high < wide.high
    flat = bootstrap_interval([2.0, 2.0, 2.0])
    assert (flat.low, flat.high) == (2.0, 2.0)


def test_pairing_removes_what_cells_share() -> None:
    shared = np.random.default_rng(2).normal(scale=100, size=20)
    interval = paired_interval(list(shared + 1), list(shared))
    assert interval.low == pytest.approx(1) and interval.high == pytest.approx(1)
    with pytest.raises(ValueError):
        paired_interval([1.0], [1.0, 2.0])


def test_clip_judge_prepares_odd_sizes_as_pil_does() -> None:
    model = CLIPModel.from_pretrained(CLIP, torch_dtype=torch.float32).eval()
    pixels = torch.cat([prepared(p, 64, 64, [0.5] * 3, [0.5] * 3) for p in pictures()])
    with torch.no_grad():
        expected = model.visual_projection(model.vision_model(pixel_values=pixels).pooler_output)
    # One picture a batch, then all in one: neither neighbours nor batches may matter.
    for batch in (1, 64):
        result = ClipJudge(CLIP, batch=batch).images(pictures())
        assert torch.allclose(result, expected, atol=1e-4)
        assert result.dtype == torch.float32


def test_clip_judge_reads_text_alone_as_among_others() -> None:
    judge = ClipJudge(CLIP)
    prompts = ["a dog on grass", "a rocket moving up at night", "an owl"]
    together = judge.texts(prompts)
    alone = torch.cat([judge.texts([p]) for p in prompts])
    assert torch.allclose(together, alone, atol=1e-5)
    model, tokenizer = (
        CLIPModel.from_pretrained(CLIP, torch_dtype=torch.float32).eval(),
        CLIPTokenizer.from_pretrained(CLIP),
    )
    ids = torch.tensor([tokenizer(prompts[0]).input_ids])
    with torch.no_grad():
        hidden = model.text_model(input_ids=ids).last_hidden_state[0, -1]
        assert torch.allclose(together[0], model.text_projection(hidden), atol=1e-5)


def test_dino_judge_gives_the_token_after_the_final_norm() -> None:
    model = ViTModel.from_pretrained(DINO, torch_dtype=torch.float32, add_pooling_layer=False).eval()
    pixels = torch.cat([prepared(p, 64, 64, [0.5] * 3, [0.5] * 3) for p in pictures()])
    entering: list[torch.Tensor] = []
    model.layernorm.register_forward_pre_hook(lambda _norm, inputs: entering.append(inputs[0]))
    with torch.no_grad():
        model(pixel_values=pixels)
        norm = model.layernorm
        expected = torch.nn.functional.layer_norm(entering[0], norm.normalized_shape, norm.weight, norm.bias, norm.eps)
    assert torch.allclose(DinoJudge(DINO).images(pictures()), expected[:, 0], atol=1e-4)


def test_dino_without_a_crop_of_its_own_is_prepared_as_dino_was_evaluated(tmp_path: Path) -> None:
    torch.manual_seed(0)
    config = ViTConfig(
        hidden_size=16, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2, image_size=56, patch_size=14
    )
    ViTModel(config, add_pooling_layer=False).save_pretrained(tmp_path)
    squeezing = {"image_processor_type": "ViTImageProcessor", "do_resize": True, "size": {"height": 56, "width": 56}}
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(squeezing), encoding="utf-8")
    model = ViTModel.from_pretrained(tmp_path, add_pooling_layer=False).eval()
    # 256 : 224 = 64 : 56.
    mean, std = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
    pixels = torch.cat([prepared(p, 64, 56, mean, std) for p in pictures()])
    with torch.no_grad():
        expected = model(pixel_values=pixels).last_hidden_state[:, 0]
    assert torch.allclose(DinoJudge(tmp_path).images(pictures()), expected, atol=1e-4)


def test_judges_of_the_embedded_base_know_a_dog_from_a_rocket() -> None:
    judges = judges_of(INFO)
    frames = [rendered(name, "still", frames=1)[0] for name in ("dog/1", "rocket/1")]
    images, texts = judges.images("clip", frames), judges.texts("clip", ["a dog on grass", "a rocket on grass"])
    assert metrics.clip_t(images[:1], texts[0]) > metrics.clip_t(images[:1], texts[1])
    assert metrics.clip_t(images[1:], texts[1]) > metrics.clip_t(images[1:], texts[0])


def test_a_base_without_judges_says_what_to_do(tmp_path: Path) -> None:
    for part in INFO.folder.iterdir():
        if part.name != "judges":
            (tmp_path / part.name).symlink_to(part)
    with pytest.raises(BaseError, match="openai/clip-vit-base-patch32"):
        judges_of(inspect_base(BaseLocation("bare", str(tmp_path))))


def test_a_judge_that_is_not_there_is_an_error_of_the_base(tmp_path: Path) -> None:
    CLIPImageProcessorPil().save_pretrained(tmp_path)
    with pytest.raises(BaseError, match=str(tmp_path)):
        ClipJudge(tmp_path)
