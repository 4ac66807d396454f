"""Which adapters a query finds, and in which order."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from registry import Adapter, Catalog, Query, Registry

pytestmark = pytest.mark.databases("sqlite", "postgresql")

Publish = Callable[..., Adapter]


@pytest.fixture
def filled(registry: Registry, publish: Publish) -> Registry:
    publish("dog", steps=30, content=b"xxx", base_name="zeroscope")
    publish("do_g", steps=10, content=b"xx")
    publish("run", kind="motion", steps=20, content=b"x", method="lora")
    registry.add_tags(publish("dog", steps=40, content=b"xxxx"), ["best", "film"])
    registry.add_tags(registry.find("run"), ["film"])
    return registry


@pytest.mark.parametrize(
    ("query", "found"),
    [
        (Query(), "dog@1 do_g@1 run@1 dog@2"),
        (Query(reverse=True), "dog@2 run@1 do_g@1 dog@1"),
        (Query(kind="motion"), "run@1"),
        (Query(name="do*"), "dog@1 do_g@1 dog@2"),
        (Query(name="do_g"), "do_g@1"),
        (Query(name="d?g"), "dog@1 dog@2"),
        (Query(name="%"), ""),
        (Query(name="DO*"), ""),
        (Query(name="[d]og"), ""),
        (Query(name="d[a-z]g"), ""),
        (Query(name="d!og"), ""),
        (Query(name="d\\og"), ""),
        (Query(base="zeroscope"), "dog@1"),
        (Query(method="lora"), "run@1"),
        (Query(tags=("film",)), "run@1 dog@2"),
        (Query(tags=("film", "best")), "dog@2"),
        (Query(sort="name"), "do_g@1 dog@1 dog@2 run@1"),
        (Query(sort="steps"), "do_g@1 run@1 dog@1 dog@2"),
        (Query(sort="size", reverse=True), "dog@2 dog@1 do_g@1 run@1"),
        (Query(limit=2), "run@1 dog@2"),
        (Query(limit=2, sort="steps", name="do*"), "do_g@1 dog@2"),
        (Query(limit=0), ""),
    ],
)
def test_queries(filled: Registry, query: Query, found: str) -> None:
    with Catalog.open(filled.folder) as catalog:
        assert [adapter.id for adapter, _ in catalog.adapters(query)] == found.split()


def test_an_adapter_is_found_by_its_hash_whatever_its_name(filled: Registry) -> None:
    dog = filled.find("dog@1")
    filled.rename("dog", "rex")
    found = filled.with_hash(dog.file_hash, "subject")
    assert found is not None and found.id == "rex@1"
    assert filled.with_hash(dog.file_hash, "motion") is None
    assert filled.with_hash("0" * 64, "subject") is None
