"""What was learnt, where it is, and from what: SQLite or PostgreSQL through SQLModel, adapters' folders beside it.

Names of the public classes are looked up when first used, so that `import registry` costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from registry.catalog import Catalog
    from registry.errors import (
        AddressError,
        DamagedAdapterError,
        DamagedRegistryError,
        InvalidNameError,
        NameTakenError,
        NewerRegistryError,
        PackError,
        RegistryError,
        RegistryUnavailableError,
        UnknownNameError,
    )
    from registry.location import home
    from registry.names import EMBEDDED, AdapterSpec, check_name, check_new_name
    from registry.records import (
        Adapter,
        AdapterAtStep,
        BaseRow,
        Composition,
        CompositionAdapter,
        Kind,
        Labels,
        NewAdapter,
        NewComposition,
        Query,
        Role,
        Run,
        Source,
        SuiteCell,
        SuiteRun,
        adapters_in,
    )
    from registry.store import Registry

__all__ = [
    "EMBEDDED",
    "Adapter",
    "AdapterAtStep",
    "AdapterSpec",
    "AddressError",
    "BaseRow",
    "Catalog",
    "Composition",
    "CompositionAdapter",
    "DamagedAdapterError",
    "DamagedRegistryError",
    "InvalidNameError",
    "Kind",
    "Labels",
    "NameTakenError",
    "NewAdapter",
    "NewComposition",
    "NewerRegistryError",
    "PackError",
    "Query",
    "Registry",
    "RegistryError",
    "RegistryUnavailableError",
    "Role",
    "Run",
    "Source",
    "SuiteCell",
    "SuiteRun",
    "UnknownNameError",
    "adapters_in",
    "check_name",
    "check_new_name",
    "home",
]

_HOMES = {
    "registry.catalog": ("Catalog",),
    "registry.names": ("EMBEDDED", "AdapterSpec", "check_name", "check_new_name"),
    "registry.location": ("home",),
    "registry.records": (
        "Adapter",
        "AdapterAtStep",
        "BaseRow",
        "Composition",
        "CompositionAdapter",
        "Kind",
        "Labels",
        "NewAdapter",
        "NewComposition",
        "Query",
        "Role",
        "Run",
        "Source",
        "SuiteCell",
        "SuiteRun",
        "adapters_in",
    ),
    "registry.store": ("Registry",),
}
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOME_OF.get(name, "registry.errors")), name)
