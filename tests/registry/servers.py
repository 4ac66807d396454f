"""A PostgreSQL server of the tests' own: on a socket in a temporary folder, thrown away afterwards."""

from __future__ import annotations

import getpass
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg

TEMPLATE = "template_of_dv"


def binaries() -> Path | None:
    """The newest server's programs: of Debian's packages, or in the path."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    there = shutil.which("initdb")
    if found:
        return found[-1].parent
    return None if there is None else Path(there).parent


@contextmanager
def running(programs: Path) -> Iterator[Path]:
    """Run a server without any care for its data, and give the folder of its socket."""
    folder = Path(tempfile.mkdtemp(prefix="dv-pg-"))
    # A server refuses to run as root.
    user = "postgres" if os.geteuid() == 0 else getpass.getuser()
    more: dict[str, Any] = {"cwd": folder, "stdout": subprocess.DEVNULL}
    if os.geteuid() == 0:
        more |= {"user": user, "extra_groups": []}
        shutil.chown(folder, user)
    data = str(folder / "data")
    settings = f"-F -k {folder} -c listen_addresses= -c full_page_writes=off -c synchronous_commit=off"
    init = ["initdb", "-D", data, "--auth=trust", "--no-sync", "--encoding=UTF8", "--username=dv"]
    start = ["pg_ctl", "-D", data, "-w", "-l", str(folder / "log"), "-o", settings, "start"]
    try:
        for program, *arguments in (init, start):
            subprocess.run([str(programs / program), *arguments], check=True, **more)
        yield folder
    finally:
        subprocess.run([str(programs / "pg_ctl"), "-D", data, "-m", "immediate", "stop"], check=False, **more)
        shutil.rmtree(folder, ignore_errors=True)


def address(socket: Path, database: str) -> str:
    """What `DV_REGISTRY_URL` is for a database of the server."""
    return f"postgresql+psycopg://dv@/{database}?host={socket}"


def create(socket: Path, database: str, template: str = "template0") -> None:
    """Make a database, as a copy of another."""
    with psycopg.connect(f"postgresql://dv@/postgres?host={socket}", autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{database}" TEMPLATE "{template}"')
