"""`dv eval` on videos that tell how they were made, and on others; every answer without learning anything."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dreamvideo_cli.main import run
from engine.bases.location import EMBEDDED
from engine.data.clips import probe_clip, read_clip
from engine.data.images import probe_image
from engine.media.video import write_video
from registry import Adapter, NewAdapter, Registry, Source
from tests.rendering import MATERIAL, rendered

JUDGES = Path(EMBEDDED.model) / "judges"
Dv = Callable[..., tuple[int, str, str]]


@pytest.fixture
def call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Dv:
    """Run `dv` here, with a home and a cache of its own: code, stdout, stderr (with its lines joined)."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DV_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("COLUMNS", "120")

    def call(*arguments: str | Path) -> tuple[int, str, str]:
        capfd.readouterr()
        code = run([str(a) for a in arguments])
        out, err = capfd.readouterr()
        return code, out, " ".join(err.split())

    return call


def publish(kind: Any, name: str, sources: list[Source], **more: Any) -> Adapter:
    """An adapter as far as the registry is concerned: what it learnt from, and a file."""
    with Registry.open() as registry, registry.staging() as staged:
        (staged / "adapter.safetensors").write_bytes(name.encode())
        row = NewAdapter(
            kind=kind, name=name, base_fingerprint="0" * 64, base_name="embedded", method="dreamvideo",
            hyperparameters=more.pop("hyperparameters", {}), origins={}, seed=0, device="cpu", dtype="fp32",
            library_versions={}, started_at="2026-01-01T00:00:00+00:00", ended_at="2026-01-01T00:01:00+00:00",
            steps=1, final_loss=0.1, dv_version="0", **more,
        )  # fmt: skip
        return registry.publish(staged, row, sources)


@pytest.fixture
def made(call: Dv, tmp_path: Path) -> Path:
    """A video that a fox and a zigzag made, by its note; it shows one of the zigzag's own clips."""
    shutil.copytree(MATERIAL / "rex", tmp_path / "pictures")
    shutil.copytree(MATERIAL / "zigzag", tmp_path / "clips")
    images = [probe_image(path) for path in sorted((tmp_path / "pictures").iterdir())]
    moving = [probe_clip(path) for path in sorted((tmp_path / "clips").glob("*.mp4"))]
    fox = publish(
        "subject", "fox", class_word="dog",
        sources=[Source(path=str(i.path), sha256=i.sha256, bytes=i.bytes, width=i.width, height=i.height,
                        frames=1, role="image") for i in images],
    )  # fmt: skip
    zigzag = publish(
        "motion", "zigzag", prompt="zigzagging",
        sources=[Source(path=str(c.path), sha256=c.sha256, bytes=c.bytes, width=c.width, height=c.height,
                        frames=c.frames, role="clip") for c in moving],
    )  # fmt: skip
    record = {
        "prompt": "a * zigzagging", "seed": 7, "base": {"name": "embedded", "fingerprint": "0" * 64},
        "subject": {"name": fox.id, "sha256": fox.file_hash}, "motion": {"name": zigzag.id, "sha256": zigzag.file_hash},
    }  # fmt: skip
    write_video(rendered("dog/1", "zigzag"), tmp_path / "made.mp4", 8, record)
    return Path("made.mp4")


def test_a_video_of_dvs_own_needs_no_option(call: Dv, made: Path, tmp_path: Path) -> None:
    code, out, err = call("eval", made, "--json", "--csv", "figures.csv")
    assert code == 0, err
    answer = json.loads(out)
    (video,) = answer["videos"]
    assert video["prompt"] == "a * zigzagging" and video["text"] == "a dog zigzagging"
    assert (video["subject"], video["motion"], video["seed"]) == ("fox@1", "zigzag@1", 7)
    assert len(video["references"]) == 4 and len(video["clips"]) == 3
    assert (video["clip_judge"], video["dino_judge"]) == ("embedded", "embedded")
    measured = {name: value for name, value in video["scores"].items() if value is not None}
    assert set(video["scores"]) - set(measured) == {
        "top1",
        "sibling_top1",
        "rank",
        "colour_likeness",
    }  # Of no known individual.
    assert answer["mean"] == video["scores"]
    assert len(video["curves"]["clip_t"]) == video["frames"] == 8
    assert len(video["curves"]["motion_amount"]) == 7
    with (tmp_path / "figures.csv").open(encoding="utf-8", newline="") as file:
        (row,) = csv.DictReader(file)
    assert {name: float(row[name]) for name in measured} == measured
    assert str(JUDGES) not in out

    # What was named instead of what is noted.
    code, out, err = call("eval", made, "--prompt", "a Fox zigzagging", "--subject", "fox@1", "--json")
    assert json.loads(out)["videos"][0]["text"] == "a dog zigzagging"


def test_a_note_that_holds_no_prompt_counts_as_none(call: Dv, made: Path, tmp_path: Path) -> None:
    write_video(
        read_clip(probe_clip(made)),
        tmp_path / "odd.mp4",
        8,
        {"prompt": True, "base": {"name": "embedded"}, "subject": "fox"},
    )
    code, out, err = call("eval", "odd.mp4", "--references", "pictures", "--json")
    assert code == 0, err
    (video,) = json.loads(out)["videos"]
    assert (video["prompt"], video["text"], video["scores"]["clip_t"]) == (None, None, None)
    assert video["scores"]["clip_i"] > 0


