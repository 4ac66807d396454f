"""The one set of a component's files: chosen by the libraries' naming, fetched, hashed and loaded alike."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file, save_file

from engine.bases.base import Base
from engine.bases.fingerprint import fingerprint
from engine.bases.hub import local_folder
from engine.bases.load import load_base
from engine.bases.location import EMBEDDED, BaseLocation, inspect_base
from engine.bases.weights import chosen, weights_of
from engine.errors import BaseError
from engine.evaluation.judges import ClipJudge
from tests.engine.unet3d_parts import encoder_of

MakeBase = Callable[..., Path]
UNET, TEXT = "unet/diffusion_pytorch_model.safetensors", "text_encoder/model.safetensors"


@pytest.fixture
def folder(make_base: MakeBase, tmp_path: Path) -> Path:
    """A base that a test may spoil."""
    return Path(shutil.copytree(make_base(), tmp_path / "base"))


def at(folder: Path) -> BaseLocation:
    return BaseLocation("mine", str(folder))


def loaded(folder: Path) -> Base:
    return load_base(at(folder), device="cpu")


def in_shards(path: Path, variant: str, spelling: str) -> None:
    """Write a component's weights as two shards and an index, as the libraries spell it, in place of one file."""
    state, suffix = load_file(path), "safetensors"
    names = sorted(state)
    index: dict[str, str] = {}
    for number, part in enumerate((names[::2], names[1::2]), start=1):
        place = f"0000{number}-of-00002"
        name = {
            "plain": f"{path.stem}-{place}.{suffix}",
            "new": f"{path.stem}.{variant}-{place}.{suffix}",
            "old": f"{path.stem}-{place}.{variant}.{suffix}",
        }[spelling]
        save_file({key: state[key].contiguous() for key in part}, path.with_name(name))
        index |= dict.fromkeys(part, name)
    of = {"plain": "index", "new": f"index.{variant}", "old": f"{variant}.index"}[spelling]
    path.with_name(f"{path.stem}.{suffix}.{of}.json").write_text(json.dumps({"metadata": {}, "weight_map": index}))
    path.unlink()


def other_values(path: Path, name: str) -> None:
    """Put weights of other values beside a component's, under `name`."""
    state = {key: tensor + 1 for key, tensor in load_file(path).items()}
    target = path.with_name(name)
    torch.save(state, target) if name.endswith(".bin") else save_file(state, target)


def first_weights(base: Base) -> list[torch.Tensor]:
    return [next(iter(model.parameters())) for model in (base.denoiser, encoder_of(base))]


@pytest.mark.parametrize("path", [UNET, TEXT])
@pytest.mark.parametrize("spelling", ["plain", "new", "old"])
def test_shards_of_any_spelling_are_the_same_base(folder: Path, base: Base, path: str, spelling: str) -> None:
    in_shards(folder / path, "fp16", spelling)
    mine = loaded(folder)
    assert mine.fingerprint == base.fingerprint
    assert all(map(torch.equal, first_weights(mine), first_weights(base)))


@pytest.mark.parametrize("path", [UNET, TEXT])
def test_a_variant_alone_is_the_same_base(folder: Path, base: Base, path: str) -> None:
    source = folder / path
    source.rename(source.with_name(f"{source.stem}.fp16.safetensors"))
    mine = loaded(folder)
    assert mine.fingerprint == base.fingerprint
    assert all(map(torch.equal, first_weights(mine), first_weights(base)))


@pytest.mark.parametrize(
    ("path", "beside"),
    [
        (UNET, "diffusion_pytorch_model.fp16.safetensors"),
        (UNET, "diffusion_pytorch_model.non_ema.safetensors"),
        (UNET, "diffusion_pytorch_model.bin"),
        (UNET, "diffusion_pytorch_model.fp16-00001-of-00001.safetensors"),
        (UNET, "other.safetensors"),
        (TEXT, "model.fp16.safetensors"),
        (TEXT, "pytorch_model.bin"),
        (TEXT, "open_clip_pytorch_model.bin"),
        (TEXT, "open_clip_model.safetensors"),
        (TEXT, "diffusion_pytorch_model.fp16.safetensors"),
    ],
)
def test_other_files_beside_the_weights_change_nothing(folder: Path, base: Base, path: str, beside: str) -> None:
    before = inspect_base(at(folder)).components
    other_values(folder / path, beside)
    mine = loaded(folder)
    assert mine.fingerprint == base.fingerprint and mine.info.components == before
    assert all(map(torch.equal, first_weights(mine), first_weights(base)))


