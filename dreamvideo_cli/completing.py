"""What the shell offers after a tab: names that may stand there. Reads the registry, never makes one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from registry import Registry


def adapter_names(kind: Literal["subject", "motion"] | None = None) -> Callable[[str], list[str]]:
    """A completion of `name` and, once an @ is typed, of `name@version`."""

    def complete(incomplete: str) -> list[str]:
        with _existing() as registry:
            adapters = registry.adapters(kind=kind) if registry is not None else []
        names = [adapter.id if "@" in incomplete else adapter.name for adapter in adapters]
        return [name for name in dict.fromkeys(names) if name.startswith(incomplete)]

    return complete


def base_names(incomplete: str) -> list[str]:
    """A completion of the known bases' names."""
    with _existing() as registry:
        added = [base.name for base in registry.bases()] if registry is not None else []
    return [name for name in ("embedded", *added) if name.startswith(incomplete)]


def method_names(kind: Literal["subject", "motion"]) -> Callable[[str], list[str]]:
    """A completion of the methods that learn subjects, or motions."""

    def complete(incomplete: str) -> list[str]:
        from engine.methods.table import methods_of

        return [name for name in methods_of(kind) if name.startswith(incomplete)]

    return complete


def suite_names(incomplete: str) -> list[str]:
    """A completion of the suites that dv brings."""
    from dreamvideo_cli.shipped import shipped_suites

    return [name for name in shipped_suites() if name.startswith(incomplete)]


@contextmanager
def _existing() -> Iterator[Registry | None]:
    """The registry where there is one that can be read. A tab press is no place for an error message."""
    from registry import Registry, RegistryError, home
    from registry.store import DATABASE

    try:
        registry = Registry.open() if (home() / DATABASE).is_file() else None
    except (RegistryError, OSError):
        registry = None
    if registry is None:
        yield None
        return
    with registry:
        yield registry
