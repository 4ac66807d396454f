"""Read-only queries of lists and completion, in plain SQL: importing SQLAlchemy takes longer than a whole list."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields
from typing import Any

from registry.records import Adapter, Kind, Labels, Query, SortKey

Execute = Callable[[str, Sequence[object]], Iterable[Sequence[Any]]]
"""Runs a query with `?` for each value, and gives its rows."""


@dataclass(frozen=True)
class Dialect:
    """Where databases differ: how to compare a text with a pattern, and to write a shell's pattern (`*`, `?`; every
    letter is itself alone) for that, to sort texts by their letters' numbers, and to ask for the tables' names."""

    matches: str
    pattern: Callable[[str], str]
    collation: str
    tables: str


def _as_glob(pattern: str) -> str:
    return pattern.replace("[", "[[]")


def _as_like(pattern: str) -> str:
    for special in "!%_":
        pattern = pattern.replace(special, f"!{special}")
    return pattern.replace("*", "%").replace("?", "_")


SQLITE = Dialect("GLOB ?", _as_glob, "BINARY", "SELECT name FROM sqlite_master WHERE type = 'table'")
POSTGRESQL = Dialect(
    "LIKE ? ESCAPE '!'",
    _as_like,
    '"C"',
    "SELECT tablename FROM pg_tables WHERE schemaname = current_schema()",
)

# A value's name is its column's.
_COLUMNS = tuple(field.name for field in fields(Adapter))
_DOCUMENTS = frozenset(field.name for field in fields(Adapter) if str(field.type).startswith("dict"))
_ORDERS: dict[SortKey, tuple[str, ...]] = {
    "age": (),
    "name": ("name", "version"),
    "kind": ("kind",),
    "base": ("base_name",),
    "method": ("method",),
    "steps": ("steps",),
    "size": ("size",),
}
_TEXTS = frozenset({"name", "kind", "base_name", "method"})


def adapters(execute: Execute, dialect: Dialect, query: Query) -> list[tuple[Adapter, Labels]]:
    """Give the adapters that fit and their labels, in order; equals in the order of their coming."""
    fitting, values = _fitting(dialect, query)
    way = " DESC" if query.reverse else ""
    keys = [f"{key} COLLATE {dialect.collation}" if key in _TEXTS else key for key in (*_ORDERS[query.sort], "id")]
    found = list(
        execute(
            f"SELECT id, note, {', '.join(_COLUMNS)} FROM adapters WHERE id IN ({fitting}) "
            f"ORDER BY {', '.join(key + way for key in keys)}",
            values,
        )
    )
    tags: dict[int, list[str]] = {}
    for id, tag in execute(f"SELECT adapter_id, tag FROM tags WHERE adapter_id IN ({fitting})", values):
        tags.setdefault(id, []).append(tag)
    return [
        (_adapter(own), Labels(tuple(sorted(tags.get(id, ()))), note)) for id, note, *own in found
    ]  # fmt: skip


def count(execute: Execute, dialect: Dialect, query: Query) -> int:
    """Count the adapters that fit."""
    fitting, values = _fitting(dialect, query)
    return sum(number for (number,) in execute(f"SELECT count(*) FROM ({fitting}) AS fitting", values))


def names(execute: Execute, kind: Kind | None, start: str) -> list[str]:
    """Give the names that begin with `start`, in the order of their coming."""
    query = "SELECT name FROM adapters WHERE substr(name, 1, ?) = ?"
    values: list[object] = [len(start), start]
    if kind is not None:
        query, values = f"{query} AND kind = ?", [*values, kind]
    return [name for (name,) in execute(f"{query} GROUP BY name ORDER BY min(id)", values)]


def versions(execute: Execute, kind: Kind | None, name: str) -> list[int]:
    """Give the numbers of a name's versions, in order."""
    query, values = "SELECT version FROM adapters WHERE name = ?", [name]
    if kind is not None:
        query, values = f"{query} AND kind = ?", [*values, kind]
    return [version for (version,) in execute(f"{query} ORDER BY version", values)]


def bases(execute: Execute) -> list[str]:
    """Give the names of the bases that were added."""
    return sorted(name for (name,) in execute("SELECT name FROM bases", ()))


def _fitting(dialect: Dialect, query: Query) -> tuple[str, list[object]]:
    """A question for the ids of the adapters that fit, and its values."""
    conditions: list[str] = []
    values: list[object] = []
    for column, wanted in (("kind", query.kind), ("base_name", query.base), ("method", query.method)):
        if wanted is not None:
            conditions.append(f"{column} = ?")
            values.append(wanted)
    if query.name is not None:
        conditions.append(f"name {dialect.matches}")
        values.append(dialect.pattern(query.name))
    for tag in query.tags:
        conditions.append("id IN (SELECT adapter_id FROM tags WHERE tag = ?)")
        values.append(tag)
    sql = "SELECT id FROM adapters" + (f" WHERE {' AND '.join(conditions)}" if conditions else "")
    if query.limit is not None:
        sql += " ORDER BY id DESC LIMIT ?"
        values.append(query.limit)
    return sql, values


def _adapter(values: Sequence[Any]) -> Adapter:
    own = dict(zip(_COLUMNS, values, strict=True))
    # Some drivers read JSON themselves.
    own |= {name: json.loads(own[name]) for name in _DOCUMENTS if isinstance(own[name], str)}
    return Adapter(**own)
