"""The kept steps that a suite's cells are made with."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

_COLUMNS = ("subject_step", "motion_step")


def upgrade() -> None:
    for name in _COLUMNS:
        op.add_column("cells", sa.Column(name, sa.Integer(), nullable=True))


def downgrade() -> None:
    with op.batch_alter_table("cells") as table:
        for name in _COLUMNS:
            table.drop_column(name)
