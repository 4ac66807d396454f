"""What is tagged or noted in a registry."""

from __future__ import annotations

from registry import Catalog, Labels, Query, Registry


def labels_in(registry: Registry) -> dict[str, Labels]:
    """The labels of every adapter that has any, by its id."""
    with Catalog.open(registry.folder) as catalog:
        return {adapter.id: labels for adapter, labels in catalog.adapters(Query()) if labels != Labels()}
