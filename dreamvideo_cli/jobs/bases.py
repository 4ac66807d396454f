"""Which base a command works with: by name, folder or hub id, or the one that adapters were made for."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from dreamvideo_cli.jobs.events import OnEvent, Warned
from engine.bases.hub import folder_at
from engine.bases.location import EMBEDDED, BaseInfo, BaseLocation, inspect_base
from engine.errors import AdapterError, BaseError

if TYPE_CHECKING:
    from registry import Adapter, BaseRow, Registry

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")
SHORT = 12
"""Digits of a fingerprint that people get to see."""


def location_of(row: BaseRow) -> BaseLocation:
    """A registered base as the engine takes it."""
    return BaseLocation(row.name, row.model, row.image_encoder, row.motion_module)


def default_base(registry: Registry) -> BaseLocation:
    """The base that is used where none is named."""
    return next((location_of(row) for row in registry.bases() if row.is_default), EMBEDDED)


def chosen_base(registry: Registry, text: str | None) -> BaseLocation:
    """The base that a user names, or the one that is used where none is. Raises `BaseError`."""
    return named_base(registry, text) if text else default_base(registry)


def named_base(registry: Registry, text: str) -> BaseLocation:
    """The base that a user means: "embedded", an added base's name, a folder, or a hub id.

    Raises `BaseError` where it is none of them.
    """
    if text == EMBEDDED.name:
        return EMBEDDED
    rows = {row.name: row for row in registry.bases()}
    if text in rows:
        return location_of(rows[text])
    folder = folder_at(text)
    if folder is not None:
        return BaseLocation(folder.name, str(folder))
    if _HUB_ID.fullmatch(text):
        return BaseLocation(text, text)
    raise BaseError(
        f"there is no base {text!r}: it is no folder, and the bases you can name are "
        f"{', '.join((EMBEDDED.name, *rows))}. Add one with: dv base add NAME MODEL"
    )


def fingerprint_of(location: BaseLocation, info: BaseInfo | None = None) -> str:
    """A base's fingerprint; quick for a base that was seen before. Raises `BaseError`."""
    from engine.bases.fingerprint import fingerprint

    return fingerprint(info or inspect_base(location))


def base_for(registry: Registry, adapters: Sequence[Adapter], on_event: OnEvent) -> BaseLocation:
    """The base that all the adapters were made for, or the default where there are no adapters.

    Raises `AdapterError` for adapters of different bases, and where their base isn't known here.
    """
    if not adapters:
        return default_base(registry)
    wanted = adapters[0].base_fingerprint
    for other in adapters[1:]:
        if other.base_fingerprint != wanted:
            raise _mismatch(registry, other, adapters[0].base_name, wanted)
    for location, known in _known(registry, wanted, on_event):
        if known == wanted:
            return location
    raise AdapterError(
        f"{adapters[0].id} was made for the base {adapters[0].base_name} ({wanted[:SHORT]}), which isn't among "
        "your bases.\nAdd it with: dv base add NAME MODEL, or name it with `base`."
    )


def check_fit(registry: Registry, adapters: Sequence[Adapter], location: BaseLocation, fingerprint: str) -> None:
    """Raise `AdapterError` for an adapter of another base, with the user's adapters that would fit."""
    for adapter in adapters:
        if adapter.base_fingerprint != fingerprint:
            raise _mismatch(registry, adapter, location.name, fingerprint)


def _known(registry: Registry, wanted: str, on_event: OnEvent) -> Iterator[tuple[BaseLocation, str]]:
    """The user's bases with their fingerprints, those that need no reading of weights first."""
    rows = registry.bases()
    for row in rows:
        if row.fingerprint == wanted:
            yield location_of(row), wanted
    yield EMBEDDED, fingerprint_of(EMBEDDED)
    for row in rows:
        if row.fingerprint is None:
            try:
                found = fingerprint_of(location_of(row))
            except BaseError as error:
                on_event(Warned(f"the base {row.name} can't be read: {error}"))
                continue
            registry.store_fingerprint(row.name, found)
            yield location_of(row), found


def _mismatch(registry: Registry, adapter: Adapter, base_name: str, fingerprint: str) -> AdapterError:
    fitting = [a.id for a in registry.adapters(kind=adapter.kind) if a.base_fingerprint == fingerprint]
    offer = f"Your {adapter.kind}s that fit {base_name}: {', '.join(fitting)}."
    return AdapterError(
        f"{adapter.id} was made for the base {adapter.base_name} ({adapter.base_fingerprint[:SHORT]}), not for "
        f"{base_name} ({fingerprint[:SHORT]}).\n"
        + (offer if fitting else f"None of your {adapter.kind}s fits {base_name}: learn it there with `base`.")
        + " To try it all the same: `allow_other_base`."
    )
