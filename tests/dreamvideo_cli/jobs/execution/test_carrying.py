"""Values that name files, on a machine that doesn't have these."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path

from dreamvideo_cli.jobs.execution.carrying import contents_of, is_here, mark_of, moved, packed, put, unpacked


@dataclass(frozen=True)
class Named:
    path: Path
    others: tuple[Path, ...]
    more: dict[str, list[Path]]
    number: int = 1


def test_paths_are_replaced_wherever_they_are_and_the_rest_is_the_same_object() -> None:
    old, new, kept = Path("/old"), Path("/new"), Path("/kept")
    inner = Named(kept, (), {})
    value = (Named(old, (kept, old), {"a": [old]}), inner, "text")
    replaced = moved(value, lambda path: new if path == old else path)
    assert replaced == (Named(new, (kept, new), {"a": [new]}), inner, "text")
    assert replaced[1] is inner
    assert moved(value, lambda path: path) is value


def test_a_file_is_here_as_long_as_it_is_the_same(tmp_path: Path) -> None:
    folder = tmp_path / "adapter"
    (folder / "inner").mkdir(parents=True)
    for path in (folder / "a.bin", folder / "inner" / "b.bin"):
        path.write_bytes(b"weights")
    mark = mark_of(folder)
    assert is_here(mark)
    assert not is_here(replace(mark, path=tmp_path / "other"))
    os.utime(folder / "inner" / "b.bin", ns=(1, 1))
    assert not is_here(mark)

    put(contents_of(folder), tmp_path / "copy")
    assert (tmp_path / "copy" / "inner" / "b.bin").read_bytes() == b"weights"
    put(contents_of(folder / "a.bin"), tmp_path / "there" / "c.bin")
    assert (tmp_path / "there" / "c.bin").read_bytes() == b"weights"


def test_what_a_worker_made_comes_along_and_nothing_else(tmp_path: Path) -> None:
    there, here, elsewhere = tmp_path / "there", tmp_path / "here", tmp_path / "elsewhere.txt"
    (there / "adapter").mkdir(parents=True)
    (there / "adapter" / "a.bin").write_bytes(b"a")
    (there / "video.mp4").write_bytes(b"v")
    elsewhere.write_bytes(b"e")
    parcel = packed(Named(there / "adapter", (there / "video.mp4", elsewhere), {}), there)
    assert dict(parcel.contents) == {"adapter/a.bin": b"a", "video.mp4": b"v"}
    assert unpacked(parcel, here) == Named(here / "adapter", (here / "video.mp4", elsewhere), {})
    assert (here / "adapter" / "a.bin").read_bytes() == b"a"
    assert (here / "video.mp4").read_bytes() == b"v"
