"""A base's motion module, where it lies apart."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("bases", sa.Column("motion_module", sa.String(), nullable=True))


def downgrade() -> None:
    with op.batch_alter_table("bases") as table:
        table.drop_column("motion_module")
