"""A base written with new weights beside another's parts is a base, of every family."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from engine.bases.fingerprint import fingerprint
from engine.bases.load import load_base
from engine.bases.location import BaseLocation, inspect_base
from engine.bases.weights import weights_of
from engine.bases.writing import check_storable, denoiser_parts, write_base_like
from engine.errors import InputError
from tests.engine.bases.conftest import MakeBase, Sample
from tests.engine.bases.family_samples import predicted


def test_what_is_written_is_loaded_again_and_is_another_base(sample: Sample, tmp_path: Path) -> None:
    base = sample.load()
    chosen = [name for name in base.labels if base.family.stored_in(name) is not None]
    changed = {name: base.denoiser.get_parameter(name) + 0.125 for name in chosen}
    write_base_like(sample.info, tmp_path / "made", denoiser_parts(sample.info, base.denoiser, changed))
    made = load_base(BaseLocation("made", str(tmp_path / "made")), device="cpu")
    for name, parameter in base.denoiser.named_parameters():
        assert torch.equal(made.denoiser.get_parameter(name), changed.get(name, parameter))
    assert made.info.components.keys() == sample.info.components.keys()
    assert (made.info.family, made.info.layout) == (sample.info.family, sample.info.layout)
    assert made.fingerprint == fingerprint(inspect_base(made.info.location)) != base.fingerprint
    assert not torch.equal(predicted(made), predicted(base))


def test_a_part_of_which_nothing_is_new_is_the_other_bases(sample: Sample, tmp_path: Path) -> None:
    base = sample.load()
    name = next(name for name in base.labels if base.family.stored_in(name) is not None)
    parts = denoiser_parts(sample.info, base.denoiser, {name: base.denoiser.get_parameter(name) + 1})
    assert list(parts) == [base.family.stored_in(name)]
    write_base_like(sample.info, tmp_path / "made", parts)
    for part in {*base.family.parts.weights} - {*parts}:
        for file in weights_of(sample.info.places[part]).paths:
            assert (tmp_path / "made" / part / file.name).read_bytes() == file.read_bytes()


def test_parameters_without_a_file_are_refused_by_name(image_model: Path) -> None:
    info = inspect_base(BaseLocation("pictures", str(image_model)))
    base = load_base(info.location, device="cpu")
    check_storable(info, [name for name, label in base.labels.items() if label.axis != "temporal"], "`parameters`")
    with pytest.raises(
        InputError, match=r"pictures has no files for \d+ of the parameters that `parameters` .*norm_temp"
    ):
        check_storable(info, base.labels, "`parameters`")


def test_other_variants_stay_behind_and_what_lies_apart_comes_along(make_base: MakeBase, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(make_base(), other)
    shutil.move(other / "image_encoder", tmp_path / "clip")
    (other / "vae" / "diffusion_pytorch_model.fp16.safetensors").write_bytes(b"another variant")
    (other / "recommended.json").write_text(json.dumps({"compose": {"steps": 3}}))
    (other / "LICENSE.md").write_text("yours")
    info = inspect_base(BaseLocation("other", str(other), image_encoder=str(tmp_path / "clip")))
    write_base_like(
        info, tmp_path / "made", {"unet": load_file(other / "unet" / "diffusion_pytorch_model.safetensors")}
    )
    made = inspect_base(BaseLocation("made", str(tmp_path / "made")))
    assert made.image_encoder == tmp_path / "made" / "image_encoder"
    assert made.recommended["compose"] == {"steps": 3}
    assert fingerprint(made) == fingerprint(info)
    assert (tmp_path / "made" / "LICENSE.md").read_text() == "yours"
    assert [file.name for file in (tmp_path / "made" / "vae").glob("*.safetensors")] == [
        "diffusion_pytorch_model.safetensors"
    ]
