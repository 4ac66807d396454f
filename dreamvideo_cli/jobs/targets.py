"""Where composed videos go, one path a seed, and every other file that is made: checked before any work is done."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from engine.errors import InputError
from engine.files import check_replaceable

_LONGEST = 60
_SEED = "{seed}"


@dataclass(frozen=True)
class Target:
    """One video to make."""

    seed: int
    path: Path


def targets(output: Path | None, prompt: str, seeds: Sequence[int], *, force: bool) -> list[Target]:
    """A path for every seed: from `output` (`{seed}`, or `-<seed>` before the suffix where there are several
    seeds), else from the prompt, in the current folder and never one that exists.

    Raises `InputError` for a path that can't be written, or that exists where `force` isn't given.
    """
    if output is None:
        chosen = [Target(seed, unused(Path(f"{slug(prompt)}-{seed}.mp4"))) for seed in seeds]
    else:
        chosen = [Target(seed, _for_seed(output, seed, alone=len(seeds) == 1)) for seed in seeds]
    for target in chosen:
        check_writable(target.path, force=force)
    return chosen


def check_writable(path: Path, *, force: bool) -> None:
    """Raise `InputError` where a media file can't be written to `path`, or would replace one unasked."""
    from engine.media.writing import check_target

    check_target(path)
    check_file(path, force=force)


def check_file(path: Path, *, force: bool) -> None:
    """Raise `InputError` where `path` can't be written, or exists and may not be replaced."""
    if path.is_dir() or not path.parent.is_dir():
        raise InputError(f"{path} can't be written: {'it is a folder' if path.is_dir() else 'its folder is missing'}")
    check_replaceable(path)
    if path.exists() and not force:
        raise InputError(f"{path} exists: choose another name, or replace it with --force")


def _for_seed(output: Path, seed: int, *, alone: bool) -> Path:
    if _SEED in output.name:
        return output.with_name(output.name.replace(_SEED, str(seed)))
    return output if alone else output.with_name(f"{output.stem}-{seed}{output.suffix}")


def slug(prompt: str) -> str:
    """The prompt as a file's name: letters and digits of any script, the rest as dashes."""
    words = "-".join(re.findall(r"\w+", prompt.casefold()))
    # A file system counts bytes, and cuts no character in two.
    return words.encode()[:_LONGEST].decode(errors="ignore").strip("-_") or "video"


def unused(path: Path) -> Path:
    """`path`, or where it exists the first of `path-2`, `path-3` and so on that doesn't."""
    candidate, number = path, 1
    while candidate.exists():
        number += 1
        candidate = path.with_name(f"{path.stem}-{number}{path.suffix}")
    return candidate


def make_folder(folder: Path) -> None:
    """Make the folder that `--folder` names, where it isn't there yet; the one that it lies in must be.

    Raises `InputError` where it can't be made.
    """
    try:
        folder.mkdir(exist_ok=True)
    except FileExistsError:
        raise InputError(f"{folder} is a file: choose another name with --folder") from None
    except FileNotFoundError:
        raise InputError(f"there is no folder {folder.parent} to make {folder.name} in: create it first") from None
