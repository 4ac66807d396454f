"""The bases as rows of a listing."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from registry import Registry


def base_rows(registry: Registry) -> list[dict[str, object]]:
    """One row a base, the embedded one first."""
    from dreamvideo_cli.jobs.bases import default_base, location_of
    from engine.bases.location import EMBEDDED

    chosen = default_base(registry).name
    known = [(EMBEDDED, None, None), *((location_of(row), row.fingerprint, row.lineage) for row in registry.bases())]
    return [
        {
            "name": location.name,
            "model": "comes with dv" if location is EMBEDDED else location.model,
            "image_encoder": location.image_encoder,
            "motion_module": location.motion_module,
            "fingerprint": fingerprint,
            "tuned_from": lineage["parent"]["name"] if lineage is not None else None,
            "default": location.name == chosen,
        }
        for location, fingerprint, lineage in known
    ]
