"""The clips that a motion was learnt from, for a share of the starting noise: found again, or refused."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dreamvideo_cli.jobs.composing import settings_for
from dreamvideo_cli.jobs.sources import clips_to_start_from
from engine.errors import InputError
from engine.evaluation.expected import ReferenceClip
from engine.methods.dreamvideo import ComposeConfig
from registry import Adapter, NewAdapter, Registry, Source
from tests.rendering import MATERIAL

SHARE = ComposeConfig(motion_init=0.3)


@pytest.fixture
def clips(tmp_path: Path) -> list[Path]:
    paths = [tmp_path / f"{name}.mp4" for name in ("first", "second")]
    for path in paths:
        path.write_bytes(path.name.encode())
    return paths


@pytest.fixture
def motion(publish: Any, clips: list[Path]) -> Adapter:
    """Learnt from both clips, from their second half second on."""
    like = publish("other", kind="motion")
    values = {name: getattr(like, name) for name in NewAdapter.__dataclass_fields__}
    sources = [
        Source(
            path=str(path), sha256=hashlib.sha256(path.read_bytes()).hexdigest(), bytes=9, width=16, height=16,
            frames=8, role="clip",
        )
        for path in clips
    ]  # fmt: skip
    with Registry.open() as registry, registry.staging() as staged:
        (staged / "adapter.safetensors").write_bytes(b"weights")
        about = NewAdapter(**{**values, "name": "walk", "hyperparameters": {"start": 0.5}, "origins": {}})
        return registry.publish(staged, about, sources)


def test_they_are_found_as_they_were_trimmed(motion: Adapter, clips: list[Path]) -> None:
    with Registry.open() as registry:
        found = clips_to_start_from(motion, SHARE, registry)
        assert found == tuple(ReferenceClip(path, start=0.5) for path in clips)
        assert clips_to_start_from(motion, ComposeConfig(), registry) == ()
        assert clips_to_start_from(None, SHARE, registry) == ()


def test_one_that_is_gone_or_has_changed_is_named(motion: Adapter, clips: list[Path]) -> None:
    with Registry.open() as registry:
        clips[1].write_bytes(b"another")
        with pytest.raises(
            InputError, match=r"second\.mp4, which has changed since\.\nPut it back, or leave `motion_init`"
        ):
            clips_to_start_from(motion, SHARE, registry)
        clips[1].unlink()
        with pytest.raises(InputError, match=r"second\.mp4, which is no longer there"):
            clips_to_start_from(motion, SHARE, registry)
        assert clips_to_start_from(motion, ComposeConfig(), registry) == ()


def test_a_motion_whose_clips_nobody_knows_is_refused(publish: Any) -> None:
    imported = publish("walk", kind="motion")
    with (
        Registry.open() as registry,
        pytest.raises(InputError, match=r"isn't known which clips walk@1 was learnt from"),
    ):
        clips_to_start_from(imported, SHARE, registry)


def test_a_motion_that_starts_from_its_clips_takes_no_share(publish: Any) -> None:
    motion = publish("walk", kind="motion", method="tune-a-video", hyperparameters={"size": [16, 16]}, origins={})
    with pytest.raises(InputError, match="starts from its clips anyway: leave `motion_init` out"):
        settings_for({}, motion, {"motion_init": 0.3})
    assert settings_for({}, motion, {}).config.size == (16, 16)


def test_a_video_with_a_share_of_its_clip_is_made_again_until_the_clip_is_gone(
    dv: Callable[..., Any], home: Path, tmp_path: Path
) -> None:
    clip = tmp_path / "zigzag.mp4"
    shutil.copyfile(MATERIAL / "zigzag" / "1-dog.mp4", clip)
    learnt = dv("motion", "learn", "zigzag", clip, "--steps", "2", "--frames", "4", "--size", "16x16", "--batch-size",
                "1", "--keep-every", "1", "--prompt", "a dog is running")  # fmt: skip
    assert learnt.out == "zigzag@1\n", learnt.err
    compose = ("compose", "a dog is running", "--motion", "zigzag:1", "--steps", "2", "--frames", "4", "--size",
               "16x16", "-o")  # fmt: skip
    for output, more in (
        ("share.mp4", ("--motion-init", "0.4")),
        ("none.mp4", ("--motion-init", "0")),
        ("bare.mp4", ()),
    ):
        assert dv(*compose, tmp_path / output, *more).code == 0
    share, none, bare, again = (tmp_path / f"{name}.mp4" for name in ("share", "none", "bare", "again"))
    assert none.read_bytes() == bare.read_bytes() != share.read_bytes()
    record = json.loads(dv("inspect", share, "--json").out)
    assert record["settings"]["motion_init"] == 0.4 and record["start"]["share"] == 0.4
    assert record["start"]["sha256"] == hashlib.sha256(clip.read_bytes()).hexdigest()
    made = dv("compose", "--from", share, "-o", again)
    assert made.code == 0, made.err
    assert again.read_bytes() == share.read_bytes()
    clip.unlink()
    gone = dv("compose", "--from", share, "-o", again, "--force")
    assert gone.code == 2 and "zigzag.mp4, which is no longer there" in gone.err and "--motion-init" in gone.err
