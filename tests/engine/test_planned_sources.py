"""What a plan finds out of photographs, masks and clips before a model is loaded."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from engine.bases.location import EMBEDDED, inspect_base
from engine.data.buckets import bucket_of
from engine.errors import InputError
from engine.media import ffmpeg
from engine.planning import SubjectPlan, plan_motion, plan_subject


def photograph(path: Path, seed: int = 0, size: tuple[int, int] = (128, 64)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), np.uint8)
    Image.fromarray(pixels).save(path)
    return path


def mask(path: Path, left: int, right: int) -> Path:
    """A mask (64, 128) that is white from column `left` to `right`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.zeros((64, 128), np.uint8)
    pixels[:, left:right] = 255
    Image.fromarray(pixels).save(path)
    return path


def planned(*given: Path, **options: object) -> SubjectPlan:
    return plan_subject(given, "dog", info=inspect_base(EMBEDDED), options={"size": (64, 64), **options})


def test_masks_that_are_given_and_not_used_are_told(tmp_path: Path) -> None:
    image, masks = photograph(tmp_path / "a.png"), mask(tmp_path / "areas/a.png", 0, 48).parent
    info, options = inspect_base(EMBEDDED), {"size": (64, 64)}
    told = f"the masks in {masks} aren't used: `use_masks` is off"
    used = plan_subject([image], "dog", info=info, masks=masks, options=options)
    assert used.of_role("mask") and told not in used.notes
    unused = plan_subject([image], "dog", info=info, masks=masks, options={**options, "use_masks": False})
    assert not unused.of_role("mask") and told in unused.notes


def test_the_share_of_the_trained_picture_that_a_mask_leaves_is_shown(tmp_path: Path) -> None:
    photograph(tmp_path / "a.png")
    mask(tmp_path / "masks/a.png", 0, 48)
    (source,) = planned(tmp_path).of_role("mask")
    assert source.used == "the loss counts 25% of a.png"
    assert source.dropped == "67% of it at the edges (centre crop)"


def test_images_are_cropped_to_one_size_unless_their_aspect_ratios_are_kept(tmp_path: Path) -> None:
    photograph(tmp_path / "a.png")
    photograph(tmp_path / "b.png", 1, (64, 128))
    photograph(tmp_path / "c.png", 2, (90, 90))
    mask(tmp_path / "masks/a.png", 0, 20)
    for name, size in (("b", (64, 128)), ("c", (90, 90))):
        Image.new("L", size, 255).save(tmp_path / f"masks/{name}.png")
    multiple = inspect_base(EMBEDDED).layout.size_multiple
    plan = planned(tmp_path, aspect_ratios=True)
    wide, tall, even = (source.trained for source in plan.of_role("image"))
    assert wide == bucket_of((128, 64), (64, 64), multiple) == tall[::-1] and wide[0] > wide[1]
    assert even == (64, 64)
    assert [source.trained for source in plan.of_role("mask")] == [wide, tall, even]
    for source, used in zip(plan.of_role("image"), ("the centre", "the centre", "all"), strict=True):
        assert source.used == f"{used}, at {source.trained[0]}x{source.trained[1]}"
    cropped = planned(tmp_path, use_masks=False)
    assert {source.trained for source in cropped.sources} == {(64, 64)}
    assert [source.dropped for source in cropped.sources] == ["50% at the edges (centre crop)"] * 2 + ["nothing"]
    assert [source.used for source in cropped.sources] == ["the centre", "the centre", "all"]


def test_a_mask_that_the_crop_cuts_away_is_refused_unless_masks_are_off(tmp_path: Path) -> None:
    photograph(tmp_path / "a.png")
    mask(tmp_path / "masks/a.png", 0, 20)
    with pytest.raises(InputError, match="leaves nothing of the 64 x 64 pixels"):
        planned(tmp_path)
    assert planned(tmp_path, use_masks=False).of_role("mask") == []


