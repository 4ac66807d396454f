"""Several that publish, tag, rename, prune, verify and list one registry at the same time."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest

from registry import NewAdapter, Registry, UnknownNameError
from registry.pruning import Limits

pytestmark = pytest.mark.databases("sqlite", "postgresql")

ROUNDS = 12
Work = Callable[[Registry, int], object]


def test_nobody_gets_in_the_way_of_another(tmp_path: Path, make_adapter: Callable[..., NewAdapter]) -> None:
    def publish(registry: Registry, number: int) -> None:
        with registry.staging() as staged:
            (staged / "adapter.safetensors").write_text(f"{number}")
            registry.publish(staged, make_adapter("dog", seed=number), [])

    def tag(registry: Registry, number: int) -> None:
        for adapter in registry.adapters()[-1:]:
            registry.add_tags(adapter, [f"tag{number}"])

    def rename(registry: Registry, number: int) -> None:
        registry.rename("dog", f"rex{number}")

    def prune(registry: Registry, _: int) -> None:
        registry.pruner.carry_out(registry.pruner.plan(Limits(whats=frozenset({"orphan", "snapshot", "run"}))))

    def verify(registry: Registry, _: int) -> None:
        assert [finding for finding in registry.check(registry.adapters()) if finding.is_mismatch] == []

    def work(doing: Work) -> None:
        for number in range(ROUNDS):
            # Unknown: renamed by another just now.
            with Registry.open(tmp_path / "home") as registry, suppress(UnknownNameError):
                doing(registry, number)

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(work, (publish, publish, tag, rename, prune, verify)))
    with Registry.open(tmp_path / "home") as registry:
        adapters = registry.adapters()
        assert sorted(adapter.seed for adapter in adapters) == sorted([*range(ROUNDS), *range(ROUNDS)])
        assert len({adapter.id for adapter in adapters}) == len(adapters)
        assert all(finding.state == "ok" for finding in registry.check(adapters))
        prune(registry, 0)
        files = {path.parent for path in (registry.folder / "adapters").rglob("*") if path.is_file()}
        assert files == {registry.path(adapter) for adapter in adapters}
