"""`dv` on a registry that stays open beside it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from registry import Registry

Dv = Callable[..., Any]


@pytest.fixture
def registry(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Registry]:
    """The registry that the commands work on; its tables need a little width."""
    monkeypatch.setenv("COLUMNS", "120")
    with Registry.open() as opened:
        yield opened


@pytest.fixture
def checked(dv: Dv, registry: Registry) -> Dv:
    """Run `dv`, and see that it ends with `check`."""

    def call(*arguments: object, check: int = 0) -> Any:
        done = dv(*arguments)
        assert done.code == check, done.err
        return done

    return call
