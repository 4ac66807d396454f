"""The paper's authors' files (VGen's) as adapters and bases of dv's."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from dreamvideo_cli.jobs.bases import chosen_base, fingerprint_of, named_base
from dreamvideo_cli.jobs.publishing import imported_name, imported_row
from engine.bases.location import BaseInfo, BaseLocation, inspect_base
from engine.data.files import sha256_of
from engine.errors import AdapterError, InputError
from engine.methods.common import setting
from engine.prompts import PLACEHOLDER, check_text

if TYPE_CHECKING:
    from torch import Tensor

    from engine.adapters.storage import AdapterFiles
    from registry import Adapter, NewAdapter, Registry

_SUFFIXES = (".pth", ".pt")


@dataclass(frozen=True)
class VgenOptions:
    """What to say of a file of VGen's, but for a subject's class word."""

    kind: Literal["subject", "motion"] | None = setting(None, "What a file of VGen's (.pth) holds.", unset="none")
    prompt: str | None = setting(None, "The prompt that the motion's clips were learnt by.", unset="none")
    base: str | None = setting(None, "The base that it was made for.", unset="the default base")
    token: str | None = setting(None, "The subject's token file of VGen's.", unset="none")
    appearance: str | None = setting(None, "A picture for appearance guidance to look at.", unset="none")


@dataclass(frozen=True)
class VgenFile(VgenOptions):
    """All that is to be said of a file of VGen's."""

    class_word: str | None = None


def is_vgen(file: Path, given: VgenFile) -> bool:
    """Whether a file is to be read as one of VGen's. Raises `InputError` for options that others don't read."""
    if file.suffix.lower() in _SUFFIXES:
        return True
    if given != VgenFile():
        raise InputError(f"{file} is none of VGen's files (.pth) and no LoRA (.safetensors): its name is all it needs")
    return False


def import_vgen(
    file: Path, name: str | None, given: VgenFile, registry: Registry, *, dry_run: bool = False
) -> Adapter | None:
    """Take in an adapter or token of VGen's under a `name`, or the file's; give it, or None for a dry run.

    Everything is checked first. Raises the engine's and the registry's errors.
    """
    from engine.adapters.storage import write_adapter

    if given.kind is None:
        raise InputError(f"{file.name} is a file of VGen's: say what it holds with `kind` subject or motion")
    called = imported_name(name, file, given.kind)
    registry.next_version(called, given.kind)
    _check_given(given)
    location = chosen_base(registry, given.base)
    info = inspect_base(location)
    adapter, step = _read(file, given, info)
    if dry_run:
        return None
    with registry.staging() as staged:
        write_adapter(adapter, staged)
        return registry.publish(staged, _row(called, adapter, step, file, given, location), [])


def _check_given(given: VgenFile) -> None:
    for field in ("class_word", "prompt"):
        check_text(getattr(given, field) or "", f"`{field}`")
    if given.kind == "subject" and not (given.class_word or "").strip():
        raise InputError("`class_word` is missing: give the word for what the subject is, as in `class_word` dog")
    if given.kind == "motion" and (given.class_word or given.token):
        raise InputError("`class_word` and `token` are a subject's: leave them out for a motion")
    if given.kind == "subject" and given.prompt:
        raise InputError("`prompt` is a motion's: leave it out for a subject")


def _read(file: Path, given: VgenFile, info: BaseInfo) -> tuple[AdapterFiles, int]:
    """The adapter that the files make, and the step that it is of."""
    from engine.adapters.storage import AdapterFiles
    from engine.vgen.adapters import VgenAdapter, read_adapter_file, read_token_file

    assert given.kind is not None
    token = read_token_file(file) if given.kind == "subject" else None
    read = VgenAdapter({}, {}, 0, None)
    if token is None:
        read = read_adapter_file(file, given.kind, info)
        token = _token(Path(given.token)) if given.token is not None else None
    elif given.token is not None:
        raise InputError(f"{file.name} is a token file itself: leave `token` out")
    if token is not None and token.shape[-1] != info.cross_attention_dim:
        raise AdapterError(
            f"the token has width {token.shape[-1]}, and the base {info.location.name} takes {info.cross_attention_dim}"
        )
    if read.condition_width not in (None, info.image_embedding_width or read.condition_width):
        raise AdapterError(
            f"the motion's appearance guidance has width {read.condition_width}, and the base's image encoder gives "
            f"{info.image_embedding_width}"
        )
    embeddings = _embeddings(Path(given.appearance), info.location) if given.appearance is not None else None
    word = PLACEHOLDER if token is not None or given.kind == "motion" else str(given.class_word).strip()
    made = AdapterFiles(
        given.kind, _method(given.kind, read, token), fingerprint_of(info.location, info), read.state, read.widths,
        token, embeddings, word=word,
    )  # fmt: skip
    return made, read.step


def _token(file: Path) -> Tensor:
    from engine.vgen.adapters import read_token_file

    token = read_token_file(file)
    if token is None:
        raise AdapterError(f"{file} is not a token file of VGen's: it has no string_to_param")
    return token


def _embeddings(picture: Path, location: BaseLocation) -> Tensor:
    from engine.bases.load import load_base
    from engine.data.images import read_image

    return load_base(location, device="cpu").encode_images([read_image(picture)])


def _method(kind: str, read: Any, token: Tensor | None) -> str:
    """What dv calls what was learnt so."""
    if kind == "motion":
        return "dreamvideo" if read.condition_width is not None else "dreamvideo-no-guidance"
    if not read.state:
        return "textual-inversion"
    return "dreamvideo" if token is not None else "dreamvideo-no-token"


def _row(
    name: str, adapter: AdapterFiles, step: int, file: Path, given: VgenFile, location: BaseLocation
) -> NewAdapter:
    files = [file] if given.token is None else [file, Path(given.token)]
    told = {"vgen_files": [{"name": path.name, "sha256": sha256_of(path)} for path in files]}
    return imported_row(
        kind=adapter.kind,
        name=name,
        base_fingerprint=adapter.base_fingerprint,
        base_name=location.name,
        method=adapter.method,
        hyperparameters=told,
        origins={"vgen_files": "option"},
        steps=step,
        class_word=given.class_word,
        prompt=given.prompt,
    )


def is_vgen_denoiser(model: str, beside: str | None, into: Path | None) -> bool:
    """Whether a base is to be made of a file. Raises `InputError` where what that needs is missing, or not needed."""
    file = Path(model).suffix.lower() in _SUFFIXES and not Path(model).is_dir()
    if file and beside is None:
        raise InputError(f"{model} is a denoiser alone: name a base that has the other parts with `beside`")
    if not file and (beside is not None or into is not None):
        raise InputError("`beside` and `into` are for a .pth of VGen's denoiser alone: leave them out")
    return file


def base_from_vgen(file: Path, beside: str, into: Path | None, registry: Registry) -> Path:
    """Write VGen's denoiser in `file` and the other parts of the base `beside` into a new folder, and give that:
    `into`, or the file's own name without its suffix. Raises `BaseError`."""
    from engine.vgen.denoiser import write_base

    folder = (into or file.with_suffix("")).expanduser().absolute()
    write_base(file, inspect_base(named_base(registry, beside)), folder)
    return folder
