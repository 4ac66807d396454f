"""Which comparisons a page shows where it can't hold all: spread evenly over subjects, motions and prompts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from engine.evaluation.suites.results import CellResult
from engine.evaluation.suites.tables import Group

ROOM = 30_000_000
"""Bytes of files that a page holds unasked; embedded they take a third more."""


def chosen(groups: Mapping[Group, Sequence[CellResult]], folder: Path, most: int | None) -> list[Group]:
    """`most` of the groups in their own order; where no number is asked for, as many as there is `ROOM` for, and at
    least one."""
    picked: set[Group] = set()
    held: dict[str, int] = {}
    for group in evenly(list(groups)):
        if most is None:
            files = {path for result in groups[group] for path in _files_of(result)}
            held |= {path: _size(folder / path) for path in files - set(held)}
        if (picked and sum(held.values()) > ROOM) if most is None else len(picked) >= most:
            break
        picked.add(group)
    return [group for group in groups if group in picked]


def evenly(groups: Sequence[Group]) -> Iterator[Group]:
    """All groups, in such an order that the first of them, however many, are spread over subjects, motions and then
    prompts; what is alike in that stays in the order given."""
    waiting: dict[tuple[str, str], list[Group]] = {}
    for group in groups:
        waiting.setdefault(group[:2], []).append(group)
    subjects, motions, pairs, prompts = Counter[str](), Counter[str](), Counter[tuple[str, str]](), Counter[str]()
    while waiting:
        pair = min(waiting, key=lambda pair: (subjects[pair[0]] + motions[pair[1]], pairs[pair]))
        group = min(waiting[pair], key=lambda group: prompts[group[2]])
        yield group
        waiting[pair].remove(group)
        if not waiting[pair]:
            del waiting[pair]
        subject, motion, prompt, _ = group
        for counts, name in ((subjects, subject), (motions, motion), (prompts, prompt)):
            counts[name] += 1
        pairs[pair] += 1


def _files_of(result: CellResult) -> tuple[str, ...]:
    video = (result.video,) if result.video is not None else ()
    return (*video, *result.references, *result.reference_clips)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:  # The page tells of a file that is missing.
        return 0
