"""A base of every family in miniature, and one of a family made up to be unlike the first."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from engine.bases.base import Base
from engine.bases.families import FAMILIES
from engine.bases.load import load_base
from engine.bases.location import BaseInfo, BaseLocation, inspect_base
from tests.engine.bases.tiny_animatediff import write_image_model, write_motion_module
from tests.engine.bases.tiny_joint import TINY_JOINT, write_tiny_joint
from tests.engine.bases.tiny_wan import write_tiny_wan

MakeBase = Callable[..., Path]


@dataclass(frozen=True)
class Sample:
    """A base of a family: what may be asked of any."""

    location: BaseLocation

    @property
    def info(self) -> BaseInfo:
        return inspect_base(self.location)

    def load(self) -> Base:
        """Afresh: learning lets go of a base's encoders."""
        return load_base(self.location, device="cpu")


@pytest.fixture(scope="session", autouse=True)
def known_families() -> Iterator[None]:
    """The table of families, with the made-up one."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(FAMILIES, "TinyJoint", TINY_JOINT)
        yield


@pytest.fixture(scope="session", params=["unet3d", "tiny_joint", "animatediff", "stable_diffusion", "wan"])
def sample(
    request: pytest.FixtureRequest,
    known_families: None,
    make_base: MakeBase,
    tmp_path_factory: pytest.TempPathFactory,
) -> Sample:
    """A base of each family in turn."""
    folder = make_base()
    writers = {"tiny_joint": write_tiny_joint, "wan": write_tiny_wan}
    if request.param in writers:
        other = tmp_path_factory.mktemp(request.param)
        writers[request.param](other)
        shutil.copytree(folder / "image_encoder", other / "image_encoder")
        folder = other
    if request.param in ("animatediff", "stable_diffusion"):
        other = tmp_path_factory.mktemp(request.param)
        write_image_model(other, folder)
        if request.param == "animatediff":
            write_motion_module(other / "motion_module")
        folder = other
    return Sample(BaseLocation(request.param, str(folder)))


@pytest.fixture(scope="session")
def family_base(sample: Sample) -> Base:
    """One base of each family, for the tests that leave it as it was."""
    return sample.load()


@pytest.fixture(scope="module")
def wan_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A base of the family `wan` in miniature."""
    place = tmp_path_factory.mktemp("wan")
    write_tiny_wan(place)
    return place


@pytest.fixture(scope="module")
def image_model(make_base: MakeBase, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An image model like Stable Diffusion in miniature."""
    folder = tmp_path_factory.mktemp("image_model")
    write_image_model(folder, make_base())
    return folder


@pytest.fixture
def photographs(tmp_path: Path) -> list[Path]:
    return _pictures(tmp_path / "photographs", 3, seed=1)


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    """A folder of 12 frames."""
    _pictures(tmp_path / "clip", 12, seed=2)
    return tmp_path / "clip"


def _pictures(folder: Path, count: int, seed: int) -> list[Path]:
    folder.mkdir()
    draw = np.random.default_rng(seed)
    for index in range(count):
        Image.fromarray(draw.integers(0, 256, (16, 16, 3), dtype=np.uint8)).save(folder / f"{index:02}.png")
    return sorted(folder.iterdir())