def test_a_missing_shard_is_named(folder: Path) -> None:
    in_shards(folder / UNET, "fp16", "new")
    shard = next((folder / "unet").glob("*00002-of*"))
    shard.unlink()
    with pytest.raises(BaseError, match=shard.name):
        fingerprint(inspect_base(at(folder)))


@pytest.mark.parametrize("content", ["", "{}", '{"weight_map": {}}', '{"weight_map": {"a": "../../../x.safetensors"}}'])
def test_a_damaged_index_is_named(folder: Path, content: str) -> None:
    in_shards(folder / UNET, "fp16", "plain")
    (folder / "unet" / "diffusion_pytorch_model.safetensors.index.json").write_text(content)
    with pytest.raises(BaseError, match=r"index\.json"):
        weights_of(folder / "unet")


def test_weights_under_a_foreign_name_are_named(folder: Path) -> None:
    (folder / UNET).rename(folder / "unet" / "mine.safetensors")
    with pytest.raises(BaseError, match=r"unet has no weights .*mine\.safetensors"):
        weights_of(folder / "unet")


@pytest.mark.parametrize("path", [UNET, TEXT])
@pytest.mark.parametrize("damage", ["empty", "nested", "list", "text"])
def test_damaged_bins_are_named(folder: Path, path: str, damage: str) -> None:
    source = folder / path
    name = "pytorch_model.bin" if source.stem == "model" else f"{source.stem}.bin"
    target = source.with_name(name)
    if damage == "nested":
        torch.save({"state_dict": load_file(source)}, target)
    elif damage == "list":
        torch.save(list(load_file(source).values()), target)
    else:
        target.write_bytes(b"" if damage == "empty" else b"version https://git-lfs.github.com/spec/v1\n")
    source.unlink()
    with pytest.raises(BaseError, match=name):
        fingerprint(inspect_base(at(folder)))
    with pytest.raises(BaseError, match=source.parent.name):
        loaded(folder)


@pytest.mark.parametrize("content", ["{}", '{"model": 1}', "[]", "\x00"])
@pytest.mark.parametrize("part", ["tokenizer/tokenizer.json", "scheduler/scheduler_config.json", "vae/config.json"])
def test_any_damaged_file_of_a_base_is_an_error_of_the_base(folder: Path, part: str, content: str) -> None:
    (folder / part).write_text(content)
    try:
        loaded(folder)
    except BaseError as error:
        assert part.split("/")[0] in str(error)


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("image_encoder/config.json", '{"projection_dim": "wide"}'),
        ("image_encoder/config.json", '{"projection_dim": null}'),
        ("recommended.json", '{"compose": 3}'),
        ("recommended.json", "[]"),
        ("unet/config.json", '{"_class_name": "UNet3DConditionModel", "cross_attention_dim": "x"}'),
        ("unet/config.json", '{"_class_name": "UNet3DConditionModel", "block_out_channels": 3}'),
        ("unet/config.json", '{"_class_name": ["UNet3DConditionModel"]}'),
        ("vae/config.json", '{"latent_channels": [4]}'),
        ("text_encoder/config.json", '{"max_position_embeddings": {}}'),
    ],
)
def test_a_config_with_values_of_another_kind_is_an_error_of_the_base(folder: Path, file: str, content: str) -> None:
    (folder / file).write_text(content)
    with pytest.raises(BaseError):
        loaded(folder)


def test_the_embedded_bases_fingerprint_stands() -> None:
    """Adapters out there were learnt on it."""
    expected = "a82f2c1b72dec2096560d7008a9f7ea429ce185caf24689a5d32b9b29cc48235"
    assert fingerprint(inspect_base(EMBEDDED)) == expected


# --- a judge ---


def test_a_judge_is_one_set_of_files_too(tmp_path: Path) -> None:
    own = Path(EMBEDDED.model) / "judges" / "clip"
    expected = ClipJudge(own)
    judge = Path(shutil.copytree(own, tmp_path / "judge"))
    other_values(judge / "model.safetensors", "model.fp16.safetensors")
    other_values(judge / "model.safetensors", "open_clip_model.safetensors")
    (judge / "open_clip_config.json").write_text("{}")
    mine = ClipJudge(judge)
    assert mine.identity == expected.identity
    assert torch.equal(mine.texts(["a dog"]), expected.texts(["a dog"]))


