"""A video's adapters as a list: any number of each kind."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_KINDS = ("subject", "motion")


def upgrade() -> None:
    op.create_table(
        "composition_adapters",
        sa.Column(
            "composition_id", sa.Integer(), sa.ForeignKey("compositions.id", ondelete="CASCADE"), primary_key=True
        ),
        sa.Column("position", sa.Integer(), primary_key=True),
        sa.Column("role", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("file_hash", sa.String(), nullable=False),
    )
    op.create_index("ix_composition_adapters_file_hash", "composition_adapters", ["file_hash"])
    before = "0"
    for kind in _KINDS:
        op.execute(
            "INSERT INTO composition_adapters (composition_id, position, role, name, file_hash) "
            f"SELECT id, {before}, '{kind}', {kind}, {kind}_hash FROM compositions "
            f"WHERE {kind} IS NOT NULL AND {kind}_hash IS NOT NULL"
        )
        before = f"CASE WHEN {kind} IS NULL OR {kind}_hash IS NULL THEN 0 ELSE 1 END"
    with op.batch_alter_table("compositions") as table:
        for kind in _KINDS:
            table.drop_column(kind)
            table.drop_column(f"{kind}_hash")


def downgrade() -> None:
    with op.batch_alter_table("compositions") as table:
        for kind in _KINDS:
            table.add_column(sa.Column(kind, sa.String(), nullable=True))
            table.add_column(sa.Column(f"{kind}_hash", sa.String(), nullable=True))
    for kind in _KINDS:
        of_kind = f"FROM composition_adapters WHERE composition_id = compositions.id AND role = '{kind}'"
        first = f"{of_kind} ORDER BY position LIMIT 1"
        op.execute(f"UPDATE compositions SET {kind} = (SELECT name {first}), {kind}_hash = (SELECT file_hash {first})")
    op.drop_table("composition_adapters")
