"""Models of the hub: configs, vocabularies and the chosen weights are fetched, never code, never a second variant."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from glob import escape
from pathlib import Path, PurePosixPath

from engine.bases.weights import chosen
from engine.errors import BaseError

_SMALL = (".json", ".txt", ".model", ".jinja")
"""Configs, vocabularies and merges; `.model` is a sentencepiece vocabulary."""


def folder_at(text: str) -> Path | None:
    """The absolute path of the folder that a user means, None where there is none."""
    try:
        folder = Path(text).expanduser()
        return folder.resolve() if folder.is_dir() else None
    except (OSError, RuntimeError, ValueError):  # too long for a path, out of bounds, a NUL, or ~nobody
        return None


def local_folder(model: str, components: Sequence[str] = ()) -> Path:
    """The folder of a model: itself, or the hub's snapshot of an id like `owner/name`.

    `components` are the folders that may hold a component; where the model has none of them, it is a component
    itself. Raises `BaseError`.
    """
    folder = folder_at(model)
    if folder is not None:
        return folder
    if model.count("/") != 1 or model.startswith((".", "/", "~")):
        raise BaseError(f"there is no folder {model}, and it is not a hub id like owner/name")
    try:
        return _fetched(model, components)
    except BaseError:
        raise
    except Exception as error:  # the hub's, the network's and the disk's errors have no root in common
        raise BaseError(_explained(model, error)) from error


def _fetched(model: str, components: Sequence[str]) -> Path:
    """Small files first: an index says which weights there are to fetch."""
    from huggingface_hub import HfApi, snapshot_download

    names: list[str] | None = None
    trouble: Exception | None = None
    try:
        names = [file.rfilename for file in HfApi().model_info(model).siblings or ()]
    except Exception as error:  # the cache may have it: what snapshot_download raises tells
        trouble = error
    if names is None:
        folder = Path(snapshot_download(model, allow_patterns=["model_index.json", "config.json"]))
        names = [file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file()]
        places = _places(names, components)
        if not any(chosen(folder / place, _within(names, place)) for place in places):
            raise trouble if trouble is not None else BaseError(f"the hub's cache has no weights of {model}")
        return folder
    places = _places(names, components)
    small = [name for place in {"", *places} for name in _paths(place, _within(names, place)) if _is_small(name)]
    if not small:
        raise BaseError(f"the hub's {model} has no config.json or model_index.json: it is no model of this kind")
    folder = Path(snapshot_download(model, allow_patterns=[escape(name) for name in small]))
    weights = [
        path
        for place in places
        if (found := chosen(folder / place, _within(names, place))) is not None
        for path in _paths(place, found.files)
    ]
    if weights:
        snapshot_download(model, allow_patterns=[escape(name) for name in (*small, *weights)])
    return folder


def _places(names: Iterable[str], components: Sequence[str]) -> list[str]:
    """The folders of a repository that hold components; its root, "", where there is none of them."""
    there = {PurePosixPath(name).parent.as_posix() for name in names}
    return [place for place in components if place in there] or [""]


def _within(names: Iterable[str], place: str) -> list[str]:
    """The names of the files that lie in a folder itself."""
    paths = [PurePosixPath(name) for name in names]
    return [path.name for path in paths if path.parent.as_posix() == (place or ".")]


def _paths(place: str, names: Iterable[str]) -> list[str]:
    return [f"{place}/{name}" if place else name for name in names]


def _is_small(name: str) -> bool:
    return name.endswith(_SMALL)


def _explained(model: str, error: Exception) -> str:
    """What a person can do about the hub's answer."""
    from huggingface_hub.errors import GatedRepoError, HFValidationError, OfflineModeIsEnabled, RepositoryNotFoundError

    answers = (getattr(e, "response", None) for e in (error, error.__cause__))
    status = next((answer.status_code for answer in answers if answer is not None), None)
    log_in = "log in with `hf auth login` (or set HF_TOKEN)"
    if isinstance(error, HFValidationError):
        return f"{model} is not a hub id like owner/name, and there is no folder {model}"
    if isinstance(error, GatedRepoError) or status == 403:
        return f"the hub gives {model} to those only who may have it: ask for access on its page there, and {log_in}"
    if isinstance(error, RepositoryNotFoundError) or status in (401, 404):
        return f"the hub has no model {model}: check its spelling, or, where it is private, {log_in}"
    if status == 429:
        return f"the hub answers no more requests for now: try {model} again in some minutes, or {log_in}"
    if isinstance(status, int) and status >= 500:
        return f"the hub is out of order (status {status}): try {model} again later, or give a folder"
    if isinstance(error, OfflineModeIsEnabled) or isinstance(error.__cause__, OfflineModeIsEnabled):
        return f"HF_HUB_OFFLINE is set, and {model} is not in the hub's cache: unset it once, or give a folder"
    if status is None and _is_of_the_network(error):
        return f"the hub can't be reached, and {model} is not in its cache: connect to the network, or give a folder"
    reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
    return f"the model {model} can't be fetched from the hub: {reason}"


def _is_of_the_network(error: BaseException) -> bool:
    from huggingface_hub.errors import LocalEntryNotFoundError

    if isinstance(error, ConnectionError | TimeoutError | LocalEntryNotFoundError):
        return True
    return type(error).__module__.startswith("httpx")