# --- the hub ---

MODELSCOPE = [
    *(".gitattributes", "README.md", "model_index.json", "scheduler/scheduler_config.json"),
    *(f"text_encoder/{n}" for n in ("config.json", "model.fp16.safetensors", "model.safetensors")),
    *(f"text_encoder/{n}" for n in ("pytorch_model.bin", "pytorch_model.fp16.bin")),
    *(f"tokenizer/{n}" for n in ("merges.txt", "special_tokens_map.json", "tokenizer_config.json", "vocab.json")),
    *(
        f"{part}/{n}"
        for part in ("unet", "vae")
        for n in (
            "config.json",
            "diffusion_pytorch_model.bin",
            "diffusion_pytorch_model.fp16.bin",
            "diffusion_pytorch_model.fp16.safetensors",
            "diffusion_pytorch_model.safetensors",
        )
    ),
]
ZEROSCOPE = [
    *(".gitattributes", "README.md", "model_index.json", "scheduler/scheduler_config.json"),
    *("text_encoder/config.json", "text_encoder/pytorch_model.bin"),
    *(f"tokenizer/{n}" for n in ("merges.txt", "special_tokens_map.json", "tokenizer_config.json", "vocab.json")),
    *("unet/config.json", "unet/diffusion_pytorch_model.bin", "vae/config.json", "vae/diffusion_pytorch_model.bin"),
    *("zs2_576w/open_clip_pytorch_model.bin", "zs2_576w/text2video_pytorch_model.pth"),
]
LAION = [
    *(".gitattributes", "README.md", "config.json", "merges.txt", "open_clip_config.json", "preprocessor_config.json"),
    *("open_clip_model.safetensors", "open_clip_pytorch_model.bin", "pytorch_model.bin", "model.safetensors"),
    *("special_tokens_map.json", "tokenizer.json", "tokenizer_config.json", "vocab.json"),
]
PARTS = ("unet", "vae", "text_encoder", "tokenizer", "scheduler", "image_encoder")


class Hub:
    """A hub of one repository, whose files hold their own names."""

    def __init__(self, cache: Path, names: Sequence[str], contents: dict[str, str] | None = None) -> None:
        self.cache, self.names, self.contents = cache, names, contents or {}

    def model_info(self, _model: str) -> SimpleNamespace:
        return SimpleNamespace(siblings=[SimpleNamespace(rfilename=name) for name in self.names])

    def snapshot_download(self, _model: str, *, allow_patterns: list[str]) -> str:
        from huggingface_hub.utils._paths import filter_repo_objects

        for name in filter_repo_objects(list(self.names), allow_patterns=allow_patterns):
            target = self.cache / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(self.contents.get(name, "{}"))
        return str(self.cache)

    def put_up(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("huggingface_hub.HfApi", lambda: self)
        monkeypatch.setattr("huggingface_hub.snapshot_download", self.snapshot_download)

    @property
    def fetched(self) -> set[str]:
        return {file.relative_to(self.cache).as_posix() for file in self.cache.rglob("*") if file.is_file()}


def fetched_weights(hub: Hub) -> set[str]:
    return {name for name in hub.fetched if name.endswith((".safetensors", ".bin", ".pth"))}


@pytest.mark.parametrize(
    ("names", "components", "weights"),
    [
        (
            MODELSCOPE,
            PARTS,
            {
                "text_encoder/model.safetensors",
                "unet/diffusion_pytorch_model.safetensors",
                "vae/diffusion_pytorch_model.safetensors",
            },
        ),
        (
            ZEROSCOPE,
            PARTS,
            {
                "text_encoder/pytorch_model.bin",
                "unet/diffusion_pytorch_model.bin",
                "vae/diffusion_pytorch_model.bin",
            },
        ),
        (LAION, ("image_encoder",), {"model.safetensors"}),
        ([n for n in LAION if n != "model.safetensors"], ("image_encoder",), {"pytorch_model.bin"}),
        (["config.json", "image_encoder/config.json", "image_encoder/model.safetensors", "model.safetensors"],
         ("image_encoder",), {"image_encoder/model.safetensors"}),
    ],
)  # fmt: skip
def test_one_set_is_fetched_of_what_the_hub_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, names: list[str], components: tuple[str, ...], weights: set[str]
) -> None:
    hub = Hub(tmp_path / "cache", names)
    hub.put_up(monkeypatch)
    folder = local_folder("somebody/something", components)
    assert fetched_weights(hub) == weights
    places = {"", *(name.rpartition("/")[0] for name in weights), "tokenizer", "scheduler"}
    small = {n for n in names if n.endswith((".json", ".txt")) and n.rpartition("/")[0] in places}
    assert hub.fetched - weights == small
    # What was fetched is what is hashed and loaded.
    for name in weights:
        assert weights_of((folder / name).parent).paths == [folder / name]


