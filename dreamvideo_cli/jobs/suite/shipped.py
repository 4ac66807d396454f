"""The suites that dv brings along, by name."""

from __future__ import annotations

from pathlib import Path

from engine.errors import InputError
from engine.evaluation.suites.definition import Suite
from engine.evaluation.suites.reading import read_suite

_FOLDER = Path(__file__).parents[2] / "suites"


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


def suite_named(text: str) -> Suite:
    """The suite in that file. Raises `InputError`; for one of dv's own that waits for the user's lists, with the
    way on."""
    file = suite_file(text)
    try:
        return read_suite(file)
    except InputError as error:
        if file.parent == _FOLDER:
            error.add_note(f"Copy {file}, fill in yours, and run the copy: dv suite run my-{text}.toml")
        raise
