"""Adapters and bases as plain values for --json, and as rows of the listings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from registry import Adapter, Labels, Source


def adapter_data(adapter: Adapter, sources: Sequence[Source] | None = None) -> dict[str, Any]:
    """An adapter's whole row, its id first; with its sources where they are given."""
    data = {"id": adapter.id, **asdict(adapter)}
    if sources is not None:
        data["sources"] = [asdict(source) for source in sources]
    return data


def label_data(adapter: Adapter, labels: Labels) -> dict[str, Any]:
    """What a user says of an adapter."""
    return {"id": adapter.id, "tags": list(labels.tags), "note": labels.note}
