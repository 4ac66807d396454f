"""Freed memory that others can use."""

from __future__ import annotations

import ctypes
import sys

import torch


def give_back(device: torch.device) -> None:
    """Give what was freed back to the device or the system: after many weights have left, and before others come.

    CUDA's allocator keeps it for itself. So does glibc's of blocks below 32 MiB, which most of a model's weights are:
    a third to two thirds of an encoder's memory were seen to stay.
    """
    if device.type == "cuda":
        torch.cuda.empty_cache()
    elif sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc's; others lack it
        if trim is not None:
            trim(0)
