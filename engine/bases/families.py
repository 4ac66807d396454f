"""THE table of families, by the class of their denoiser. Adding one is a file beside this one, and a line here."""

from __future__ import annotations

from engine.bases.animatediff import ANIMATEDIFF
from engine.bases.family import Family
from engine.bases.stable_diffusion import STABLE_DIFFUSION
from engine.bases.unet3d import UNET3D
from engine.bases.wan import WAN

WITH_MOTION_MODULE = "+MotionAdapter"
"""What stands behind the class of an image model that has a motion module."""
FAMILIES: dict[str, Family] = {
    "UNet3DConditionModel": UNET3D,
    "UNet2DConditionModel": STABLE_DIFFUSION,
    f"UNet2DConditionModel{WITH_MOTION_MODULE}": ANIMATEDIFF,
    "WanTransformer3DModel": WAN,
}


def known_denoisers() -> str:
    """The classes of denoisers that there are families for, as a person would say them."""
    return ", ".join(name.replace(WITH_MOTION_MODULE, " with a motion module") for name in FAMILIES)


def family_named(name: str) -> Family:
    """The family that a base's info names."""
    return next(family for family in FAMILIES.values() if family.name == name)
