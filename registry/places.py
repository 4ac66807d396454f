"""Where the registry lives."""

from __future__ import annotations

import os
from pathlib import Path

DATABASE = "registry.sqlite3"
"""The database's file in the registry's folder."""


def home() -> Path:
    """Give the registry's folder: `DV_HOME` if it is set, else the user's data directory. Not created."""
    chosen = os.environ.get("DV_HOME")
    if chosen:
        return Path(chosen).expanduser().absolute()
    from platformdirs import user_data_path

    return user_data_path("dv", appauthor=False)
