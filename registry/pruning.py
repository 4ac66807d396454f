"""What can go, found out and written down before anything goes: rows first, then files."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal

from filelock import Timeout
from sqlmodel import Session

from registry import kept_steps, labels, rows
from registry.blobs import BASES, Blobs, bytes_on_disk, delete, last_touched
from registry.database import Database
from registry.driver_errors import readable_errors
from registry.names import is_name
from registry.records import Adapter, Run
from registry.removing import remove_without_row
from registry.runs import LOGS, Runs
from registry.tables import NameRow

What = Literal["version", "step", "snapshot", "orphan", "run", "cache"]

BY_SIZE = frozenset[What](("version", "step", "snapshot"))
"""What may stay as long as there is room."""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What may go. Of each name the `keep` newest versions stay, and any that has a tag.

    Nothing younger than `older_than` goes. With `at_most`, old versions, kept steps and snapshots go only as long as
    all adapters and snapshots together have more bytes, the oldest first.
    """

    whats: frozenset[What]
    keep: int = 1
    older_than: timedelta | None = None
    at_most: int | None = None
    caches: tuple[Path, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Doomed:
    """One thing that goes: an old version, a step that was kept of one that stays, an unfinished run's folder, a file
    without a row, a run's row with its log, a cache. `moment` is the ISO time from which its age counts."""

    what: What
    id: str
    bytes: int
    moment: str
    path: Path
    adapter: Adapter | None = None
    runs: tuple[Run, ...] = ()


@dataclass(frozen=True)
class PrunePlan:
    """All that would go, and the folders of adapters that this registry never knew: those never go unasked."""

    doomed: tuple[Doomed, ...]
    unknown: tuple[Path, ...]

    @property
    def bytes(self) -> int:
        """What it should free."""
        return sum(each.bytes for each in self.doomed)


@dataclass(frozen=True)
class Pruner:
    """Plans and carries out."""

    database: Database
    blobs: Blobs
    base_blobs: Blobs
    runs: Runs
    folder: Path

    def plan(self, limits: Limits, now: datetime | None = None) -> PrunePlan:
        """Find out what would go, and touch nothing."""
        moment = now or datetime.now(UTC)
        with readable_errors(self.database.location):
            orphans, unknown = self._orphans()
            sorts: dict[What, Callable[[], Iterable[Doomed]]] = {
                "version": lambda: self._versions(limits.keep),
                "step": lambda: self._steps(limits.keep if "version" in limits.whats else None),
                "snapshot": self._snapshots,
                "orphan": lambda: orphans,
                "run": self._ended_runs,
                "cache": lambda: self._caches(limits.caches),
            }
            found = [each for what, find in sorts.items() if what in limits.whats for each in find()]
            if limits.older_than is not None:
                youngest = _before(moment, limits.older_than)
                found = [each for each in found if datetime.fromisoformat(each.moment) <= youngest]
            if limits.at_most is not None:
                found = self._only_what_is_too_much(found, limits.at_most)
        return PrunePlan(tuple(found), tuple(unknown))

    def carry_out(self, plan: PrunePlan) -> int:
        """Remove what was planned and may still go, and give the bytes that were really freed.

        What another process needs by now, or has removed itself, is passed over.
        """
        with readable_errors(self.database.location):
            return sum(self._remove(each) for each in plan.doomed)

    def _remove(self, each: Doomed) -> int:
        if each.adapter is not None:
            return self._remove_version(each.adapter)
        if each.what == "step":
            return self.blobs.remove_inside(each.path)
        if each.what == "snapshot":
            return self._remove_snapshot(each)
        if each.what == "run":
            self.runs.forget(each.runs)
            return each.bytes
        if each.what == "orphan" and each.path.parent.parent == self.blobs.root:
            return self._remove_orphan(each.path.parent.name, int(each.path.name))
        for blobs in (self.blobs, self.base_blobs):
            if each.path.parent == blobs.root:
                return blobs.drop(each.path)
        return delete(each.path)

    # Old versions

    def _versions(self, keep: int) -> list[Doomed]:
        return [self._version(adapter) for adapter in self._old(keep)]

    def _old(self, keep: int) -> list[Adapter]:
        """All but the `keep` newest versions of each name, and but for tagged ones."""
        with self.database.reading() as session:
            adapters, labelled = rows.listed(session, None, None), labels.of_all(session)
        by_name: dict[str, list[Adapter]] = {}
        for adapter in adapters:
            by_name.setdefault(adapter.name, []).append(adapter)
        return [
            adapter
            for versions in by_name.values()
            for adapter in sorted(versions, key=lambda version: version.version)[: max(0, len(versions) - keep)]
            if not (adapter.id in labelled and labelled[adapter.id].tags)
        ]

    def _steps(self, keep: int | None) -> list[Doomed]:
        """The kept steps of the adapters that stay, where `keep` versions of each name do, and all do without."""
        going = {adapter.id for adapter in self._old(keep)} if keep is not None else set()
        with self.database.reading() as session:
            adapters = rows.listed(session, None, None)
        return [
            Doomed(
                what="step", id=f"{adapter.id}:{step}", bytes=bytes_on_disk(path), moment=_utc(adapter.ended_at),
                path=path,
            )
            for adapter in adapters
            if adapter.id not in going
            for step, path in kept_steps.folders(self.blobs.folder(adapter.name, adapter.version))
        ]  # fmt: skip

    def _version(self, adapter: Adapter) -> Doomed:
        folder = self.blobs.folder(adapter.name, adapter.version)
        size = bytes_on_disk(folder)
        return Doomed(
            what="version", id=adapter.id, bytes=size, moment=_utc(adapter.ended_at), path=folder, adapter=adapter
        )

    def _remove_version(self, adapter: Adapter) -> int:
        with self.database.writing() as session:
            # Tagged meanwhile, or renamed, or removed: then it isn't what was shown.
            known = [each for each in rows.listed(session, None, adapter.name) if each == adapter]
            if not known or labels.of_one(session, adapter).tags:
                return 0
            rows.delete(session, known)
        return remove_without_row(self.database, self.blobs, adapter.name, adapter.version)

    # Unfinished runs

    def _snapshots(self) -> list[Doomed]:
        """Folders of unfinished runs that no process works on, with the rows that tell of them."""
        folder = self.folder / "runs"
        if not folder.is_dir():
            return []
        runs = self.runs.all()
        found = []
        for run in sorted(entry for entry in folder.iterdir() if entry.is_dir()):
            about = tuple(each for each in runs if each.name == run.name and each.state in ("failed", "interrupted"))
            if is_name(run.name) and not self._in_use(run.name):
                found.append(
                    Doomed(
                        what="snapshot", id=run.name, bytes=bytes_on_disk(run), moment=_touched(run), path=run,
                        runs=about,
                    )
                )  # fmt: skip
        return found

    def _in_use(self, name: str) -> bool:
        lock = self.runs.lock(name)
        try:
            lock.acquire()
        except Timeout:
            return True
        lock.release()
        return False

    def _remove_snapshot(self, each: Doomed) -> int:
        try:
            # Held to the end, so that nobody resumes what is half gone.
            with self.runs.lock(each.id):
                # Gone on with meanwhile, and stopped again: then it isn't what was shown.
                if _touched(each.path) != each.moment:
                    return 0
                self.runs.forget(each.runs)
                return delete(each.path)
        except Timeout:
            return 0

    def _ended_runs(self) -> list[Doomed]:
        """Failed and interrupted runs that can't be resumed any more: their rows and logs."""
        found = []
        for run in self.runs.all():
            log = self.runs.log_of(run.id)
            if run.state in ("failed", "interrupted") and not (self.folder / "runs" / run.name).is_dir():
                size = bytes_on_disk(log)
                moment = run.ended_at or run.heartbeat_at
                found.append(
                    Doomed(what="run", id=f"run {run.id}", bytes=size, moment=moment, path=log, runs=(run,))
                )  # fmt: skip
        return found

    # Files without a row

    def _orphans(self) -> tuple[list[Doomed], list[Path]]:
        """What killed processes left behind; and folders whose numbers this registry never gave out."""
        # Under the lock that publishing holds from the folder's coming to its row's.
        with self.database.writing() as session:
            lost = self._without_row(session)
        orphans = [self._orphan(f"{name}@{version}", self.blobs.folder(name, version)) for name, version in lost[0]]
        orphans += [self._orphan(folder.name, folder) for folder in self.blobs.leftovers()]
        orphans += [self._orphan(f"{BASES}/{folder.name}", folder) for folder in self.base_blobs.leftovers()]
        # Logs before rows: a run's row comes before its log.
        logs = sorted(self.folder.glob(f"{LOGS}/*.log"))
        known = {str(run.id) for run in self.runs.all()}
        orphans += [self._orphan(f"{LOGS}/{log.name}", log) for log in logs if log.stem not in known]
        return orphans, [self.blobs.folder(name, version) for name, version in lost[1]]

    def _without_row(self, session: Session) -> tuple[list[tuple[str, int]], list[tuple[str, int]]]:
        there = {(adapter.name, adapter.version) for adapter in rows.listed(session, None, None)}
        lost = [place for place in self.blobs.numbers() if place not in there]
        ours = [place for place in lost if _gave_out(session, *place)]
        return ours, [place for place in lost if place not in ours]

    def _orphan(self, id: str, path: Path) -> Doomed:
        return Doomed(what="orphan", id=id, bytes=bytes_on_disk(path), moment=_touched(path), path=path)

    def _remove_orphan(self, name: str, version: int) -> int:
        with self.database.reading() as session:
            if not _gave_out(session, name, version):
                return 0
        return remove_without_row(self.database, self.blobs, name, version)

    def _caches(self, folders: Sequence[Path]) -> list[Doomed]:
        there = [folder for folder in folders if folder.exists()]
        return [replace(self._orphan(str(folder), folder), what="cache") for folder in there]

    def _only_what_is_too_much(self, found: Sequence[Doomed], at_most: int) -> list[Doomed]:
        total = bytes_on_disk(self.blobs.root) + bytes_on_disk(self.folder / "runs")
        total -= sum(each.bytes for each in found if each.what == "orphan" and self.blobs.root in each.path.parents)
        chosen = [each for each in found if each.what not in BY_SIZE]
        for each in sorted(found, key=lambda each: each.moment):
            if each.what in BY_SIZE and total > at_most:
                chosen.append(each)
                total -= each.bytes
        return chosen


def _gave_out(session: Session, name: str, version: int) -> bool:
    """Whether this registry gave out the number; if not, its database is younger than the folder."""
    row = session.get(NameRow, name)
    return row is not None and version <= row.last_version


def _before(moment: datetime, age: timedelta) -> datetime:
    """`age` before `moment`, or the first moment that there is."""
    try:
        return moment - age
    except OverflowError:
        return datetime.min.replace(tzinfo=UTC)


def _touched(path: Path) -> str:
    """The ISO time of the newest change in `path`, or below it."""
    return datetime.fromtimestamp(last_touched(path), UTC).isoformat(timespec="seconds")


def _utc(moment: str) -> str:
    then = datetime.fromisoformat(moment)
    return (then if then.tzinfo else then.replace(tzinfo=UTC)).isoformat()
