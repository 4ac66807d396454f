"""Labels on adapters, names that moved, learning runs, composed videos."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

# SQLite's every integer has 64 bits, PostgreSQL's has 32.
LARGE = sa.Integer().with_variant(sa.BigInteger(), "postgresql")


def upgrade() -> None:
    op.add_column("names", sa.Column("moved_to", sa.String(), nullable=True))
    op.add_column("adapters", sa.Column("note", sa.String(), nullable=True))
    op.create_table(
        "tags",
        sa.Column("adapter_id", sa.Integer(), sa.ForeignKey("adapters.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("tag", sa.String(), primary_key=True),
    )
    op.create_table(
        "runs",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("host", sa.String(), nullable=False),
        sa.Column("pid", sa.Integer(), nullable=False),
        sa.Column("started_at", sa.String(), nullable=False),
        sa.Column("heartbeat_at", sa.String(), nullable=False),
        sa.Column("ended_at", sa.String(), nullable=True),
        sa.Column("outcome", sa.String(), nullable=True),
        sa.Column("message", sa.String(), nullable=True),
        sa.Column("part", sa.String(), nullable=True),
        sa.Column("step", sa.Integer(), nullable=True),
        sa.Column("steps", sa.Integer(), nullable=True),
        sa.Column("adapter", sa.String(), nullable=True),
        sa.Column("stop_asked", sa.Boolean(), nullable=False),
    )
    op.create_index("ix_runs_name", "runs", ["name"])
    op.create_table(
        "compositions",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("made_at", sa.String(), nullable=False),
        sa.Column("path", sa.String(), nullable=False),
        sa.Column("sha256", sa.String(), nullable=False),
        sa.Column("bytes", LARGE, nullable=False),
        sa.Column("prompt", sa.String(), nullable=False),
        sa.Column("seed", sa.BigInteger(), nullable=False),
        sa.Column("base_name", sa.String(), nullable=False),
        sa.Column("subject", sa.String(), nullable=True),
        sa.Column("subject_hash", sa.String(), nullable=True),
        sa.Column("motion", sa.String(), nullable=True),
        sa.Column("motion_hash", sa.String(), nullable=True),
        sa.Column("record", sa.JSON(), nullable=False),
    )


def downgrade() -> None:
    for table in ("compositions", "runs", "tags"):
        op.drop_table(table)
    op.drop_column("adapters", "note")
    op.drop_column("names", "moved_to")
