"""A registry of a test's own, and something to publish in it."""

from __future__ import annotations

import os
import secrets
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from registry import Adapter, NewAdapter, Registry, Source
from tests.registry import servers

Publish = Callable[..., Adapter]


def new_adapter(name: str = "chowchow", **changes: Any) -> NewAdapter:
    values: dict[str, Any] = {
        "kind": "subject",
        "name": name,
        "base_fingerprint": "f" * 64,
        "base_name": "embedded",
        "method": "dreamvideo",
        "hyperparameters": {"steps": 3000, "learning_rate": 1e-4, "betas": [0.9, 0.999], "masks": None},
        "origins": {"steps": "option", "learning_rate": "paper"},
        "seed": 7,
        "device": "cpu",
        "dtype": "float32",
        "library_versions": {"torch": "2.13.0"},
        "started_at": "2026-01-01T10:00:00+00:00",
        "ended_at": "2026-01-01T11:00:00+00:00",
        "steps": 3000,
        "final_loss": 0.125,
        "dv_version": "0.1.0",
        "class_word": "dog",
    }
    return NewAdapter(**{**values, **changes})


def image_source(path: str = "/photographs/1.jpg", **changes: Any) -> Source:
    values: dict[str, Any] = {
        "path": path,
        "sha256": "a" * 64,
        "bytes": 1234,
        "width": 640,
        "height": 480,
        "frames": 1,
        "role": "image",
    }
    return Source(**{**values, **changes})


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "databases(*names): which databases a test runs on, sqlite alone by default")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    marker = metafunc.definition.get_closest_marker("databases")
    if marker is not None:
        metafunc.parametrize("database", marker.args, indirect=True)


@pytest.fixture(scope="session")
def socket() -> Iterator[Path]:
    """The folder of a running server's socket. It holds a database that is of the newest layout, to copy."""
    programs = servers.binaries()
    if programs is None:
        missing = "there is no PostgreSQL server: apt-get install postgresql"
        # Said as a skip, nobody would hear it there.
        if os.environ.get("CI"):
            pytest.fail(missing)
        pytest.skip(missing)
    with servers.running(programs) as folder:
        servers.create(folder, servers.TEMPLATE)
        # For no longer than this: other tests run in this process while the server does.
        with pytest.MonkeyPatch.context() as patch, tempfile.TemporaryDirectory() as home:
            patch.setenv("DV_REGISTRY_URL", servers.address(folder, servers.TEMPLATE))
            Registry.open(Path(home)).close()
        yield folder


@pytest.fixture(autouse=True)
def database(request: pytest.FixtureRequest) -> Iterator[str]:
    """What the registry of a test is in; on PostgreSQL it is a database of the test's own."""
    chosen = str(getattr(request, "param", "sqlite"))
    # Not the test's own patch: that may be undone halfway.
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("DV_REGISTRY_URL", raising=False)
        if chosen == "postgresql":
            socket = request.getfixturevalue("socket")
            name = f"test_{secrets.token_hex(6)}"
            servers.create(socket, name, servers.TEMPLATE)
            patch.setenv("DV_REGISTRY_URL", servers.address(socket, name))
        yield chosen


@pytest.fixture
def registry(tmp_path: Path, database: str) -> Iterator[Registry]:
    with Registry.open(tmp_path / "home") as opened:
        yield opened


@pytest.fixture
def make_adapter() -> Callable[..., NewAdapter]:
    return new_adapter


@pytest.fixture
def make_source() -> Callable[..., Source]:
    return image_source


@pytest.fixture
def publish(registry: Registry) -> Publish:
    """Publish an adapter of one small file: `publish("dog", kind="subject", ...)`."""

    def publish_one(name: str = "chowchow", *, content: bytes = b"weights", **changes: Any) -> Adapter:
        with registry.staging() as staged:
            (staged / "adapter.safetensors").write_bytes(content)
            return registry.publish(staged, new_adapter(name, **changes), [image_source()])

    return publish_one
