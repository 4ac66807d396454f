"""Where a base lies and what its files say of it, read without loading a weight."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.bases.families import FAMILIES, WITH_MOTION_MODULE, known_denoisers
from engine.bases.family import Family, Layout
from engine.bases.hub import local_folder
from engine.bases.weights import bytes_of
from engine.errors import BaseError

_OTHER_FOLDERS = ("image_encoder", "feature_extractor", "judges/clip", "judges/dino")
"""What a base may have besides its family's parts."""
_INDEX = "model_index.json"


@dataclass(frozen=True)
class BaseLocation:
    """A base by name: a diffusers folder or hub id, and those of the image encoder and the motion module where they lie
    apart."""

    name: str
    model: str
    image_encoder: str | None = None
    motion_module: str | None = None


EMBEDDED = BaseLocation("embedded", str(Path(__file__).parent / "embedded"))
"""The small base that ships with the package."""


@dataclass(frozen=True)
class BaseInfo:
    """What a base's configs tell. `places` are the folders of the family's parts, by part; `components` are the bytes
    of the files that are used; `recommended` has a table of settings for "subject", "motion" and "compose" each;
    `cross_attention_dim` is the width of the text conditioning, of at most `text_tokens` tokens."""

    location: BaseLocation
    folder: Path
    places: Mapping[str, Path]
    image_encoder: Path | None
    family: str
    prediction_type: str
    scheduler: str
    components: dict[str, int]
    recommended: Mapping[str, Mapping[str, object]]
    cross_attention_dim: int
    sample_size: int
    image_embedding_width: int | None
    layout: Layout
    text_tokens: int


def inspect_base(location: BaseLocation) -> BaseInfo:
    """Read a base's configs. Raises `BaseError` naming what is missing or not known."""
    wanted = dict.fromkeys(part for family in FAMILIES.values() for part in family.parts.folders)
    folder = local_folder(location.model, (*wanted, *_OTHER_FOLDERS))
    family = _family_at(folder, location)
    places = _places(location, folder, family)
    configs = {part: _config(place, part) for part, place in places.items() if part != "tokenizer"}
    configs[_INDEX] = _read_json(folder / _INDEX) if (folder / _INDEX).exists() else {}
    facts = family.facts(configs)
    image_encoder = _image_encoder(location, folder)
    return BaseInfo(
        location=location,
        folder=folder,
        places=places,
        image_encoder=image_encoder,
        family=family.name,
        prediction_type=facts.prediction_type,
        scheduler=str(configs["scheduler"].get("_class_name")),
        components={part: bytes_of(place) for part, place in places.items()}
        | ({"image_encoder": bytes_of(image_encoder)} if image_encoder is not None else {}),
        recommended={**family.recommended, **_recommended(folder / "recommended.json")},
        cross_attention_dim=facts.text_width,
        sample_size=facts.sample_size,
        image_embedding_width=_embedding_width(image_encoder),
        layout=facts.layout,
        text_tokens=facts.text_tokens,
    )


def scheduler_config(info: BaseInfo) -> dict[str, Any]:
    """What a base's scheduler is configured as. Raises `BaseError`."""
    return _config(info.places["scheduler"], "scheduler")


def _family_at(folder: Path, location: BaseLocation) -> Family:
    """The family whose denoiser lies in `folder`, by the class that its config names, and by whether it has a motion
    module: one is looked for inside the model, too."""
    places = sorted({family.parts.denoiser for family in FAMILIES.values()})
    place = next((place for place in places if (folder / place).is_dir()), None)
    if place is None:
        raise _lacking(location, "/ or ".join(places))
    kind = str(_config(folder / place, place).get("_class_name"))
    animated = location.motion_module is not None or (folder / "motion_module").is_dir()
    if animated and kind + WITH_MOTION_MODULE in FAMILIES:
        return FAMILIES[kind + WITH_MOTION_MODULE]
    if kind not in FAMILIES:
        raise BaseError(f"the base {location.name} has a {kind}; known are: {known_denoisers()}")
    return FAMILIES[kind]


def _places(location: BaseLocation, folder: Path, family: Family) -> dict[str, Path]:
    """The folder of each of the family's parts. Raises `BaseError` for one that is missing, or that it has no use for.

    The motion module is looked for inside the model, too.
    """
    places = {part: folder / part for part in family.parts.folders}
    if location.motion_module is not None:
        if "motion_module" not in family.parts.apart:
            raise BaseError(f"the base {location.name} has no use for a motion module: leave `motion_module` out")
        places["motion_module"] = local_folder(location.motion_module)
    for part, place in places.items():
        if not place.is_dir():
            raise _lacking(location, part)
    return places


def _lacking(location: BaseLocation, part: str) -> BaseError:
    return BaseError(f"the base {location.name} ({location.model}) has no {part}/ folder: is it a diffusers model?")


def _config(place: Path, part: str) -> dict[str, Any]:
    """A component's config; a scheduler's has a name of its own."""
    return _read_json(place / ("scheduler_config.json" if part == "scheduler" else "config.json"))


def _image_encoder(location: BaseLocation, folder: Path) -> Path | None:
    if location.image_encoder is None:
        own = folder / "image_encoder"
        return own if own.is_dir() else None
    given = local_folder(location.image_encoder, ("image_encoder",))
    inner = given / "image_encoder"
    return inner if inner.is_dir() else given


def _embedding_width(image_encoder: Path | None) -> int | None:
    """The width C' of the image encoder's embeddings; CLIP's default where its config leaves it out."""
    if image_encoder is None:
        return None
    path = image_encoder / "config.json"
    width = _read_json(path).get("projection_dim", 512)
    if type(width) is not int or width < 1:
        raise BaseError(
            f"the base's file {path} has a `projection_dim` of {width!r}: it must be a whole number above 0"
        )
    return width


def _recommended(path: Path) -> dict[str, Mapping[str, object]]:
    """The tables of settings that a base recommends; none where it has no such file."""
    tables = _read_json(path) if path.exists() else {}
    for task, table in tables.items():
        if not isinstance(table, dict):
            raise BaseError(f"the base's file {path} has {table!r} for {task}: it must be a table of settings")
    return tables


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise BaseError(f"the base lacks the file {path}") from error
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise BaseError(f"the base's file {path} is not JSON: {error}") from error
    if not isinstance(content, dict):
        raise BaseError(f"the base's file {path} is not a JSON object")
    return content
