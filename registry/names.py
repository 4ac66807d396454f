"""What may be a name, and how a name, a version and a kept step are written together: `chowchow@2:400`."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

from registry.errors import InvalidNameError

LONGEST = 64
# A name is also a folder's name, and file systems allow 255 bytes for one.
LONGEST_BYTES = 240
EMBEDDED = "embedded"
"""The base that dv brings along. It is never a row, so no other base may be called this."""

_DEVICES = frozenset(
    ["con", "prn", "aux", "nul", *(f"{port}{number}" for port in ("com", "lpt") for number in range(1, 10))]
)
_VERSION = re.compile(r"[1-9][0-9]{0,8}")
LARGEST_VERSION = 10**9 - 1
"""The largest number that can be written after '@'."""


def check_name(name: str) -> str:
    """Give `name` in Unicode's composed form (NFC), or raise InvalidNameError.

    A name has 1 to 64 letters and digits of any script, `-`, `_` and `.`; it starts with a letter or a
    digit and has no two dots in a row.
    """
    name = unicodedata.normalize("NFC", name)
    flaw = _flaw(name)
    if flaw:
        raise InvalidNameError(
            f"{name!r} can't be a name: {flaw}. A name has letters, digits, '-', '_' and '.', starts with "
            f"a letter or a digit, and is at most {LONGEST} characters long."
        )
    return name


def check_new_name(name: str) -> str:
    """Like `check_name`, for a name that is about to be given: it should be a folder's on every system.

    Raises InvalidNameError for what Windows keeps for its devices, and for a last dot, which it drops.
    """
    name = check_name(name)
    if name.partition(".")[0].casefold() in _DEVICES:
        raise InvalidNameError(f"{name!r} can't be a new name: on Windows it is a device's, and no folder may have it.")
    if name.endswith("."):
        raise InvalidNameError(f"{name!r} can't be a new name: it ends with a dot, which Windows drops.")
    return name


def is_name(text: str) -> bool:
    """Whether `text` is a name, just as it is written."""
    return unicodedata.is_normalized("NFC", text) and _flaw(text) is None


def _flaw(name: str) -> str | None:
    if not name:
        return "it is empty"
    strange = next((character for character in name if not _may_stand_inside(character)), None)
    if strange is not None:
        return f"{strange!r} isn't allowed"
    if not _is_letter_or_digit(name[0]):
        return f"it starts with {name[0]!r}"
    if ".." in name:
        return "it has two dots in a row"
    if len(name) > LONGEST:
        return f"it has {len(name)} characters"
    if len(name.encode()) > LONGEST_BYTES:
        return f"it takes more than {LONGEST_BYTES} bytes as UTF-8"
    return None


def _is_letter_or_digit(character: str) -> bool:
    category = unicodedata.category(character)
    return category.startswith("L") or category == "Nd"


def _may_stand_inside(character: str) -> bool:
    # Marks (M) are the vowel signs and accents that many scripts write as characters of their own.
    return character in "-_." or _is_letter_or_digit(character) or unicodedata.category(character)[0] == "M"


@dataclass(frozen=True)
class AdapterSpec:
    """A name, and the version meant; None means the newest. A `step` is one that was kept while it was learnt; None
    means the adapter as it was at the end."""

    name: str
    version: int | None = None
    step: int | None = None

    @classmethod
    def parse(cls, text: str) -> AdapterSpec:
        """Read `chowchow`, `chowchow@2` or `chowchow@2:400`. Raises InvalidNameError."""
        whole, colon, step = text.partition(":")
        name, at, version = whole.partition("@")
        if colon and not _VERSION.fullmatch(step):
            raise InvalidNameError(
                f"{text!r} names no step: after ':' comes the number of a kept step, as in '{name or 'name'}@1:400'."
            )
        if at and not _VERSION.fullmatch(version):
            raise InvalidNameError(
                f"{text!r} names no version: after '@' comes a number from 1 on, as in '{name or 'name'}@2'."
            )
        return cls(check_name(name), int(version) if at else None, int(step) if colon else None)

    @property
    def whole(self) -> AdapterSpec:
        """The adapter, without a step of it."""
        return AdapterSpec(self.name, self.version)

    def __str__(self) -> str:
        version = "" if self.version is None else f"@{self.version}"
        return f"{self.name}{version}" + ("" if self.step is None else f":{self.step}")
