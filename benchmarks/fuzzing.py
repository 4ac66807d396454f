"""Throws odd arguments, damaged adapters, batch rows and videos' notes at `dv`, and looks how it takes them.

    python -m benchmarks.fuzzing --cases 20000 --seed 1

A case fails if `dv` ends with a traceback, hangs, has another exit code than 0, 1, 2 or 130, refuses something without
a word, or changes a file outside DV_HOME that its arguments don't name. Hypothesis makes the cases and shrinks one
that fails. stdout gets one JSON object with the counts; the exit code is 1 if anything failed.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
import zipfile
from collections import Counter
from collections.abc import Callable, Sequence
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from benchmarks.odd_inputs import (
    batch_files,
    changed_bytes,
    changed_json,
    changed_safetensors,
    command_lines,
    commands,
    may_write,
    texts,
)
from benchmarks.sandbox import Ended, Sandbox, record_of, without_models

_CODES = (0, 1, 2, 130)
_BY_DEFAULT = {
    "compose": "*.mp4", "export": "*.dvpack", "batch": "*", "demo": "dv-demo*", "completion": "../../../user/*",
    "prune": "../../../user/cache/*",
}  # fmt: skip
"""What a command writes where no option says so, seen from the working folder."""
_REMOVE = ("batch", "prune")
"""Commands that may also remove what they may write."""
_SHARES = {"arguments": 0.55, "adapters": 0.2, "rows": 0.15, "notes": 0.1}
_MOST_AT_ONCE = 500

Target = Callable[[Sandbox], Callable[[Any], None]]


class BadEndError(AssertionError):
    """`dv` didn't take an input as it should."""


class Judge:
    """Runs `dv`, says what was wrong with its end, and counts."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.sandbox, self.known = sandbox, commands()
        self.ends: Counter[str] = Counter()
        self.cases = 0

    def __call__(self, words: Sequence[str], *, stdin: bytes = b"", anything_here: bool = False) -> None:
        """Raise `BadEndError` unless `dv` takes these words well. `anything_here` allows new files in its folder."""
        self.cases += 1
        ended = self.sandbox.play(words, stdin)
        self.ends[str(ended.code)] += 1
        try:
            self._check(words, ended, anything_here)
        finally:
            if ended.changed:
                self.sandbox.reset()

    def _check(self, words: Sequence[str], ended: Ended, anything_here: bool) -> None:
        shown = f"dv {' '.join(ascii(word[:200]) for word in words)}\n{ended.err[-2500:]}"
        if ended.code is None or "Traceback" in ended.err:
            raise BadEndError(f"a traceback: {shown}")
        if ended.code not in _CODES:
            raise BadEndError(f"exit code {ended.code}: {shown}")
        if ended.code == 2 and not ended.err.strip():
            raise BadEndError(f"refused without a word: {shown}")
        strays = [path for path in sorted(ended.changed) if not self._allowed(path, words, anything_here)]
        if strays or ended.outside:
            raise BadEndError(f"changed {[*map(str, strays), *ended.outside]}: {shown}")

    def _allowed(self, path: Path, words: Sequence[str], anything_here: bool) -> bool:
        full, here = self.sandbox.root / path, self.sandbox.here
        if full.is_relative_to(self.sandbox.home):
            return True
        usual = next((pattern for word, pattern in _BY_DEFAULT.items() if words and words[0] == word), None)
        relative = os.path.relpath(full, here)
        if anything_here or (usual is not None and fnmatch(relative, usual)):
            return full.exists() or words[0] in _REMOVE
        for name in may_write(words, self.known):
            wanted = os.path.normpath(here / name) if "\0" not in name else str(here)
            stem = os.path.splitext(wanted)[0].partition("{seed}")[0]
            if str(full) == wanted or str(full).startswith((f"{wanted}{os.sep}", stem)):
                return True
        return False


def arguments(judge: Judge) -> Any:
    """Every command's arguments and options."""

    @given(command_lines(judge.known), st.sampled_from((b"", b"y\n", b'{"prompt": "a dog"}\n', b"\xff\0")))
    def case(words: list[str], stdin: bytes) -> None:
        with without_models(judge.sandbox):
            judge(words, stdin=stdin)

    return case