def test_captions_are_templates_with_the_subject_in_them(tmp_path: Path) -> None:
    captions = {"a.txt": "a photo of a Dog on grass", "b.TXT": "two dogs and a *", "c.txt": "a hot dog for a dog"}
    for number, (name, caption) in enumerate(captions.items()):
        photograph((tmp_path / name).with_suffix(".png"), number)
        (tmp_path / name).write_text(caption)
    photograph(tmp_path / "d.png", 9)
    plan = planned(tmp_path)
    assert [source.prompt for source in plan.sources] == [
        "a photo of a * on grass",
        "two dogs and a *",
        "a hot * for a dog",
        None,
    ]


def test_a_caption_without_the_subject_is_named_and_not_used(tmp_path: Path) -> None:
    photograph(tmp_path / "a.png")
    (tmp_path / "a.txt").write_text("two dogs on grass")
    plan = planned(tmp_path)
    assert plan.sources[0].prompt is None
    assert 'a.txt says neither "dog" nor *, so a.png is learnt without a caption' in plan.notes


def test_every_file_is_used_or_named(tmp_path: Path) -> None:
    photograph(tmp_path / "a.png")
    photograph(tmp_path / "b.png")
    mask(tmp_path / "masks/a.png", 40, 80)
    mask(tmp_path / "masks/b.png", 40, 80)
    mask(tmp_path / "masks/old.png", 40, 80)
    (tmp_path / "z.txt").write_text("a dog")
    notes = "; ".join(planned(*sorted(tmp_path.iterdir())).notes)
    assert "b.png has the same contents as a.png" in notes
    assert "z.txt belongs to no picture and is not used" in notes
    assert "old.png masks none of the images and is not used" in notes
    assert "holds masks" not in notes
    unmasked = planned(*sorted(tmp_path.iterdir()), use_masks=False)
    assert [source.path.name for source in unmasked.sources] == ["a.png", "b.png"]
    assert any("masks holds masks, not photographs, and is not used" in note for note in unmasked.notes)


def test_a_variable_rate_is_said_in_the_plan(tmp_path: Path) -> None:
    times = "if(lt(N,20),N/20,1+(N-20)/2)"
    source = ["-f", "lavfi", "-i", f"testsrc=s=64x64:r=20,setpts='{times}/TB'"]
    ffmpeg.run([*source, "-fps_mode", "vfr", "-frames:v", "30", str(tmp_path / "a.mkv")])
    plan = plan_motion([tmp_path / "a.mkv"], "a dog runs", info=inspect_base(EMBEDDED), options={})
    (clip,) = plan.sources
    assert clip.fps == pytest.approx(20, abs=0.1)
    assert clip.frames == pytest.approx(20 * 6, abs=11)
    assert any(note.startswith("a.mkv: its frame rate varies") for note in plan.notes)


def test_a_clip_too_short_for_the_rate_is_said_in_the_plan(tmp_path: Path) -> None:
    source = ["-f", "lavfi", "-i", "testsrc=s=64x64:r=24"]
    ffmpeg.run([*source, "-frames:v", "12", str(tmp_path / "a.mp4")])
    plan = plan_motion([tmp_path / "a.mp4"], "a dog runs", info=inspect_base(EMBEDDED), options={"frames": 8, "fps": 8})
    assert plan.sources[0].used == "4 frames at 8 fps, 3 starts (8 asked for)"
    assert "a.mp4 has 4 of the 8 frames asked for and trains on those" in plan.notes


def test_a_clip_that_is_over_before_its_second_frame_is_refused(tmp_path: Path) -> None:
    ffmpeg.run(["-f", "lavfi", "-i", "testsrc=s=64x64:r=120", "-frames:v", "12", str(tmp_path / "a.mp4")])
    with pytest.raises(InputError, match=r"a\.mp4 is over \(0\.1 s\) before its second frame.*`fps`"):
        plan_motion([tmp_path / "a.mp4"], "a dog runs", info=inspect_base(EMBEDDED), options={"frames": 8, "fps": 8})
