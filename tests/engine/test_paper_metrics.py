"""The paper's four metrics on files, against PIL, transformers and NumPy written out; features kept by file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import CLIPConfig, CLIPImageProcessorPil, CLIPModel, CLIPTokenizer, ViTConfig, ViTModel

from engine.data.clips import probe_clip, read_clip
from engine.data.files import sha256_of
from engine.data.images import read_image
from engine.evaluation import metrics
from engine.evaluation.caching import FeatureCache
from engine.evaluation.judges import ClipJudge, DinoJudge, Pictures
from engine.pretraining.tokenizer import END, START, build
from tests.rendering import rendered

CLIP_MEAN, CLIP_STD = [0.48145466, 0.4578275, 0.40821073], [0.26862954, 0.26130258, 0.27577711]
IMAGENET_MEAN, IMAGENET_STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
# Larger and smaller than the judges' 224, wide and high, with odd margins around the crop.
VIDEO_SIZES = [(301, 233), (97, 64), (225, 411)]
REFERENCE_SIZES = [(333, 500), (45, 38), (227, 227)]


@pytest.fixture(scope="module")
def clip_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CLIP of ViT-B/32's geometry and preprocessing, small, at random weights."""
    folder = tmp_path_factory.mktemp("clip")
    tokenizer = build(merges=40, max_tokens=16)
    start, end = tokenizer.convert_tokens_to_ids([START, END])
    width = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
    text = {"vocab_size": len(tokenizer), "max_position_embeddings": 16, "bos_token_id": start, "eos_token_id": end}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        # Ten times the usual deviation of fresh weights: features that tell pictures apart.
        config = CLIPConfig(
            text_config={**width, **text, "initializer_range": 0.2},
            vision_config={**width, "image_size": 224, "patch_size": 32, "initializer_factor": 10.0},
            projection_dim=24,
        )
        CLIPModel(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    CLIPImageProcessorPil().save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def dino_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A ViT of DINO ViT-S/16's geometry, small, at random weights; without a preprocessing of its own."""
    folder = tmp_path_factory.mktemp("dino")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(4)
        config = ViTConfig(
            hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2, initializer_range=0.2
        )
        ViTModel(config, add_pooling_layer=False).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def material(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[Path], list[Path]]:
    """Videos as folders of frames, which may have odd sizes, and reference pictures."""
    folder = tmp_path_factory.mktemp("material")
    shown = [("dog/1", "zigzag", "beach"), ("bird/1", "left", "sea"), ("rocket/1", "growing", "street")]
    videos, references = [], []
    for (name, motion, scene), video_size, size in zip(shown, VIDEO_SIZES, REFERENCE_SIZES, strict=True):
        frames, video = rendered(name, motion, scene, frames=4), folder / name.replace("/", "-")
        video.mkdir()
        for number, frame in enumerate(frames):
            Image.fromarray(frame).resize(video_size).save(video / f"{number}.png")
        videos.append(video)
        references.append(video.with_suffix(".png"))
        Image.fromarray(frames[0]).resize(size).save(references[-1])
    return videos, references


def prepared(path: Path, resize: int, mean: list[float], std: list[float]) -> torch.Tensor:
    """The shorter side to `resize` (bicubic, which PIL antialiases), the centre 224 x 224, scaled."""
    image = Image.open(path).convert("RGB")
    width, height = image.size
    shorter = min(width, height)
    image = image.resize((int(resize * width / shorter), int(resize * height / shorter)), Image.Resampling.BICUBIC)
    left, top = (image.width - 224) // 2, (image.height - 224) // 2
    cut = np.asarray(image.crop((left, top, left + 224, top + 224)), dtype=np.float64) / 255
    scaled = (cut - np.array(mean)) / np.array(std)
    return torch.from_numpy(scaled.transpose(2, 0, 1)).float()[None]


def cosine(one: np.ndarray, other: np.ndarray) -> float:
    return float(one @ other / np.sqrt((one @ one) * (other @ other)))


@torch.no_grad()
def written_out(
    clip_folder: Path, dino_folder: Path, video: Path, references: list[Path], prompt: str
) -> tuple[float, float, float, float]:
    """CLIP-T, CLIP-I, DINO-I and temporal consistency, one picture at a time."""
    clip = CLIPModel.from_pretrained(clip_folder, torch_dtype=torch.float32).eval()
    dino = ViTModel.from_pretrained(dino_folder, torch_dtype=torch.float32, add_pooling_layer=False).eval()
    tokenizer = CLIPTokenizer.from_pretrained(clip_folder)

    def by_clip(path: Path) -> np.ndarray:
        pooled = clip.vision_model(pixel_values=prepared(path, 224, CLIP_MEAN, CLIP_STD)).pooler_output
        return np.asarray(clip.visual_projection(pooled)[0], dtype=np.float64)

    def by_dino(path: Path) -> np.ndarray:
        hidden = dino(pixel_values=prepared(path, 256, IMAGENET_MEAN, IMAGENET_STD)).last_hidden_state
        return np.asarray(hidden[0, 0], dtype=np.float64)

    ids = torch.tensor([tokenizer(prompt).input_ids])
    hidden_text = clip.text_model(input_ids=ids).last_hidden_state[0, -1]
    text = np.asarray(clip.text_projection(hidden_text), dtype=np.float64)
    files = sorted(video.iterdir())
    frames, wanted = [by_clip(f) for f in files], [by_clip(r) for r in references]
    frames_dino, wanted_dino = [by_dino(f) for f in files], [by_dino(r) for r in references]
    return (
        float(np.mean([cosine(f, text) for f in frames])),
        float(np.mean([cosine(f, r) for f in frames for r in wanted])),
        float(np.mean([cosine(f, r) for f in frames_dino for r in wanted_dino])),
        float(np.mean([cosine(frames[i], frames[i + 1]) for i in range(len(frames) - 1)])),
    )


def test_the_four_metrics_of_files_equal_those_written_out(
    clip_folder: Path, dino_folder: Path, material: tuple[list[Path], list[Path]]
) -> None:
    videos, references = material
    prompt = "a dog on the beach"
    clip, dino = ClipJudge(clip_folder, batch=3), DinoJudge(dino_folder, batch=3)
    text = clip.texts([prompt])[0]
    values = []
    for video in videos:
        for chosen in (references, references[:1]):
            frames, pictures = list(read_clip(probe_clip(video))), [read_image(path) for path in chosen]
            seen, wanted = clip.images(frames), clip.images(pictures)
            got = (
                metrics.clip_t(seen, text),
                metrics.clip_i(seen, wanted),
                metrics.dino_i(dino.images(frames), dino.images(pictures)),
                metrics.temporal_consistency(seen),
            )
            expected = written_out(clip_folder, dino_folder, video, chosen, prompt)
            assert got == pytest.approx(expected, abs=1e-5)
            values.append(got)
    # The comparison means something only where videos and references do differ by far more than that.
    assert np.ptp(np.array(values), axis=0).min() > 1e-2


def test_features_of_a_file_are_worked_out_once_for_each_judge(
    clip_folder: Path, dino_folder: Path, material: tuple[list[Path], list[Path]], tmp_path: Path
) -> None:
    video = material[0][0]
    cache, reads = FeatureCache(tmp_path / "cache"), []

    def read() -> Pictures:
        reads.append(video)
        return list(read_clip(probe_clip(video)))

    clip, dino = ClipJudge(clip_folder), DinoJudge(dino_folder)
    first = cache.images(clip, sha256_of(video), read)
    assert torch.equal(cache.images(ClipJudge(clip_folder), sha256_of(video), read), first)
    assert len(reads) == 1
    assert torch.equal(cache.images(dino, sha256_of(video), read), dino.images(list(read_clip(probe_clip(video)))))
    cache.images(clip, "another hash", read)
    assert len(reads) == 3
    # Another file among the judge's (its preprocessing, say) makes it another judge; only when it was written doesn't.
    preprocessing = clip_folder / "preprocessor_config.json"
    preprocessing.touch()
    cache.images(ClipJudge(clip_folder), sha256_of(video), read)
    assert len(reads) == 3
    preprocessing.write_text(preprocessing.read_text(encoding="utf-8") + "\n", encoding="utf-8")
    cache.images(ClipJudge(clip_folder), sha256_of(video), read)
    assert len(reads) == 4


def test_a_damaged_or_forbidden_cache_costs_only_time(dino_folder: Path, tmp_path: Path) -> None:
    judge, picture = DinoJudge(dino_folder), np.full((40, 30, 3), 90, np.uint8)
    cache = FeatureCache(tmp_path / "cache")
    first = cache.images(judge, "hash", lambda: [picture])
    (kept,) = cache.folder.iterdir()
    kept.write_bytes(kept.read_bytes()[:50])
    assert torch.equal(cache.images(judge, "hash", lambda: [picture]), first)
    (tmp_path / "file").write_text("where the folder should be", encoding="utf-8")
    assert torch.equal(FeatureCache(tmp_path / "file").images(judge, "hash", lambda: [picture]), first)
