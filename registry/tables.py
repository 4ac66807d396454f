"""The tables. The migrations make them; a test holds the two together."""

from __future__ import annotations

from typing import Any

from sqlalchemy import JSON, BigInteger, Integer, UniqueConstraint
from sqlalchemy.engine import Dialect
from sqlalchemy.types import TypeDecorator, TypeEngine
from sqlmodel import Field, SQLModel


class Large(TypeDecorator[int]):
    """A number of up to 64 bits: SQLite's every integer may be one, PostgreSQL's may not."""

    impl = Integer
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[int]:
        return dialect.type_descriptor(BigInteger() if dialect.name == "postgresql" else Integer())


class NameRow(SQLModel, table=True):
    """A name that was ever used, and its counter. It outlives its adapters: no number is used twice.

    `moved_to` is the name that all numbers up to the counter belong to since a rename, or are about to.
    """

    __tablename__ = "names"

    name: str = Field(primary_key=True)
    kind: str
    last_version: int
    moved_to: str | None = None


class AdapterRow(SQLModel, table=True):
    __tablename__ = "adapters"
    __table_args__ = (UniqueConstraint("name", "version", name="uq_adapters_name_version"),)

    id: int | None = Field(default=None, primary_key=True)
    kind: str
    name: str = Field(foreign_key="names.name")
    version: int
    base_fingerprint: str
    base_name: str
    method: str
    hyperparameters: dict[str, Any] = Field(sa_type=JSON)
    origins: dict[str, Any] = Field(sa_type=JSON)
    seed: int = Field(sa_type=Large)
    device: str
    dtype: str
    library_versions: dict[str, Any] = Field(sa_type=JSON)
    started_at: str
    ended_at: str
    steps: int
    final_loss: float
    dv_version: str
    class_word: str | None = None
    prompt: str | None = None
    file_hash: str
    size: int = Field(sa_type=Large)
    note: str | None = None


class TagRow(SQLModel, table=True):
    __tablename__ = "tags"

    adapter_id: int = Field(foreign_key="adapters.id", ondelete="CASCADE", primary_key=True)
    tag: str = Field(primary_key=True)


class SourceRow(SQLModel, table=True):
    __tablename__ = "sources"

    id: int | None = Field(default=None, primary_key=True)
    adapter_id: int = Field(foreign_key="adapters.id", ondelete="CASCADE", index=True)
    path: str
    sha256: str
    bytes: int = Field(sa_type=Large)
    width: int
    height: int
    frames: int
    role: str


class BaseTableRow(SQLModel, table=True):
    __tablename__ = "bases"

    name: str = Field(primary_key=True)
    model: str
    image_encoder: str | None = None
    motion_module: str | None = None
    fingerprint: str | None = None
    is_default: bool = False
    lineage: dict[str, Any] | None = Field(default=None, sa_type=JSON)


class RunRow(SQLModel, table=True):
    """One learning process, as it tells of itself. `outcome` is None until it ends, for ever if it was killed."""

    __tablename__ = "runs"

    id: int | None = Field(default=None, primary_key=True)
    kind: str
    name: str = Field(index=True)
    host: str
    pid: int
    started_at: str
    heartbeat_at: str
    ended_at: str | None = None
    outcome: str | None = None
    message: str | None = None
    part: str | None = None
    step: int | None = None
    steps: int | None = None
    adapter: str | None = None
    stop_asked: bool = False


class CompositionRow(SQLModel, table=True):
    """One video. It outlives the adapters that it was made with: their hashes tell which they were."""

    __tablename__ = "compositions"

    id: int | None = Field(default=None, primary_key=True)
    made_at: str
    path: str
    sha256: str
    bytes: int = Field(sa_type=Large)
    prompt: str
    seed: int = Field(sa_type=BigInteger)
    base_name: str
    record: dict[str, Any] = Field(sa_type=JSON)


class CompositionAdapterRow(SQLModel, table=True):
    """One adapter of a video, as its record says."""

    __tablename__ = "composition_adapters"

    composition_id: int | None = Field(
        default=None, foreign_key="compositions.id", ondelete="CASCADE", primary_key=True
    )
    position: int = Field(primary_key=True)
    role: str
    name: str
    file_hash: str = Field(index=True)


class SuiteRow(SQLModel, table=True):
    """A suite that was run into a folder; `size` is the number of its cells, made or not."""

    __tablename__ = "suites"
    __table_args__ = (UniqueConstraint("folder", name="uq_suites_folder"),)

    id: int | None = Field(default=None, primary_key=True)
    name: str
    folder: str
    size: int
    updated_at: str


class CellRow(SQLModel, table=True):
    """What came of one cell of a suite, the newest only."""

    __tablename__ = "cells"

    id: int | None = Field(default=None, primary_key=True)
    suite_id: int = Field(foreign_key="suites.id", ondelete="CASCADE", index=True)
    method: str
    subject: str | None = None
    motion: str | None = None
    prompt: str
    seed: int = Field(sa_type=BigInteger)
    state: str
    error: str | None = None
    video: str | None = None
    sha256: str | None = None
    base_fingerprint: str
    made_at: str
    scores: dict[str, Any] = Field(sa_type=JSON)
    subject_step: int | None = None
    motion_step: int | None = None