def adapters(judge: Judge) -> Any:
    """An adapter's files in the registry, or in a pack, changed; then a command that reads them."""
    home, here = judge.sandbox.home, judge.sandbox.here
    places = sorted(path.relative_to(home) for path in (home / "adapters").rglob("*") if path.is_file())
    contents = {place: (home / place).read_bytes() for place in places}
    with zipfile.ZipFile(here / "both.dvpack") as pack:
        packed = {name: pack.read(name) for name in pack.namelist()}
    lines = (
        "show {id}", "show {id} --json", "verify", "list --json", "export --all", "export {id}", "tag {id} x",
        "rename {name} rex", "doctor", "doctor --rebuild", "doctor --rebuild", "rm {id} --yes", "verify --json",
        "compose a* --subject fox --size 16 -o out.gif", "compose dog --motion walk --size 16 --frames 2 -o out.gif",
    )  # fmt: skip
    readers = [line.split() for line in lines]

    @given(st.data())
    def case(data: st.DataObject) -> None:
        if data.draw(st.integers(0, 3)) == 0:
            name = data.draw(st.sampled_from(sorted(packed)))
            content = _changed(data, name, packed[name])
            with zipfile.ZipFile("changed.dvpack", "w") as changed:
                for each, whole in packed.items():
                    changed.writestr(each, content if each == name else whole)
            if data.draw(st.integers(0, 3)) == 0:
                whole = Path("changed.dvpack").read_bytes()
                Path("changed.dvpack").write_bytes(data.draw(changed_bytes(whole)))
            words = ["import", "changed.dvpack", *data.draw(st.sampled_from(((), ("--dry-run",), ("fox",))))]
        else:
            place = data.draw(st.sampled_from(places))
            (home / place).write_bytes(_changed(data, place.name, contents[place]))
            if data.draw(st.integers(0, 7)) == 0:
                (home / place).unlink()
            reader = data.draw(st.sampled_from(readers))
            if "--rebuild" in reader and data.draw(st.booleans()):
                database = home / "registry.sqlite3"
                database.write_bytes(data.draw(changed_bytes(database.read_bytes()[:4096])))
            name, version = place.parts[1:3]
            words = [word.format(id=f"{name}@{version}", name=name) if "{" in word else word for word in reader]
        _judged(judge, words, attach=True)

    return case


def rows(judge: Judge) -> Any:
    """Batch files of all formats."""
    columns = [parameter.name.replace("_", "-") for parameter in judge.known[("compose",)].params]

    @given(batch_files(columns), st.booleans(), st.booleans())
    def case(file: tuple[str, bytes], dry_run: bool, by_stdin: bool) -> None:
        suffix, content = file
        Path(f"odd.{suffix}").write_bytes(content)
        words = ["batch", *(["-", "--format", suffix] if by_stdin else [f"odd.{suffix}"])]
        _judged(judge, [*words, *(["--dry-run"] if dry_run else [])], stdin=content, anything_here=True)

    return case


