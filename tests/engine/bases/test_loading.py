"""A base: found, fingerprinted, loaded frozen; its objective and its encoders."""

from __future__ import annotations

import copy
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

import engine.bases.fingerprint as fingerprints
from engine import hash_cache
from engine.bases.base import Base
from engine.bases.family import Layout
from engine.bases.fingerprint import fingerprint
from engine.bases.load import load_base
from engine.bases.location import BaseLocation, inspect_base
from engine.errors import BaseError, InputError
from engine.prompts import TOKEN
from tests.engine.unet3d_parts import encoder_of, text_of, vae_of

MakeBase = Callable[..., Path]
LoadBase = Callable[..., Base]

UNET = "unet/diffusion_pytorch_model.safetensors"
TEXT = "text_encoder/model.safetensors"


@pytest.fixture
def folder(make_base: MakeBase, tmp_path: Path) -> Path:
    """A base that a test may spoil."""
    return Path(shutil.copytree(make_base(), tmp_path / "base"))


def at(folder: Path, image_encoder: Path | None = None) -> BaseLocation:
    return BaseLocation("mine", str(folder), str(image_encoder) if image_encoder else None)


def fingerprint_of(folder: Path) -> str:
    return fingerprint(inspect_base(at(folder)))


def loaded(folder: Path) -> Base:
    return load_base(at(folder), device="cpu")


# --- what its files say ---


def test_inspecting_tells_what_the_configs_say(folder: Path) -> None:
    (folder / "recommended.json").write_text('{"compose": {"frames": 8}}')
    info = inspect_base(at(folder))
    assert (info.family, info.prediction_type, info.scheduler) == ("unet3d", "epsilon", "DDIMScheduler")
    assert info.cross_attention_dim == 32
    assert info.recommended == {"compose": {"frames": 8}}
    assert info.components["unet"] == sum(f.stat().st_size for f in (folder / "unet").iterdir())
    assert set(info.components) == {"unet", "vae", "text_encoder", "tokenizer", "scheduler", "image_encoder"}


@pytest.mark.parametrize("part", ["unet", "vae", "text_encoder", "tokenizer", "scheduler"])
def test_a_missing_part_is_named(folder: Path, part: str) -> None:
    shutil.rmtree(folder / part)
    with pytest.raises(BaseError, match=f"mine .* has no .*{part}/ folder"):
        inspect_base(at(folder))


def test_a_missing_folder_is_no_hub_id(tmp_path: Path) -> None:
    with pytest.raises(BaseError, match="there is no folder"):
        inspect_base(at(tmp_path / "nowhere"))


def test_an_unknown_family_is_named_with_those_that_are_known(folder: Path) -> None:
    config = folder / "unet" / "config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "_class_name": "UNet1DModel"}))
    with pytest.raises(BaseError, match=r"UNet1DModel; known are: .*UNet2DConditionModel with a motion module, Wan"):
        inspect_base(at(folder))


@pytest.mark.parametrize("content", ["{", "[]", "\x00\xff"])
def test_a_damaged_config_is_named(folder: Path, content: str) -> None:
    (folder / "scheduler" / "scheduler_config.json").write_bytes(content.encode("latin-1"))
    with pytest.raises(BaseError, match=r"scheduler_config\.json is not"):
        inspect_base(at(folder))


def test_an_image_encoder_may_lie_apart(folder: Path, tmp_path: Path) -> None:
    (folder / "image_encoder").rename(tmp_path / "apart")
    assert inspect_base(at(folder)).image_encoder is None
    assert inspect_base(at(folder, tmp_path / "apart")).image_encoder == (tmp_path / "apart").resolve()


# --- fingerprint ---


def rewritten(path: Path, change: Callable[[dict[str, torch.Tensor]], dict[str, torch.Tensor]]) -> None:
    save_file(change(load_file(path)), path)


def test_fingerprint_is_the_weights_and_not_their_precision(make_base: MakeBase, folder: Path) -> None:
    for path in folder.rglob("*.safetensors"):
        rewritten(path, lambda tensors: {k: t.half() if t.is_floating_point() else t for k, t in tensors.items()})
    assert fingerprint_of(folder) == fingerprint_of(make_base())


def test_fingerprint_is_not_the_names(make_base: MakeBase, folder: Path) -> None:
    rewritten(folder / UNET, lambda tensors: {f"renamed.{k}": t for k, t in tensors.items()})
    assert fingerprint_of(folder) == fingerprint_of(make_base())


def test_fingerprint_differs_for_other_weights(make_base: MakeBase) -> None:
    assert fingerprint_of(make_base(seed=1)) != fingerprint_of(make_base(seed=0))


