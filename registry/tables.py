"""The tables. The migrations make them; a test holds the two together."""

from __future__ import annotations

from typing import Any

from sqlalchemy import JSON, UniqueConstraint
from sqlmodel import Field, SQLModel


class NameRow(SQLModel, table=True):
    """A name that was ever used, and its counter. It outlives its adapters: no number is used twice."""

    __tablename__ = "names"

    name: str = Field(primary_key=True)
    kind: str
    last_version: int


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
    seed: int
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
    size: int


class SourceRow(SQLModel, table=True):
    __tablename__ = "sources"

    id: int | None = Field(default=None, primary_key=True)
    adapter_id: int = Field(foreign_key="adapters.id", ondelete="CASCADE", index=True)
    path: str
    sha256: str
    bytes: int
    width: int
    height: int
    frames: int
    role: str


class BaseTableRow(SQLModel, table=True):
    __tablename__ = "bases"

    name: str = Field(primary_key=True)
    model: str
    image_encoder: str | None = None
    fingerprint: str | None = None
    is_default: bool = False