def test_a_table_has_a_row_for_each_video_and_one_for_their_mean(call: Dv, made: Path) -> None:
    code, out, err = call("eval", made, made.with_name("clips") / "2-car.mp4", "--clip", JUDGES / "clip", "--dino",
                          JUDGES / "dino")  # fmt: skip
    assert code == 0, err
    title, _, first, second, mean = [line.split() for line in out.splitlines() if line.strip()]
    assert title[:5] == ["Video", "CLIP-T", "CLIP-I", "DINO-I", "T.Cons"]
    assert first[0] == "made.mp4" and second[0] == "clips/2-car.mp4"
    assert mean[:4] == ["mean", "of", "2", "videos"]
    assert second[2:4] == ["–"] * 2 and mean[5] == first[2]
    assert float(mean[7]) == pytest.approx((float(first[4]) + float(second[4])) / 2, abs=0.0011)
    assert "No CLIP-I and DINO-I for 2-car.mp4" in err and "--references" in err


def test_references_that_moved_changed_or_belong_to_another_adapter(call: Dv, made: Path, tmp_path: Path) -> None:
    picture = tmp_path / "pictures" / "2.png"
    shutil.copy(tmp_path / "pictures" / "1.png", picture)
    code, _, err = call("eval", made)
    assert code == 2 and f"{picture}, which has changed since" in err and "--references" in err
    (tmp_path / "pictures").rename(tmp_path / "elsewhere")
    code, out, err = call("eval", made)
    assert (code, out) == (2, "")
    assert "fox@1 learnt from" in err and "no longer there" in err and "--references" in err
    (tmp_path / "clips").rename(tmp_path / "moved")
    code, _, err = call("eval", made, "--references", "elsewhere")
    assert code == 2 and "zigzag@1 learnt from" in err and "--clips" in err
    code, out, err = call("eval", made, "--references", "elsewhere", "--clips", "moved", "--json")
    absent = {name for name, value in json.loads(out)["mean"].items() if value is None}
    assert code == 0 and absent == {"top1", "sibling_top1", "rank", "colour_likeness"}, (
        err
    )  # of individuals of the world alone

    with Registry.open() as registry:
        registry.remove(registry.adapters())
    code, _, err = call("eval", made, "--references", "elsewhere", "--clips", "moved")
    assert code == 2 and "fox@1, which isn't in this registry" in err and "--prompt" in err
    code, _, err = call("eval", made, "--references", "elsewhere", "--clips", "moved", "--prompt", "a dog zigzagging")
    assert code == 0, err


def test_a_motion_is_compared_with_the_part_that_it_learnt_from(call: Dv, made: Path, tmp_path: Path) -> None:
    with Registry.open() as registry:
        sources = registry.sources(registry.find("zigzag"))
    publish("motion", "beginning", prompt="zigzagging", sources=sources, hyperparameters={"start": 0.0, "end": 0.4})
    code, out, err = call("eval", made, "--motion", "beginning", "--json")
    assert code == 0, err
    # 0.4 s at 8 frames a second are four frames, three steps.
    assert len(json.loads(out)["videos"][0]["curves"]["motion_fidelity"]) == 3


def test_judges_of_a_hub_id_come_from_the_hubs_cache(
    call: Dv, made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    clip = ("eval", "clips/2-car.mp4", "--references", "pictures", "--json")
    code, _, err = call(*clip)
    assert code == 2 and "openai/clip-vit-base-patch32" in err and "--clip" in err
    for name, judge in (("openai--clip-vit-base-patch32", "clip"), ("facebook--dino-vits16", "dino")):
        kept = tmp_path / "hub" / f"models--{name}"
        (kept / "refs").mkdir(parents=True)
        (kept / "refs" / "main").write_text("0" * 40, encoding="ascii")
        shutil.copytree(JUDGES / judge, kept / "snapshots" / ("0" * 40))
    code, out, err = call(*clip)
    assert code == 0, err
    (video,) = json.loads(out)["videos"]
    assert video["clip_judge"] == "openai/clip-vit-base-patch32" and video["scores"]["dino_i"] is not None


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("nothere.mp4",), "nothere.mp4"),
        (("pictures/1.png",), "single image"),
        (("made.mp4", "clips/2-car.mp4"), "--clip and --dino"),
        (("made.mp4", "--subject", "nobody"), "nobody"),
        (("made.mp4", "--subject", "fox", "--references", "pictures"), "--references"),
        (("made.mp4", "--motion", "zigzag", "--clips", "clips"), "--clips"),
        (("made.mp4", "--references", "clips"), "holds no"),
        (("made.mp4", "--csv", "made.mp4"), ".csv"),
        (("made.mp4", "--csv", "nowhere/x.csv"), "folder is missing"),
        (("clips/2-car.mp4", "--prompt", "a * on grass"), "--subject"),
    ],
)
def test_bad_input_is_one_clear_message(call: Dv, made: Path, arguments: tuple[str, ...], said: str) -> None:
    code, out, err = call("eval", *arguments)
    assert (code, out) == (2, "") and said in err


def test_a_table_is_not_replaced_unasked(call: Dv, made: Path, tmp_path: Path) -> None:
    (tmp_path / "figures.csv").write_text("mine\n", encoding="utf-8")
    code, _, err = call("eval", made, "--csv", "figures.csv")
    assert code == 2 and "--force" in err
    assert (tmp_path / "figures.csv").read_text(encoding="utf-8") == "mine\n"
    assert call("eval", made, "--csv", "figures.csv", "--force")[0] == 0
    assert (tmp_path / "figures.csv").read_text(encoding="utf-8").startswith("path,")


def test_words_that_the_judge_never_reads_are_told(call: Dv, made: Path) -> None:
    code, _, err = call("eval", made, "--prompt", "a dog " + "and a cat " * 20)
    assert code == 0 and "the CLIP that judges reads 32" in err and "never read" in err
