"""The bases that a user added, and which of them is the default."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from registry import BaseRow, InvalidNameError, NameTakenError, Registry, UnknownNameError

pytestmark = pytest.mark.databases("sqlite", "postgresql")


def defaults(registry: Registry) -> list[str]:
    return [base.name for base in registry.bases() if base.is_default]


def test_a_base_comes_out_as_it_went_in(registry: Registry) -> None:
    added = registry.add_base("zeroscope", "/models/zs", image_encoder="laion/clip", fingerprint="abc")
    assert added == BaseRow(
        name="zeroscope", model="/models/zs", image_encoder="laion/clip", fingerprint="abc", is_default=False
    )
    registry.add_base("modelscope", "ali-vilab/text-to-video-ms-1.7b", motion_module="guoyww/module")
    assert registry.base("modelscope").motion_module == "guoyww/module"
    with Registry.open(registry.folder) as other:
        assert other.base("zeroscope") == added
        assert [base.name for base in other.bases()] == ["modelscope", "zeroscope"]
        assert other.base("modelscope").image_encoder is None


def test_one_base_is_the_default_or_the_embedded_one(registry: Registry) -> None:
    registry.add_base("one", "/1")
    registry.add_base("two", "/2")
    assert defaults(registry) == []
    registry.use_base("one")
    registry.use_base("two")
    assert defaults(registry) == ["two"]
    with pytest.raises(UnknownNameError):
        registry.use_base("three")
    assert defaults(registry) == ["two"]
    registry.use_base("embedded")
    assert defaults(registry) == []


def test_removing_the_default_leaves_none(registry: Registry, tmp_path: Path) -> None:
    registry.add_base("one", str(tmp_path))
    registry.use_base("one")
    registry.remove_base("one")
    assert registry.bases() == []
    assert tmp_path.exists()
    assert registry.add_base("one", str(tmp_path)).is_default is False


def test_a_fingerprint_is_remembered(registry: Registry) -> None:
    registry.add_base("one", "/1")
    registry.store_fingerprint("one", "abc")
    assert registry.base("one").fingerprint == "abc"
    with pytest.raises(UnknownNameError):
        registry.store_fingerprint("two", "abc")


def test_names_of_bases_are_unique_and_names(registry: Registry) -> None:
    registry.add_base("one", "/1")
    with pytest.raises(NameTakenError, match="'one' already"):
        registry.add_base("one", "/2")
    with pytest.raises(NameTakenError, match="brings along"):
        registry.add_base("embedded", "/2")
    with pytest.raises(InvalidNameError):
        registry.add_base("../one", "/2")
    assert [base.model for base in registry.bases()] == ["/1"]


def test_an_unknown_base_is_answered_with_those_there_are(registry: Registry) -> None:
    registry.add_base("zeroscope", "/1")
    with pytest.raises(UnknownNameError, match=r"Did you mean zeroscope\?"):
        registry.base("zeroscop")
    with pytest.raises(UnknownNameError, match="Did you mean embedded or zeroscope"):
        registry.remove_base("qqq")
    with pytest.raises(UnknownNameError, match="comes with dv"):
        registry.remove_base("embedded")


def test_a_path_that_is_no_text_is_refused(registry: Registry) -> None:
    with pytest.raises(InvalidNameError, match="can't be stored"):
        registry.add_base("one", os.fsdecode(b"/models/\xff"))
    assert registry.bases() == []


LINEAGE = {"parent": {"name": "embedded", "fingerprint": "abc"}, "data": {"clips": 2, "sha256": "def"}}


def whole_base(staged: Path) -> None:
    (staged / "unet").mkdir()
    (staged / "unet" / "config.json").write_text("{}")


def test_a_tuned_base_is_a_folder_of_its_own_with_where_it_comes_from(registry: Registry) -> None:
    with registry.base_staging() as staged:
        whole_base(staged)
        made = registry.publish_base(staged, "snowy", fingerprint="123", lineage=LINEAGE)
    assert Path(made.model).is_relative_to(registry.folder)
    assert (Path(made.model) / "unet" / "config.json").read_text() == "{}"
    with Registry.open(registry.folder) as other:
        assert other.base("snowy") == made
        assert other.base("snowy").lineage == LINEAGE
    registry.add_base("plain", "/models/plain")
    assert registry.base("plain").lineage is None


def test_a_name_that_was_taken_meanwhile_leaves_the_tuned_base_where_it_was(registry: Registry) -> None:
    with registry.base_staging() as staged:
        whole_base(staged)
        registry.add_base("snowy", "/models/other")
        with pytest.raises(NameTakenError):
            registry.publish_base(staged, "snowy", fingerprint="123", lineage=LINEAGE)
        assert (staged / "unet" / "config.json").exists()
    assert registry.base("snowy").model == "/models/other"
    assert not [file for file in (registry.folder / "bases").rglob("*") if file.is_file()]


def test_the_files_of_a_base_that_was_forgotten_are_not_written_over(registry: Registry) -> None:
    models = []
    for _ in range(2):
        with registry.base_staging() as staged:
            whole_base(staged)
            models.append(registry.publish_base(staged, "snowy", fingerprint="123", lineage=LINEAGE).model)
        registry.remove_base("snowy")
    assert len({*models}) == 2
    assert all((Path(model) / "unet").is_dir() for model in models)
