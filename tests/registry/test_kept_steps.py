"""Kept steps: in an adapter's folder and not in its hash, found by name, checked, packed, and taken away alone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from registry import Adapter, AdapterAtStep, AdapterSpec, InvalidNameError, NewComposition, Registry, UnknownNameError
from registry.kept_steps import describe
from registry.pruning import Limits
from tests.registry.conftest import image_source, new_adapter


@pytest.fixture
def keep(registry: Registry) -> Callable[..., Adapter]:
    """Publish an adapter with kept steps, each of which has other files."""

    def publish(*steps: int, name: str = "chowchow", content: bytes = b"the end") -> Adapter:
        with registry.staging() as staged:
            (staged / "adapter.safetensors").write_bytes(content)
            for step in steps:
                folder = staged / "learning" / "steps" / str(step)
                folder.mkdir(parents=True)
                (folder / "adapter.safetensors").write_bytes(b"%d" % step)
                describe(folder, loss=step / 1000, held_out_loss=step / 2000)
            return registry.publish(staged, new_adapter(name), [image_source()])

    return publish


def test_an_adapter_is_the_same_one_with_and_without_kept_steps(
    registry: Registry, keep: Callable[..., Adapter]
) -> None:
    kept, plain = keep(400, 200), keep()
    assert (kept.file_hash, kept.size) == (plain.file_hash, plain.size)
    assert [(each.id, each.final_loss, each.held_out_loss) for each in registry.kept_steps(kept)] == [
        ("chowchow@1:200", 0.2, 0.1),
        ("chowchow@1:400", 0.4, 0.2),
    ]
    assert registry.kept_steps(plain) == []


def test_a_kept_step_is_found_by_name_and_by_hash_with_files_of_its_own(
    registry: Registry, keep: Callable[..., Adapter]
) -> None:
    whole = keep(400)
    found = registry.find_at("chowchow@1:400", kind="subject")
    assert isinstance(found, AdapterAtStep)
    assert (found.step, found.method, found.version) == (400, whole.method, 1)
    assert found.file_hash != whole.file_hash
    assert (registry.path(found) / "adapter.safetensors").read_bytes() == b"400"
    assert registry.find_at("chowchow:400") == found
    assert registry.with_hash(found.file_hash, "subject") == found
    assert registry.with_hash(found.file_hash, "motion") is None
    assert registry.find_at("chowchow@1") == whole


def test_one_that_was_not_kept_is_refused_with_those_that_were(
    registry: Registry, keep: Callable[..., Adapter]
) -> None:
    keep(200, 400)
    keep(name="cat")
    with pytest.raises(UnknownNameError, match=r"no step 300 of chowchow@1: kept are 200, 400\."):
        registry.find_at("chowchow@1:300")
    with pytest.raises(UnknownNameError, match="none were kept: learn it with `keep_every`"):
        registry.find_at("cat:300")


def test_what_is_about_whole_adapters_refuses_a_step(registry: Registry, keep: Callable[..., Adapter]) -> None:
    keep(400)
    with pytest.raises(UnknownNameError, match=r"about whole adapters: give chowchow@1\."):
        registry.find("chowchow:400")


@pytest.mark.parametrize("text", ["chowchow:", "chowchow@1:", "chowchow@1:x", "chowchow:0", "chowchow:4@1"])
def test_what_names_no_step_is_refused(text: str) -> None:
    with pytest.raises(InvalidNameError, match="step"):
        AdapterSpec.parse(text)


def test_a_step_is_written_as_it_is_read() -> None:
    assert AdapterSpec.parse("chowchow@2:400") == AdapterSpec("chowchow", 2, 400)
    assert [str(AdapterSpec.parse(text)) for text in ("chowchow@2:400", "chowchow:400")] == [
        "chowchow@2:400",
        "chowchow:400",
    ]


@pytest.mark.parametrize("damage", ["files", "document"])
def test_a_damaged_step_is_told(registry: Registry, keep: Callable[..., Adapter], damage: str) -> None:
    whole = keep(200, 400)
    assert [finding.state for finding in registry.check([whole])] == ["ok"]
    name = "adapter.safetensors" if damage == "files" else "step.json"
    (registry.path(whole) / "learning" / "steps" / "400" / name).write_text("{}")
    (finding,) = registry.check([whole])
    assert finding.is_mismatch
    assert "400" in finding.detail


def test_steps_go_alone(registry: Registry, keep: Callable[..., Adapter]) -> None:
    whole = keep(200, 400)
    gone, left = registry.kept_steps(whole)
    assert registry.remove_steps([gone]) > 0
    assert registry.kept_steps(whole) == [left]
    assert registry.remove_steps([gone]) == 0
    assert [finding.state for finding in registry.check([whole])] == ["ok"]


def test_prune_takes_the_steps_of_versions_that_stay(registry: Registry, keep: Callable[..., Adapter]) -> None:
    keep(200)
    whole = keep(200, 400)
    steps = registry.pruner.plan(Limits(whats=frozenset({"step"})))
    assert [each.id for each in steps.doomed] == ["chowchow@1:200", "chowchow@2:200", "chowchow@2:400"]
    both = registry.pruner.plan(Limits(whats=frozenset({"step", "version"})))
    assert [each.id for each in both.doomed] == ["chowchow@1", "chowchow@2:200", "chowchow@2:400"]
    assert registry.pruner.carry_out(both) > 0
    assert registry.adapters() == [whole]
    assert registry.kept_steps(whole) == []


def test_a_pack_takes_kept_steps_along(registry: Registry, keep: Callable[..., Adapter], tmp_path: Path) -> None:
    keep(400)
    registry.export(tmp_path / "pack.dv")
    with Registry.open(tmp_path / "other") as other:
        other.import_from(tmp_path / "pack.dv")
        assert other.find_at("chowchow@1:400") == registry.find_at("chowchow@1:400")
        with pytest.raises(UnknownNameError, match="comes with its adapter"):
            other.import_from(tmp_path / "pack.dv", only=["chowchow@1:400"])


def test_a_renamed_adapter_keeps_its_steps(registry: Registry, keep: Callable[..., Adapter]) -> None:
    keep(400)
    registry.rename("chowchow", "puppy")
    assert registry.find_at("puppy@1:400").id == "puppy@1:400"


def test_the_history_of_an_adapter_has_the_videos_of_its_steps(
    registry: Registry, keep: Callable[..., Adapter]
) -> None:
    whole = keep(200, 400)
    step, other = registry.kept_steps(whole)
    for adapter in (whole, step):
        about = {"role": "subject", "name": adapter.id, "sha256": adapter.file_hash}
        record = {"prompt": "a *", "seed": 1, "base": {"name": "embedded"}, "adapters": [about]}
        registry.compositions.add(NewComposition(path=f"/{adapter.id}.mp4", sha256="a" * 64, bytes=1, record=record))
    paths = [made.path for made in registry.compositions.all(adapter=whole, steps=[step, other])]
    assert paths == ["/chowchow@1.mp4", "/chowchow@1:200.mp4"]
    assert [made.path for made in registry.compositions.all(adapter=step)] == ["/chowchow@1:200.mp4"]
    registry.remove_steps([step, other])
    assert len(registry.compositions.all(adapter=whole)) == 2