def test_shards_on_the_hub_are_fetched_by_their_index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    index = {"weight_map": {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}}
    names = [
        *("config.json", "model.safetensors.index.json", "model.safetensors.index.fp16.json"),
        *(f"model-0000{i}-of-0000{n}.safetensors" for n in (2, 3) for i in range(1, n + 1)),
        *(f"model.fp16-0000{i}-of-00002.safetensors" for i in (1, 2)),
        *(f"pytorch_model-0000{i}-of-00002.bin" for i in (1, 2)),
    ]
    hub = Hub(tmp_path / "cache", names, {"model.safetensors.index.json": json.dumps(index)})
    hub.put_up(monkeypatch)
    assert weights_of(local_folder("somebody/something")).files == tuple(sorted(index["weight_map"].values()))
    assert fetched_weights(hub) == set(index["weight_map"].values())


class Answer:
    """An answer of the hub, as its library's errors want one."""

    def __init__(self, status: int) -> None:
        self.status_code, self.headers, self.request, self.text = status, dict[str, str](), None, ""


def refusal(kind: str) -> Exception:
    from huggingface_hub import errors

    def of(error: type[Exception], status: int) -> Exception:
        made = error.__new__(error)
        Exception.__init__(made, f"{status} Client Error. (Request ID: Root=1-2)\n\nCannot access.")
        made.response = Answer(status)  # type: ignore[attr-defined]
        return made

    missed = errors.LocalEntryNotFoundError("Got: ConnectError")
    return {
        "gated": lambda: of(errors.GatedRepoError, 403),
        "forbidden": lambda: of(errors.HfHubHTTPError, 403),
        "missing": lambda: of(errors.RepositoryNotFoundError, 404),
        "busy": lambda: of(errors.HfHubHTTPError, 429),
        "down": lambda: of(errors.HfHubHTTPError, 503),
        "switched off": lambda: errors.OfflineModeIsEnabled("Cannot reach"),
        "unreachable": lambda: missed,
        "timeout": lambda: TimeoutError("timed out"),
        "full": lambda: OSError(28, "No space left on device"),
    }[kind]()


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("gated", "ask for access .*hf auth login"),
        ("forbidden", "ask for access .*hf auth login"),
        ("missing", "no model somebody/something: check its spelling"),
        ("busy", "no more requests for now"),
        ("down", "out of order .*503"),
        ("switched off", "HF_HUB_OFFLINE is set"),
        ("unreachable", "can't be reached"),
        ("timeout", "can't be reached"),
        ("full", "No space left on device"),
    ],
)
def test_the_hubs_refusals_say_what_to_do(monkeypatch: pytest.MonkeyPatch, kind: str, said: str) -> None:
    def refuse(*_: object, **__: object) -> str:
        raise refusal(kind)

    monkeypatch.setattr("huggingface_hub.HfApi.model_info", refuse)
    monkeypatch.setattr("huggingface_hub.snapshot_download", refuse)
    with pytest.raises(BaseError, match=said) as caught:
        local_folder("somebody/something")
    assert "Client Error" not in str(caught.value)


@pytest.mark.parametrize("model", ["a b/c", "some--body/x", "x/" + "y" * 200, "owner/na\0me"])
def test_an_impossible_id_is_no_traceback(model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(BaseError, match="there is no folder"):
        local_folder(model)


def test_no_names_are_no_weights(tmp_path: Path) -> None:
    assert chosen(tmp_path, []) is None