@pytest.mark.parametrize("part", ["unet", "text_encoder", "vae", "image_encoder"])
def test_fingerprint_sees_every_part(make_base: MakeBase, folder: Path, part: str) -> None:
    path = next((folder / part).glob("*.safetensors"))

    def nudged(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        name = next(k for k in sorted(tensors) if tensors[k].is_floating_point())
        return {**tensors, name: tensors[name] + 0.5}

    rewritten(path, nudged)
    assert fingerprint_of(folder) != fingerprint_of(make_base())


def test_fingerprint_is_cached_until_the_files_change(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = fingerprint_of(folder)
    with monkeypatch.context() as patch:
        patch.setattr(fingerprints, "_tensor_digests", lambda _path: pytest.fail("the cache was not asked"))
        assert fingerprint_of(folder) == first
    rewritten(folder / UNET, lambda tensors: {k: t + 1 for k, t in tensors.items()})
    assert fingerprint_of(folder) != first


def test_fingerprint_does_without_a_cache(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = fingerprint_of(folder)
    blocked = tmp_path / "file"
    blocked.write_text("a file where the cache's folder should be")
    monkeypatch.setattr(hash_cache, "user_cache_path", lambda _name: blocked)
    assert fingerprint_of(folder) == expected


# --- loading ---


def test_a_loaded_base_is_frozen_and_in_eval_mode(base: Base) -> None:
    assert base.image_encoder is not None
    for model in (base.denoiser, vae_of(base), encoder_of(base), base.image_encoder.model):
        assert not any(module.training for module in model.modules())
        assert not any(p.requires_grad for p in model.parameters())
    assert base.fingerprint == fingerprint(base.info)
    assert base.layout == Layout(channels=4, scale=2, size_multiple=4)


@pytest.mark.parametrize("path", [UNET, TEXT])
def test_bin_weights_load_as_data(make_base: MakeBase, folder: Path, base: Base, path: str) -> None:
    as_bin(folder / path)
    mine = loaded(folder)
    assert mine.fingerprint == base.fingerprint
    text = base.text.encode(["a dog"])
    assert torch.equal(mine.text.encode(["a dog"]).embeddings, text.embeddings)
    noisy, timesteps = torch.ones(1, 4, 2, 8, 8), torch.tensor([500])
    assert torch.equal(mine.predict(noisy, timesteps, text), base.predict(noisy, timesteps, text))


@pytest.mark.parametrize("path", [UNET, TEXT])
@pytest.mark.parametrize("ask", [loaded, fingerprint_of])
def test_a_pickle_with_code_is_refused_and_not_run(
    folder: Path, tmp_path: Path, path: str, ask: Callable[[Path], object]
) -> None:
    trace = tmp_path / "it-ran"
    bin_file = as_bin(folder / path)
    torch.save({"weight": Malicious(trace)}, bin_file)
    with pytest.raises(BaseError, match=bin_file.parent.name):
        ask(folder)
    assert not trace.exists()


class Malicious:
    """Unpickled, it writes a file."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[object, tuple[Path]]:
        return Path.touch, (self.trace,)


def as_bin(path: Path) -> Path:
    target = path.with_name("pytorch_model.bin" if path.name == "model.safetensors" else f"{path.stem}.bin")
    torch.save(load_file(path), target)
    path.unlink()
    return target


def test_a_part_without_weights_is_named(folder: Path) -> None:
    (folder / UNET).unlink()
    with pytest.raises(BaseError, match="unet has no weights"):
        loaded(folder)


@pytest.mark.parametrize("path", [UNET, TEXT])
def test_damaged_weights_are_named(folder: Path, path: str) -> None:
    (folder / path).write_bytes((folder / path).read_bytes()[:1000])
    with pytest.raises(BaseError, match=Path(path).parent.name):
        loaded(folder)


@pytest.mark.parametrize(
    ("path", "name"),
    [(UNET, "conv_in.weight"), (TEXT, "final_layer_norm.weight"), ("vae/diffusion_pytorch_model.safetensors", "conv")],
)
def test_weights_that_lack_a_tensor_are_not_made_up(folder: Path, path: str, name: str) -> None:
    rewritten(folder / path, lambda tensors: {k: t for k, t in tensors.items() if name not in k})
    with pytest.raises(BaseError, match=Path(path).parent.name):
        loaded(folder)


def test_unknown_devices_and_dtypes_are_refused(make_base: MakeBase) -> None:
    with pytest.raises(InputError, match="there is no device abacus"):
        load_base(at(make_base()), device="abacus")
    with pytest.raises(InputError, match="`dtype` fp4: choose one of fp32, bf16, fp16"):
        load_base(at(make_base()), device="cpu", dtype="fp4")


def test_without_an_image_encoder_only_looking_is_an_error(folder: Path) -> None:
    shutil.rmtree(folder / "image_encoder")
    mine = loaded(folder)
    assert mine.image_encoder is None
    with pytest.raises(InputError, match="mine has no image encoder"):
        mine.encode_images([torch.zeros(16, 16, 3, dtype=torch.uint8).numpy()])


def test_half_precision_predicts_about_the_same(load: LoadBase, base: Base) -> None:
    text = base.text.encode(["a dog"])
    noisy, timesteps = torch.randn(1, 4, 2, 8, 8, generator=torch.Generator().manual_seed(0)), torch.tensor([500])
    half = load(dtype="bf16").predict(noisy, timesteps, text)
    assert half.dtype == torch.float32
    whole = base.predict(noisy, timesteps, text)
    assert not torch.equal(half, whole)
    assert (half - whole).abs().mean() < 0.05 * whole.abs().mean()


# --- objective ---


def test_another_objective_is_refused(folder: Path) -> None:
    path = folder / "scheduler" / "scheduler_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "prediction_type": "sample"}))
    with pytest.raises(InputError, match="'sample'; known are epsilon, v_prediction and flow"):
        loaded(folder)


# --- encoders ---


def test_a_token_is_textual_inversion(base: Base) -> None:
    """As if the embedding were a row of the encoder's own table."""
    token = torch.randn(32, generator=torch.Generator().manual_seed(0))
    encoder, tokenizer = copy.deepcopy(encoder_of(base)), copy.deepcopy(text_of(base).prompts.tokenizer)
    tokenizer.add_tokens(["<by-hand>"])
    place = tokenizer.convert_tokens_to_ids("<by-hand>")
    encoder.resize_token_embeddings(place + 1)
    with torch.no_grad():
        encoder.get_input_embeddings().weight[place] = token
    for prompt in ("a *", "a * dances", "*, and another *!", "the*"):
        written = prompt.replace("*", " <by-hand> ")
        ids = tokenizer(written, padding="max_length", max_length=16, truncation=True, return_tensors="pt").input_ids
        expected = encoder(ids)[0]
        assert (ids == place).sum() == prompt.count("*")
        torch.testing.assert_close(base.text.encode([prompt], token).embeddings, expected)
        assert not torch.allclose(base.text.encode([prompt]).embeddings, expected, atol=0.01)


def test_a_token_leaves_the_encoder_as_it_was(base: Base) -> None:
    before = base.text.encode(["a dog"]).embeddings
    base.text.encode(["a *"], torch.randn(32))
    assert torch.equal(base.text.encode(["a dog"]).embeddings, before)
    assert torch.equal(base.text.encode(["a dog"], torch.randn(32)).embeddings, before)


def test_the_class_word_is_its_embedding_or_their_mean(base: Base) -> None:
    table = encoder_of(base).get_input_embeddings().weight
    for word in ("dog", "xylophone"):
        ids = text_of(base).prompts.tokenizer(word, add_special_tokens=False).input_ids
        torch.testing.assert_close(text_of(base).word_embedding(word), table[ids].mean(dim=0))
    assert len(text_of(base).prompts.tokenizer("xylophone", add_special_tokens=False).input_ids) > 1
    with pytest.raises(InputError, match="is empty"):
        text_of(base).word_embedding(" ")


@settings(max_examples=25, deadline=None)
@given(st.text(st.characters(codec="utf-8"), max_size=12))
def test_any_prompt_is_encoded_without_an_unknown_token(base: Base, prompt: str) -> None:
    ids = text_of(base).prompts.tokenizer(prompt, add_special_tokens=False).input_ids
    assert (
        text_of(base).prompts.tokenizer.unk_token_id is None
        or text_of(base).prompts.tokenizer.unk_token_id not in ids[:-1]
    )
    assert base.text.encode([prompt]).embeddings.shape == (1, 16, 32)
    assert base.text.encode([prompt, "*"], torch.zeros(32)).embeddings.isfinite().all()


def test_the_tokens_own_name_is_only_text(base: Base) -> None:
    assert base.text.encode([f"a {TOKEN}"]).embeddings.shape == (1, 16, 32)


def test_pictures_go_through_the_autoencoder_at_its_scale(base: Base) -> None:
    windows = torch.rand(2, 3, 5, 16, 24, generator=torch.Generator().manual_seed(0)) * 2 - 1
    mean, std = base.codec.encode(windows)
    decoded = base.codec.decode(mean)
    factor = vae_of(base).config.scaling_factor
    for window in range(2):
        posterior = vae_of(base).encode(windows[window].transpose(0, 1)).latent_dist
        torch.testing.assert_close(mean[window].transpose(0, 1), posterior.mean * factor, atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(std[window].transpose(0, 1), posterior.std * factor, atol=1e-5, rtol=1e-4)
        pictures = vae_of(base).decode(posterior.mean).sample
        torch.testing.assert_close(decoded[window].transpose(0, 1), pictures, atol=1e-4, rtol=1e-3)