def notes(judge: Judge) -> Any:
    """Videos whose note of how they were made is another, and videos that are damaged."""
    from engine.media.video import write_video

    record = record_of(judge.sandbox.base)
    record |= {"subject": {"name": "fox@1", "sha256": "a" * 64}, "appearance": {"from": "picture", "sha256": "b" * 64}}
    films = {name: (judge.sandbox.here / name).read_bytes() for name in ("made.mp4", "made.gif", "made.png")}
    frames = judge.sandbox.frames
    readers = (
        ("inspect", "odd"), ("inspect", "odd", "--json"), ("compose", "--from", "odd", "-o", "out.gif"),
        ("compose", "--from", "odd", "--base", "embedded"), ("eval", "odd", "--references", "photos"), ("eval", "odd"),
    )  # fmt: skip

    @given(st.data())
    def case(data: st.DataObject) -> None:
        form = data.draw(st.sampled_from(("mp4", "png", "gif", "text", "bytes")))
        name = "odd.png" if form == "text" else f"odd.{'mp4' if form == 'bytes' else form}"
        if form == "bytes":
            name = f"odd.{data.draw(st.sampled_from(sorted(films)))}"
            Path(name).write_bytes(data.draw(changed_bytes(films[name.removeprefix("odd.")])))
        elif form == "text":
            chunks = PngInfo()
            note = json.dumps({"dv": data.draw(changed_json(record))})
            chunks.add_text(
                "dv", data.draw(st.one_of(st.just(note), texts())).encode("latin-1", "replace").decode("latin-1")
            )
            Image.new("RGB", (8, 8)).save(name, pnginfo=chunks)
        else:
            noted = json.loads(json.dumps(data.draw(changed_json(record))), parse_constant=str)
            write_video(frames, Path(name), 8, noted if isinstance(noted, dict) else {"x": noted})
        words = [name if word == "odd" else word for word in data.draw(st.sampled_from(readers))]
        _judged(judge, words)

    return case


TARGETS = {each.__name__: each for each in (arguments, adapters, rows, notes)}


def _judged(judge: Judge, words: Sequence[str], *, attach: bool = False, **how: Any) -> None:
    """Judge words on files that were just written, and put all files back."""
    judge.sandbox.remember()
    try:
        with without_models(judge.sandbox, attach=attach):
            judge(words, **how)
    finally:
        judge.sandbox.reset()


def _changed(data: st.DataObject, name: str, content: bytes) -> bytes:
    if name.endswith(".safetensors"):
        return data.draw(changed_safetensors(content))
    if data.draw(st.booleans()):
        return json.dumps(data.draw(changed_json(json.loads(content)))).encode()
    return data.draw(changed_bytes(content))


def fuzz(judge: Judge, name: str, cases: int, first_seed: int) -> list[str]:
    """Run at least `cases` cases of a target; give what was found, each of it shrunk."""
    found: list[str] = []
    done, round_number = 0, 0
    while done < cases and len(found) < 5:
        most = min(_MOST_AT_ONCE, cases - done)
        before = judge.cases
        case = TARGETS[name](judge)
        how = settings(
            max_examples=most, deadline=None, database=None, suppress_health_check=list(HealthCheck),
            phases=(Phase.generate, Phase.shrink), print_blob=False, report_multiple_bugs=False,
        )  # fmt: skip
        try:
            seed(f"{first_seed} {name} {round_number}")(how(case))()
        except BadEndError as error:
            found.append(f"{name}: {error}")
            print(found[-1], file=sys.stderr, flush=True)
        done += judge.cases - before
        round_number += 1
        print(f"{name}: {done:,} of {cases:,}, {dict(judge.ends)}", file=sys.stderr, flush=True)
    return found


def main() -> None:
    """Run it."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--cases", type=int, default=20_000)
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--targets", default=",".join(TARGETS), help="of " + ", ".join(TARGETS))
    chosen = options.parse_args()
    targets = chosen.targets.split(",")
    whole = sum(_SHARES[name] for name in targets)
    began = time.monotonic()
    started_in = os.getcwd()
    with tempfile.TemporaryDirectory() as folder:
        judge = Judge(Sandbox(Path(folder).resolve()))
        found, counts = [], {}
        for name in targets:
            before = judge.cases
            found += fuzz(judge, name, round(chosen.cases * _SHARES[name] / whole), chosen.seed)
            counts[name] = judge.cases - before
        os.chdir(started_in)
    print(json.dumps({
        "cases": judge.cases, "by_target": counts, "exit_codes": dict(judge.ends), "found": found,
        "seconds": round(time.monotonic() - began),
    }))  # fmt: skip
    sys.exit(bool(found))


if __name__ == "__main__":
    main()
