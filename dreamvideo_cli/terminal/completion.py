"""What the shell offers after a tab: names that may stand there. Reads the registry, never makes one."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Literal, TypeVar

if TYPE_CHECKING:
    from registry import Catalog

Answer = TypeVar("Answer")


def adapter_names(kind: Literal["subject", "motion"] | None = None) -> Callable[[str], list[str]]:
    """A completion of `name`, once an @ is typed of `name@version`, and once a : is of either at a kept step."""

    def complete(incomplete: str) -> list[str]:
        whole, colon, _ = incomplete.partition(":")
        name, at, version = whole.partition("@")
        if colon:
            if at and not (version.isascii() and version.isdecimal()):
                return []
            steps = _asked(lambda catalog: catalog.kept_steps(name, int(version) if at else None, kind))
            return [id for id in (f"{whole}:{step}" for step in steps) if id.startswith(incomplete)]
        if not at:
            return _asked(lambda catalog: catalog.names(kind, incomplete))
        ids = [f"{name}@{version}" for version in _asked(lambda catalog: catalog.versions(name, kind))]
        return [id for id in ids if id.startswith(incomplete)]

    return complete


def base_names(incomplete: str) -> list[str]:
    """A completion of the known bases' names."""
    return [name for name in ("embedded", *_asked(lambda catalog: catalog.bases())) if name.startswith(incomplete)]


def method_names(kind: Literal["subject", "motion"]) -> Callable[[str], list[str]]:
    """A completion of the methods that learn subjects, or motions."""

    def complete(incomplete: str) -> list[str]:
        from engine.methods.table import methods_of

        return [name for name in methods_of(kind) if name.startswith(incomplete)]

    return complete


def suite_names(incomplete: str) -> list[str]:
    """A completion of the suites that dv brings."""
    from dreamvideo_cli.jobs.suite.shipped import shipped_suites

    return [name for name in shipped_suites() if name.startswith(incomplete)]


def _asked(question: Callable[[Catalog], list[Answer]]) -> list[Answer]:
    """The registry's answer; none where there is no registry that can be read, or what was typed is no text. A tab
    press is no place for an error message."""
    from registry import Catalog, RegistryError

    try:
        with Catalog.open() as catalog:
            return question(catalog)
    except (RegistryError, OSError, UnicodeEncodeError):
        return []
