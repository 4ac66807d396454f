"""The registry itself: rows in a database, folders beside it, and the order in which the two change."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from types import TracebackType
from typing import Any

from registry import bases, checking, documents, importing, kept_steps, labels, packing, renaming, rows
from registry.blobs import BASES, DOCUMENT, LABELS, Blobs, measure, sync
from registry.compositions import Compositions
from registry.database import Database
from registry.driver_errors import readable_errors
from registry.errors import DamagedAdapterError, NewerRegistryError, RegistryUnavailableError, UnknownNameError
from registry.location import RegistryLocation
from registry.names import AdapterSpec, check_name
from registry.pruning import Pruner
from registry.publishing import publish_staged
from registry.records import Adapter, AdapterAtStep, BaseRow, Kind, Labels, NewAdapter, Source
from registry.removing import remove_without_row
from registry.runs import Runs
from registry.suites import Suites


class Registry:
    """Everything that was learnt, and the bases that were added.

    Any method raises RegistryUnavailableError when the disk stands in the way. Several processes may work
    with one registry at a time. Open with `Registry.open()`, close with `close()` or a `with` block.
    """

    def __init__(self, folder: Path, database: Database) -> None:
        self.folder = folder
        self._database = database
        self._blobs = Blobs(folder / "adapters")
        self._base_blobs = Blobs(folder / BASES)
        self.runs = Runs(database, folder)
        self.compositions = Compositions(database)
        self.suites = Suites(database)
        self.pruner = Pruner(database, self._blobs, self._base_blobs, self.runs, folder)

    @classmethod
    def open(cls, folder: Path | None = None) -> Registry:
        """Open the registry in `folder` (default: `home()`); make or migrate it where needed.

        `DV_REGISTRY_URL` may say that its database is on a server. Raises AddressError, and NewerRegistryError for
        one that a newer dv wrote.
        """
        location = RegistryLocation.of(folder)
        return cls(location.folder, Database(location))

    def close(self) -> None:
        self._database.close()

    def __enter__(self) -> Registry:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def run_folder(self, name: str) -> Path:
        """Give the folder for an unfinished run of this name. Not created. Raises InvalidNameError."""
        return self.folder / "runs" / check_name(name)

    # Publishing

    def next_version(self, name: str, kind: Kind) -> int:
        """Give the number that `publish` would choose now: what to ask before a long run.

        Raises InvalidNameError, and NameTakenError where the name belongs to the other kind.
        """
        name = check_name(name)
        with self._database.reading() as session:
            return self._last_version(rows.last_version(session, name, kind), name) + 1

    def staging(self) -> AbstractContextManager[Path]:
        """Give a fresh folder to fill and publish; if it isn't published, it is removed at the end.

        Meant for minutes, not for a whole run: one that nobody touches for a week counts as left over.
        """
        return self._staging(self._blobs)

    def base_staging(self) -> AbstractContextManager[Path]:
        """As `staging`, for `publish_base`."""
        return self._staging(self._base_blobs)

    @contextmanager
    def _staging(self, blobs: Blobs) -> Iterator[Path]:
        with readable_errors(self._database.location):
            blobs.sweep()
            staged = blobs.new_staging()
        try:
            yield staged
        finally:
            blobs.discard(staged)

    def publish(
        self,
        staged: Path,
        adapter: NewAdapter,
        sources: Sequence[Source],
        describe: Callable[[dict[str, Any]], None] | None = None,
    ) -> Adapter:
        """Make the staged folder the next version of `adapter.name`, and give it as it stands.

        Writes `adapter.json` into the folder; `describe` may add keys to it. The row comes last: whatever
        happens in between, no row is without whole files. Raises InvalidNameError and NameTakenError.
        """
        name = check_name(adapter.name)
        with readable_errors(self._database.location):
            with self._database.writing() as session:
                version = self._last_version(rows.last_version(session, name, adapter.kind), name) + 1
                rows.reserve(session, name, adapter.kind, version)
            file_hash, size = measure(staged)
            numbered = Adapter(**{**asdict(adapter), "name": name}, version=version, file_hash=file_hash, size=size)
            published, plain_sources = documents.write(staged, numbered, sources, describe)
            sync(staged)
            publish_staged(self._database, self._blobs, staged, published, plain_sources)
        return published

    def restore(self, folder: Path) -> Adapter:
        """Insert the row of a published folder whose row was lost, from its `adapter.json` and `labels.json`.

        `folder` is `adapters/<name>/<version>` in this registry. A row that is there already stays, but for its
        labels. Labels that can't be read are left out: the adapter counts for more. Raises DamagedAdapterError,
        NewerRegistryError, NameTakenError, and ValueError for a link among the files.
        """
        with readable_errors(self._database.location):
            adapter, sources = documents.read(folder)
            own = self.path(adapter)
            if not own.exists() or not own.samefile(folder):
                raise DamagedAdapterError(
                    f"{folder} holds {adapter.id}, whose place in this registry is {own}. Move it there first."
                )
            if measure(folder) != (adapter.file_hash, adapter.size):
                raise DamagedAdapterError(
                    f"The files in {folder} aren't those that were published as {adapter.id}. "
                    "Put whole copies in their place, or learn the adapter anew."
                )
            attached = _readable_labels(folder)
            with self._database.writing() as session:
                # A folder without a row may be pruned at any moment until this one.
                if not (own / DOCUMENT).is_file():
                    raise DamagedAdapterError(f"{own} was taken away meanwhile, so {adapter.id} is not restored.")
                for known in rows.listed(session, None, adapter.name):
                    if known.version == adapter.version:
                        if attached is not None:
                            labels.store(session, known, attached)
                        return known
                rows.last_version(session, adapter.name, adapter.kind)
                rows.reserve(session, adapter.name, adapter.kind, adapter.version)
                rows.insert(session, adapter, sources)
                if attached is not None:
                    labels.store(session, adapter, attached)
        return adapter

    def _last_version(self, counted: int, name: str) -> int:
        # The folders have a say too: their rows may have been lost, or another name's letters may differ
        # only in case, on a file system that doesn't tell the two apart.
        return max(counted, self._blobs.newest_version(name))

    # Looking

    def adapters(self, *, kind: Kind | None = None, name: str | None = None) -> list[Adapter]:
        """Give all adapters, or those of one kind or name, newest last."""
        with self._database.reading() as session:
            return rows.listed(session, kind, None if name is None else check_name(name))

    def find(self, spec: str, *, kind: Kind | None = None) -> Adapter:
        """Give the adapter that `chowchow@2` means, or the newest version of `chowchow`.

        Raises InvalidNameError and UnknownNameError, which suggests names that are written alike, and refuses a kept
        step, `chowchow@2:400`: that is for what takes one in the adapter's place, see `find_at`.
        """
        found = self.find_at(spec, kind=kind)
        if isinstance(found, AdapterAtStep):
            raise UnknownNameError(
                f"{spec} is a step that was kept of {found.name}@{found.version}, and this is about whole adapters: "
                f"give {found.name}@{found.version}."
            )
        return found

    def find_at(self, spec: str, *, kind: Kind | None = None) -> Adapter:
        """Like `find`, and where `spec` names a step that was kept, the adapter as it was at that step.

        Raises as `find`, and DamagedAdapterError for a step that can't be read.
        """
        parsed = AdapterSpec.parse(spec)
        with self._database.reading() as session:
            adapter = rows.found(session, parsed, kind)
        return adapter if parsed.step is None else kept_steps.found(self._blobs, adapter, parsed.step)

    def path(self, adapter: Adapter) -> Path:
        """Give the folder of a published adapter, or of a kept step."""
        folder = self._blobs.folder(adapter.name, adapter.version)
        return folder / kept_steps.STEPS / str(adapter.step) if isinstance(adapter, AdapterAtStep) else folder

    def kept_steps(self, adapter: Adapter) -> list[AdapterAtStep]:
        """Give the steps that were kept while an adapter was learnt, in order; a damaged one is left out."""
        return kept_steps.readable(self._blobs, adapter)

    def sources(self, adapter: Adapter) -> list[Source]:
        """Give what an adapter learnt from, in the order it was published with. Raises UnknownNameError."""
        with self._database.reading() as session:
            return rows.sources_of(session, adapter)

    def check(self, adapters: Sequence[Adapter], hash_of: checking.HashOf | None = None) -> Iterator[checking.Finding]:
        """Re-hash adapters and, with `hash_of`, the sources that they learnt from, one finding each."""
        return checking.check(self._database, self._blobs, adapters, hash_of)

    # Labels

    def labels(self, adapter: Adapter) -> Labels:
        """Give an adapter's tags and note. Raises UnknownNameError."""
        with self._database.reading() as session:
            return labels.of_one(session, adapter)

    def add_tags(self, adapter: Adapter, tags: Sequence[str]) -> Labels:
        """Tag an adapter. Raises InvalidNameError, UnknownNameError, DamagedAdapterError."""
        return self._relabel(adapter, lambda present: labels.with_tags(present, tags))

    def remove_tags(self, adapter: Adapter, tags: Sequence[str]) -> Labels:
        """Take tags away; one that isn't there is no error. Raises as `add_tags`."""
        return self._relabel(adapter, lambda present: labels.without_tags(present, tags))

    def set_note(self, adapter: Adapter, note: str) -> Labels:
        """Replace an adapter's note; an empty one takes it away. Raises as `add_tags`."""
        checked = labels.check_note(note)
        return self._relabel(adapter, lambda present: replace(present, note=checked))

    def _relabel(self, adapter: Adapter, change: Callable[[Labels], Labels]) -> Labels:
        with readable_errors(self._database.location), self._database.writing() as session:
            changed = change(labels.of_one(session, adapter))
            labels.store(session, adapter, changed)
            # The file under the row's lock: of two processes, the later one's file is the later one's row.
            labels.write(self._blobs, self.path(adapter), changed)
        return changed

    # Renaming, removing

    def rename(self, old: str, new: str) -> list[Adapter]:
        """Give every version of `old` the name `new`, and give them as they are now.

        Numbers stay; those of `old` aren't used again, unless `new` is renamed back. Raises InvalidNameError,
        UnknownNameError, NameTakenError, DamagedAdapterError.
        """
        return renaming.rename(self._database, self._blobs, old, new)

    def remove(self, adapters: Sequence[Adapter]) -> int:
        """Remove adapters, all or none, and give the bytes that were really freed.

        One whose row another process brings back meanwhile keeps its files. Raises UnknownNameError if one is no
        longer there; RegistryUnavailableError names folders that would not go.
        """
        each = list({adapter.id: adapter for adapter in adapters}.values())
        with self._database.writing() as session:
            rows.delete(session, each)
        freed = 0
        stuck = []
        for adapter in each:
            try:
                freed += remove_without_row(self._database, self._blobs, adapter.name, adapter.version)
            except RegistryUnavailableError as error:
                stuck.append(str(error))
        if stuck:
            raise RegistryUnavailableError(
                f"The adapters are out of the registry, but not all their files could be deleted. {' '.join(stuck)} "
                "Then remove the files with: dv prune"
            )
        return freed

    def remove_steps(self, steps: Sequence[AdapterAtStep]) -> int:
        """Remove kept steps, and give the bytes that this freed. Their adapters stay; a step that is gone is no error.

        Raises RegistryUnavailableError.
        """
        with readable_errors(self._database.location):
            return sum(self._blobs.remove_inside(self.path(step)) for step in steps)

    # Out and in

    def with_hash(self, file_hash: str, kind: Kind) -> Adapter | None:
        """Give the adapter of this kind whose files have this hash, whatever its name is now; the newest of equals.

        Where it is the hash of a kept step, that is the adapter at the step.
        """
        with self._database.reading() as session:
            found = rows.with_hash(session, file_hash, kind)
            adapters = [] if found is not None else rows.listed(session, kind, None)
        if found is not None:
            return found
        steps = (step for adapter in reversed(adapters) for step in self.kept_steps(adapter))
        return next((step for step in steps if step.file_hash == file_hash), None)

    def export(self, file: Path, adapters: Sequence[Adapter] | None = None, *, replace_file: bool = False) -> int:
        """Write adapters into one portable file, or the whole registry (None), and give the file's bytes.

        Raises DamagedAdapterError for files that aren't what was published, FileExistsError where there is a file and
        it isn't to be replaced, and OSError where `file` can't be written.
        """
        if adapters is not None:
            return packing.write(self._blobs, file, adapters, replace_file=replace_file)
        with self._database.reading() as session:
            whole = importing.whole(session)
            chosen = rows.listed(session, None, None)
        whole = replace(whole, compositions=tuple(self.compositions.all()))
        return packing.write(self._blobs, file, chosen, whole, replace_file=replace_file)

    def import_from(self, file: Path, *, only: Sequence[str] = (), name: str | None = None) -> list[importing.Imported]:
        """Take in the adapters of an exported file (`only`: those that these say, as `chowchow` or `chowchow@2`),
        under `name` if one is given. One that is here already stays; a number that is taken becomes the next one.

        Nothing comes in unless all of it is right. Raises PackError, NewerRegistryError, UnknownNameError,
        InvalidNameError, NameTakenError, DamagedAdapterError.
        """
        specs = [AdapterSpec.parse(text) for text in only]
        for spec in specs:
            if spec.step is not None:
                raise UnknownNameError(f"{spec} is a kept step, which comes with its adapter: give {spec.whole}.")
        with readable_errors(self._database.location):
            return importing.import_pack(self._database, self._blobs, file, specs, name)

    # Bases

    def bases(self) -> list[BaseRow]:
        """Give the bases that were added, by name. None is the default while the embedded base is."""
        with self._database.reading() as session:
            return bases.listed(session)

    def base(self, name: str) -> BaseRow:
        """Give one base that was added. Raises UnknownNameError."""
        with self._database.reading() as session:
            return bases.found(session, name)

    def add_base(
        self,
        name: str,
        model: str,
        *,
        image_encoder: str | None = None,
        motion_module: str | None = None,
        fingerprint: str | None = None,
    ) -> BaseRow:
        """Add a base. Raises InvalidNameError, and NameTakenError for a name that a base has."""
        base = BaseRow(
            name=name,
            model=model,
            image_encoder=image_encoder,
            motion_module=motion_module,
            fingerprint=fingerprint,
            is_default=False,
        )
        with self._database.writing() as session:
            return bases.add(session, base)

    def publish_base(self, staged: Path, name: str, *, fingerprint: str, lineage: dict[str, Any]) -> BaseRow:
        """Put the staged folder, a whole model, in its place among the bases, and add it under a name.

        The row comes last: no row is without whole files. Raises InvalidNameError, and NameTakenError for a name that a
        base has by now.
        """
        placed = None
        with readable_errors(self._database.location):
            try:
                sync(staged)
                with self._database.writing() as session:
                    name = bases.check_new(session, name)
                    placed = self._base_blobs.move_in(staged, name, self._base_blobs.newest_version(name) + 1)
                    added = bases.add(session, bases.tuned(name, placed, fingerprint, lineage))
            except BaseException:
                # Ctrl-C may come just after the row was written; then the files must stay.
                if placed is not None and not any(base.model == str(placed) for base in self.bases()):
                    self._base_blobs.take_back(placed, staged)
                raise
        return added

    def check_new_base(self, name: str) -> None:
        """Raise InvalidNameError or NameTakenError where a base can't be called so."""
        with self._database.reading() as session:
            bases.check_new(session, name)

    def use_base(self, name: str) -> None:
        """Make a base the default; with "embedded" none of the added ones is. Raises UnknownNameError."""
        with self._database.writing() as session:
            bases.use(session, name)

    def remove_base(self, name: str) -> None:
        """Forget a base, not its files; the embedded one follows a default. Raises UnknownNameError."""
        with self._database.writing() as session:
            bases.remove(session, name)

    def store_fingerprint(self, name: str, fingerprint: str) -> None:
        """Store the fingerprint that was computed for a base. Raises UnknownNameError."""
        with self._database.writing() as session:
            bases.store_fingerprint(session, name, fingerprint)


def _readable_labels(folder: Path) -> Labels | None:
    """What `labels.json` says; None where it isn't there or can't be read."""
    try:
        return labels.read(folder) if (folder / LABELS).exists() else None
    except (DamagedAdapterError, NewerRegistryError):
        return None
