"""The suites that dv brings along, by name."""

from __future__ import annotations

from pathlib import Path

from engine.errors import InputError

_FOLDER = Path(__file__).parent / "suites"


def shipped_suites() -> list[str]:
    """Their names."""
    return sorted(path.stem for path in _FOLDER.glob("*.toml"))


def suite_file(text: str) -> Path:
    """The file that a user means: a path, or the name of a suite that dv brings. Raises `InputError`."""
    path = Path(text)
    if path.is_file():
        return path
    if text in shipped_suites():
        return _FOLDER / f"{text}.toml"
    raise InputError(f"there is no suite {text}: give a TOML file, or one of dv's own: {', '.join(shipped_suites())}")
