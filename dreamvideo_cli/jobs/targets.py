"""Where composed videos go, one path a seed, and every other file that is made: checked before any work is done."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from dreamvideo_cli.jobs.events import OnEvent, Warned
from engine.errors import InputError
from engine.files import FileThereError, check_may_write, check_replaceable

_LONGEST = 60
_SEED = "{seed}"


@dataclass(frozen=True)
class Target:
    """One file to make: a video, or a contact sheet, which has no seed. `replace` lets it take the place of a file;
    `is_chosen` is a name that nobody asked for, so that another one is as good."""

    path: Path
    seed: int | None
    replace: bool = False
    is_chosen: bool = False


def targets(output: Path | None, prompt: str, seeds: Sequence[int], *, force: bool) -> list[Target]:
    """A path for every seed: from `output` (`{seed}`, or `-<seed>` before the suffix where there are several
    seeds), else from the prompt, in the current folder and never one that exists.

    Raises `InputError` for a path that can't be written, or that exists where `force` isn't given.
    """
    if output is None:
        named = [(seed, unused(Path(f"{slug(prompt)}-{seed}.mp4"))) for seed in seeds]
        chosen = [Target(path, seed, is_chosen=True) for seed, path in named]
    else:
        alone = len(seeds) == 1
        chosen = [Target(_for_seed(output, seed, alone=alone), seed, replace=force) for seed in seeds]
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
    check_may_write(path.parent)
    if path.exists() and not force:
        raise InputError(f"{path} exists: choose another name, or replace it with `force`")


def check_table(path: Path, *, force: bool) -> None:
    """Raise `InputError` where no table can be written to `path`, or it would replace one unasked."""
    if path.suffix.lower() != ".csv":
        raise InputError(f"a table of figures is a CSV file: {path} must end in .csv")
    check_file(path, force=force)


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


class Write(Protocol):
    """Makes a file, whole or not at all. Raises `FileThereError` for one that is there and may not be replaced."""

    def __call__(self, path: Path, *, replace: bool) -> None: ...


def published(target: Target, write: Write, on_event: OnEvent) -> Path:
    """Let `write` make a target's file, and give its path: the next free one where a file appeared in
    the target's place since it was checked."""
    path = target.path
    while True:
        try:
            write(path, replace=target.replace)
        except FileThereError:
            path = unused(target.path)
            continue
        if path != target.path and not target.is_chosen:
            on_event(Warned(f"{target.path} appeared meanwhile and stays as it is: the new file is {path}"))
        return path
