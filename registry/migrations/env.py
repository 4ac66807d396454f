"""Alembic's way in. The caller opens the connection and the transaction, and ends both."""

from __future__ import annotations

from alembic import context

# SQLite can alter little in place: "batch" rebuilds a table where it must.
context.configure(connection=context.config.attributes["connection"], render_as_batch=True)
context.run_migrations()
