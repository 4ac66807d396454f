"""What is installed: the packages with all that they read at run time, and nothing else."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("dreamvideo_cli", "engine", "registry")
READ = (
    "engine/bases/embedded/model_index.json",
    "engine/bases/embedded/unet/diffusion_pytorch_model.safetensors",
    "engine/evaluation/pages/templates/report.html",
    "dreamvideo_cli/suites/small.toml",
    "registry/migrations/env.py",
    "registry/migrations/versions/revision_0001.py",
)


@pytest.fixture(scope="module")
def names(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """The files of the wheel, which is built here without a network."""
    pytest.importorskip("hatchling")
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder)]
    done = subprocess.run(build, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as opened:
        return {name for name in opened.namelist() if not name.endswith("/")}


def test_every_file_of_the_packages_is_in_the_wheel(names: set[str]) -> None:
    listed = subprocess.run(["git", "ls-files", "-z", *PACKAGES], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode:
        pytest.skip("only a clone knows which files are the packages'")
    assert {name for name in listed.stdout.split("\0") if name} <= names


def test_what_is_read_at_run_time_is_in_the_wheel(names: set[str]) -> None:
    assert set(READ) <= names
    assert any(name.endswith(".dist-info/entry_points.txt") for name in names)


def test_nothing_else_is_in_the_wheel(names: set[str]) -> None:
    tops = {name.partition("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == set(PACKAGES)
    assert not [name for name in names if "test" in name.rpartition("/")[2] or name.endswith(".pyc")]
