"""Where the registry lives: a folder, and in it the database, unless a server has that."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import SplitResult, unquote, urlsplit

from registry.errors import AddressError

DATABASE = "registry.sqlite3"
"""The database's file in the registry's folder."""
SERVER = "DV_REGISTRY_URL"
"""The environment variable with the address of a database on a server."""
_SCHEMES = ("postgresql+psycopg", "postgresql", "postgres")


def home() -> Path:
    """Give the registry's folder: `DV_HOME` if it is set, else the user's data directory. Not created.

    Raises AddressError where `DV_HOME` begins with a `~` that stands for nobody's folder.
    """
    chosen = os.environ.get("DV_HOME")
    if chosen:
        try:
            return Path(chosen).expanduser().absolute()
        except RuntimeError:
            raise AddressError(
                f"DV_HOME is {chosen}, and whose folder that is isn't known. Set it to a folder's whole path."
            ) from None
    from platformdirs import user_data_path

    return user_data_path("dv", appauthor=False)


@dataclass(frozen=True)
class RegistryLocation:
    """A registry's folder, and the address of its database where that is on a PostgreSQL server.

    `name` is the database's file, where no server has it. As text, a location is what a message may call the database:
    it never has the password.
    """

    folder: Path
    url: str | None = None
    name: str = DATABASE

    @classmethod
    def of(cls, folder: Path | None = None) -> RegistryLocation:
        """Give the location of the registry in `folder` (default: `home()`). Raises AddressError."""
        folder = home() if folder is None else folder.absolute()
        url = os.environ.get(SERVER)
        return cls(folder, _checked(url)) if url else cls(folder)

    @property
    def file(self) -> Path:
        """The database's file, where no server has it."""
        return self.folder / self.name

    def __str__(self) -> str:
        if self.url is None:
            return str(self.file)
        parts = urlsplit(self.url)
        return f"postgresql://{parts.netloc.rpartition('@')[2]}{parts.path}"

    def without_password(self, text: str) -> str:
        """Give what a driver says, without the password if it repeats that."""
        secrets = [] if self.url is None else _passwords(urlsplit(self.url))
        for secret in secrets:
            text = text.replace(secret, "***")
        return text


def _checked(url: str) -> str:
    try:
        parts = urlsplit(url)
        well = parts.scheme in _SCHEMES and (parts.port is None or parts.port > 0) and len(parts.path) > 1
    except ValueError:
        well = False
    if not well:
        raise AddressError(
            f"{SERVER} is no address of a PostgreSQL database. Write it as in "
            "postgresql+psycopg://user:password@host/database, or unset it to use a file."
        )
    return parts._replace(scheme=_SCHEMES[0]).geturl()


def _passwords(parts: SplitResult) -> list[str]:
    """The password as written, and as meant."""
    in_query = [pair.removeprefix("password=") for pair in parts.query.split("&") if pair.startswith("password=")]
    written = [each for each in (parts.netloc.rpartition("@")[0].partition(":")[2], *in_query) if each]
    return [*written, *(unquote(each) for each in written)]


def reading_alone(file: Path) -> dict[str, str]:
    """How SQLite is to open a database of which nothing can be written: the parameters of its address; none where it
    can be.

    Only there: whoever opens a database first after a crash has to put its log in order. Where there is no log, and
    none can be begun, the file is taken as it stands.
    """
    if not file.exists() or (os.access(file.parent, os.W_OK | os.X_OK) and os.access(file, os.W_OK)):
        return {}
    log = file.with_name(f"{file.name}-wal")
    return {"mode": "ro"} if log.exists() and log.stat().st_size else {"mode": "ro", "immutable": "1"}
