"""A suite in parts that run at once, one process each: which cells are whose, and who learns which adapter."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from engine.errors import InputError
from engine.evaluation.suites.results import Cell


@dataclass(frozen=True)
class Shard:
    """Part `number` of `of`, counted from 1."""

    number: int
    of: int

    def __str__(self) -> str:
        return f"{self.number}/{self.of}"

    @property
    def slug(self) -> str:
        """The shard in the name of a file."""
        return f"{self.number}-of-{self.of}"

    def cells(self, cells: Iterable[Cell]) -> frozenset[Cell]:
        """This part of a suite's cells: every `of`-th in the order of their hashes, so that parts are of one size
        and each has something of everything."""
        ordered = sorted(cells, key=lambda cell: _hash(repr(cell.key)))
        return frozenset(ordered[self.number - 1 :: self.of])

    def learning_order(self, identities: Sequence[str]) -> list[str]:
        """The adapters in another order than any other shard's: shards that start together learn different ones."""
        return sorted(identities, key=lambda identity: _hash(f"{self}/{identity}"))


def shard_from(text: str) -> Shard:
    """The shard that `3/16` names. Raises `InputError`."""
    found = re.fullmatch(r"([0-9]{1,9})/([0-9]{1,9})", text, re.ASCII)
    if found is None or not 1 <= int(found[1]) <= int(found[2]):
        raise InputError(
            f"`shard` {text} is no part of a suite: give NUMBER/OF with a number from 1 to OF, as in `shard` 3/16"
        )
    return Shard(int(found[1]), int(found[2]))


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "backslashreplace")).hexdigest()
