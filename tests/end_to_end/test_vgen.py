"""The authors' files through the command: a base, a subject with its token, a motion, and a video of all three."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import torch

from tests.end_to_end.conftest import Dv
from tests.engine.conftest import write_base
from tests.engine.vgen.authors_files import vgen_state, write_adapter_file, write_token_file
from tests.rendering import MATERIAL


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """A folder with their denoiser, adapters and token, and the base that the other parts are taken from."""
    folder = tmp_path / "vgen"
    write_base(folder / "modelscope")
    torch.save(vgen_state(folder / "modelscope"), folder / "model.pth")
    write_adapter_file(folder / "subject.pth", "subject", step=500)
    write_adapter_file(folder / "motion.pth", "motion", step=600)
    write_token_file(folder / "token.pth")
    return folder


def test_their_files_make_a_base_a_subject_a_motion_and_a_video(dv: Dv, files: Path, tmp_path: Path) -> None:
    dv("base", "add", "theirs", files / "model.pth", "--beside", files / "modelscope")
    dv("base", "use", "theirs")
    assert (files / "model" / "unet").is_dir()
    subject = ["--kind", "subject", "--class", "dog", "--token", files / "token.pth"]
    assert dv("import", files / "subject.pth", *subject, "--dry-run").out == ""
    assert dv("list", "--names").out == ""
    picture = ["--appearance", MATERIAL / "rex" / "1.png"]
    assert dv("import", files / "subject.pth", *subject, *picture, "--as", "chow").out.strip() == "chow@1"
    assert dv("import", files / "motion.pth", "--kind", "motion", "--prompt", "a dog runs").out.strip() == "motion@1"
    shown = json.loads(dv("show", "chow", "--json").out)
    assert (shown["method"], shown["steps"], shown["class_word"]) == ("dreamvideo", 500, "dog")
    assert "final loss" not in dv("show", "chow").out
    made = ["--size", "16", "--frames", "3", "--steps", "2", "-o", "out.webp"]
    dv("compose", "a * runs", "--subject", "chow", "--motion", "motion", *made)
    assert (tmp_path / "out.webp").stat().st_size > 0


def test_what_is_missing_or_wrong_is_said_and_nothing_comes_in(dv: Dv, files: Path) -> None:
    dv("base", "add", "mine", files / "modelscope")
    base = ["--base", "mine"]
    for arguments, message in (
        ([files / "subject.pth"], "say what it holds with --kind"),
        ([files / "subject.pth", "--kind", "subject"], "--class is missing"),
        ([files / "motion.pth", "--kind", "motion", "--class", "dog"], "are a subject's"),
        ([files / "motion.pth", "--kind", "subject", "--class", "dog", *base], "say --kind motion"),
        ([files / "subject.pth", "--kind", "subject", "--class", "dog"], "is not whole"),
        (["friend.dvpack", "--kind", "subject"], "none of VGen's files"),
    ):
        assert message in dv("import", *arguments, check=2).err
    assert "--beside" in dv("base", "add", "theirs", files / "model.pth", check=2).err
    assert dv("list", "--names").out == ""


def test_a_hostile_file_is_refused_and_not_run(dv: Dv, files: Path, tmp_path: Path) -> None:
    class Hostile:
        def __reduce__(self) -> tuple[object, ...]:
            return os.mkdir, (str(tmp_path / "was-run"),)

    torch.save({"state_dict": Hostile(), "step": 1}, files / "bad.pth")
    dv("base", "add", "mine", files / "modelscope")
    for arguments in (
        ("import", files / "bad.pth", "--kind", "subject", "--class", "dog", "--base", "mine"),
        ("base", "add", "theirs", files / "bad.pth", "--beside", files / "modelscope"),
    ):
        assert "bad.pth is refused" in dv(*arguments, check=2).err
    assert not (tmp_path / "was-run").exists()
