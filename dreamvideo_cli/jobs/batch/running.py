"""`dv batch`: every row checked, then made with its base loaded once; a manifest says how each row went."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from dreamvideo_cli.jobs.batch.files import Row
from dreamvideo_cli.jobs.batch.making import by_base, made_here
from dreamvideo_cli.jobs.batch.rows import wish_of
from dreamvideo_cli.jobs.batch.workers import Share, made_by_workers
from dreamvideo_cli.jobs.composing import Job, prepare
from dreamvideo_cli.jobs.results import Result, results_of
from dreamvideo_cli.jobs.targets import Target, make_folder
from dreamvideo_cli.terminal.output import Out
from dreamvideo_cli.terminal.progress import Meter, Together
from dreamvideo_cli.wording import count_text
from engine.errors import EngineError, InputError
from engine.files import check_replaceable, written_aside

if TYPE_CHECKING:
    from registry import Registry

MANIFEST = "manifest.jsonl"
_ERRORS_SHOWN = 20
State = Literal["waiting", "kept", "made", "failed"]


@dataclass
class Entry:
    """A row, its job, and how it went: "kept" is a result that was there, whole, from before."""

    row: Row
    job: Job
    results: list[Result]
    state: State = "waiting"
    error: str | None = None
    hashes: dict[Path, str] = field(default_factory=dict)
    changed: list[Path] = field(default_factory=list)
    """Results of an earlier run that aren't any more as it left them."""

    @property
    def steps(self) -> int:
        """The denoising steps of the whole row."""
        return self.job.settings.config.steps * len(self.job.targets)

    def data(self) -> dict[str, Any]:
        """The row's line in the manifest."""
        done = self.state in ("kept", "made")
        shown = [result for result in self.results if done or result.path in self.hashes]
        return {
            "row": self.row.number,
            "state": self.state,
            "results": [{"path": str(r.path), "seed": r.seed, "sha256": self.hashes.get(r.path)} for r in shown],
            "error": self.error,
            "prompt": self.job.prompt,
            **{kind: adapter.id for kind, adapter in self.job.adapters.items()},
            "base": self.job.base.name,
            "settings": self.job.settings.values(),
        }


@contextmanager
def folder_of(folder: Path, thing: str = "batch") -> Iterator[None]:
    """Make a batch's folder (or a suite's) for as long as something is in it, and keep other processes out."""
    from filelock import FileLock, Timeout

    lock_name = f".{thing}.lock"
    made = not folder.exists()
    make_folder(folder)
    lock = FileLock(folder / lock_name, timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise InputError(f"another process works on the {thing} in {folder}: wait for it, or give --folder") from None
    try:
        yield
    finally:
        # Somebody may have removed the folder meanwhile.
        with suppress(OSError):
            if made and [path.name for path in folder.iterdir()] == [lock_name]:
                (folder / lock_name).unlink()
                folder.rmdir()
        lock.release()


def check(
    rows: Sequence[Row], folder: Path, registry: Registry, out: Out, *, force: bool, device: str | None = None
) -> list[Entry]:
    """Prepare every row, and see which results are there already. `device` is for rows that name none.

    Raises `InputError` with all the rows that can't be made; then none is.
    """
    from registry import RegistryError, RegistryUnavailableError

    entries: list[Entry] = []
    errors: list[str] = []
    taken: dict[Path, int] = {}
    check_replaceable(folder / MANIFEST)
    before = _hashes_before(folder / MANIFEST)
    for row in rows:
        try:
            entry = _entry(row, folder, registry, out, device)
            _claim(entry, taken)
            _look(entry, before, force=force)
            entries.append(entry)
        except RegistryUnavailableError:
            raise
        except (EngineError, RegistryError) as error:
            errors.append(f"row {row.number}: {error}")
    if errors:
        more = len(errors) - _ERRORS_SHOWN
        said = "\n".join([*errors[:_ERRORS_SHOWN], *([f"and {count_text(more, 'row')} more"] if more > 0 else [])])
        raise InputError(f"{count_text(len(errors), 'row')} of {len(rows)} can't be made, so none was\n{said}")
    return entries


def _entry(row: Row, folder: Path, registry: Registry, out: Out, device: str | None) -> Entry:
    wish = wish_of(row, folder)
    wish = replace(wish, device=wish.device or device)
    # Files that exist are looked into below: they may be this row's.
    job = prepare(replace(wish, force=True), registry, out)
    job = replace(job, wish=wish)
    return Entry(row, job, results_of(job))


def _claim(entry: Entry, taken: dict[Path, int]) -> None:
    for result in entry.results:
        first = taken.setdefault(result.path.absolute(), entry.row.number)
        if first != entry.row.number:
            raise InputError(f"row {first} writes {result.path} too: give each an output of its own")


def _look(entry: Entry, before: dict[str, str], *, force: bool) -> None:
    """Keep a row whose results are all there; refuse one that would replace a file of another origin."""
    from engine.data.files import sha256_of

    hashes = {result.path: before.get(str(result.path.absolute())) for result in entry.results}
    there = [result.is_there(hashes[result.path]) for result in entry.results]
    if all(there):
        entry.state = "kept"
        entry.hashes = {result.path: hashes[result.path] or sha256_of(result.path) for result in entry.results}
        return
    for result, whole in zip(entry.results, there, strict=True):
        noted = hashes[result.path]
        if whole or not result.path.exists():
            continue
        if noted is not None and sha256_of(result.path) != noted:
            entry.changed.append(result.path)
        elif noted is None and not (force or entry.job.wish.force):
            raise InputError(f"{result.path} exists and isn't this row's: choose another name, or add --force")


def _hashes_before(manifest: Path) -> dict[str, str]:
    """What an earlier run noted, by absolute path; nothing from a manifest that can't be read."""
    try:
        lines = [json.loads(line) for line in manifest.read_text(encoding="utf-8").splitlines()]
        return {
            str(Path(result["path"]).absolute()): str(result["sha256"])
            for line in lines
            for result in line["results"]
            if result["sha256"]
        }
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def carry_out(entries: Sequence[Entry], folder: Path, out: Out, shared: Sequence[Share] = ()) -> None:
    """Make what isn't there yet, here or in a process for each of `shared`; print each path when it is there and noted.

    A row that fails doesn't keep the others from being made. The manifest is written after each row.
    """
    _write_manifest(entries, folder)
    for entry in entries:
        if entry.state == "kept":
            _tell(entry, out)
    waiting = by_base([entry for entry in entries if entry.state == "waiting"])
    with Meter(out) as meter:
        progress = Together(meter, "batch", sum(entry.steps for entry in waiting), max(1, len(shared)))

        def on_step(entry: Entry, target: Target, _step: int, _steps: int, seconds: float) -> None:
            done = sum(entry.state != "waiting" for entry in waiting)
            progress.step(entry.row.number, f"{done} of {len(waiting)} rows, seed {target.seed}", seconds)

        making = made_by_workers(waiting, shared, on_step, out) if shared else made_here(waiting, on_step, out)
        with closing(making):
            for entry, error in making:
                entry.state, entry.error = ("made" if error is None else "failed"), error
                # First: whoever reads the path may interrupt, and finds the row as made.
                _write_manifest(entries, folder)
                if error is None:
                    _tell(entry, out)
                else:
                    out.warn(f"row {entry.row.number} failed: {error}")
                progress.job_done(entry.row.number, entry.steps)


def _tell(entry: Entry, out: Out) -> None:
    if not out.json:
        for result in entry.results:
            out.result(str(result.path), None)


def _write_manifest(entries: Sequence[Entry], folder: Path) -> None:
    with written_aside(folder / MANIFEST) as partial:
        lines = [json.dumps(entry.data()) + "\n" for entry in entries]
        partial.write_text("".join(lines), encoding="utf-8")
