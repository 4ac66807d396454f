"""What a user asked a learning run for, kept in the run's folder so that NAME --resume alone goes on."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from dreamvideo_cli.jobs.kinds import AdapterKind, RunKind
from dreamvideo_cli.wording import value_text
from engine.bases.location import BaseLocation
from engine.errors import InputError
from engine.files import written_aside
from engine.identity import WITHOUT_EFFECT

_FORMAT = 1
_REQUEST = "request.json"
_REACHED = "reached.json"
_MAY_CHANGE = WITHOUT_EFFECT | {"device", "offload"}
"""How and where a run is computed may change on the way; what it computes may not."""


@dataclass(frozen=True)
class LearnRequest:
    """A subject or a motion to learn, or a base to tune. `given` holds what was given beside sources and settings, by
    field; paths are absolute text.

    `base` and `started_at` (ISO, UTC) are filled in when the run starts.
    """

    kind: RunKind
    name: str
    sources: tuple[str, ...]
    given: Mapping[str, Any]
    settings: Mapping[str, Any]
    base: BaseLocation | None = None
    started_at: str = ""

    @property
    def adapter_kind(self) -> AdapterKind:
        """The kind of the adapter that is learnt: a base that is tuned is none."""
        if self.kind == "base":
            raise ValueError(f"{self.name} is a base, not an adapter")
        return self.kind

    @property
    def verb(self) -> str:
        """What is done: `learn`, or `tune` of a base."""
        return "tune" if self.kind == "base" else "learn"

    @property
    def device(self) -> str | None:
        """Where to compute; None is the best there is."""
        return self.given.get("device")

    @property
    def dtype(self) -> str:
        """Precision of the frozen weights; those that are trained are float32."""
        return str(self.given.get("dtype", "fp32"))

    def command(self, flag: str) -> str:
        """The command that goes on with this run (`--resume`) or drops it (`--restart`)."""
        return f"dv {self.kind} {self.verb} {shlex.quote(self.name)} {flag}"

    def save(self, run: Path) -> None:
        """Write the request into the run's folder."""
        data = {"format": _FORMAT, **asdict(self)}
        with written_aside(run / _REQUEST) as partial:
            partial.write_text(json.dumps(data, indent=2), encoding="utf-8")

    def continuing(self, stored: LearnRequest) -> LearnRequest:
        """`stored`, after checking that this one asks for nothing else. Raises `InputError`."""
        asked: dict[str, Any] = {**self.given, **self.settings}
        before: dict[str, Any] = {**stored.given, **stored.settings}
        if self.sources and self.sources != stored.sources:
            raise self._other(stored, "other files")
        for field, value in asked.items():
            if field not in _MAY_CHANGE and _plain(value) != before.get(field):
                had = f", not {value_text(before[field])}" if field in before else ""
                raise self._other(stored, f"`{field}` {value_text(value)}{had}")
        return stored._with(
            {field: value for field, value in self.given.items() if field in _MAY_CHANGE},
            {field: value for field, value in self.settings.items() if field in _MAY_CHANGE},
        )

    def restarting(self, stored: LearnRequest) -> LearnRequest:
        """`stored` from its start, with what this one asks for otherwise."""
        return stored._with(self.given, self.settings)

    def _with(self, given: Mapping[str, Any], settings: Mapping[str, Any]) -> LearnRequest:
        return replace(self, given={**self.given, **given}, settings={**self.settings, **settings})

    def is_all_of(self, stored: LearnRequest) -> bool:
        """Whether `stored`, which this request continues, was asked for nothing more, and on the same base."""

        def named(request: LearnRequest) -> set[str]:
            return ({*request.given} | {*request.settings}) - _MAY_CHANGE

        return self.kind == stored.kind and self.base == stored.base and named(self) == named(stored)

    def _other(self, stored: LearnRequest, difference: str) -> InputError:
        return InputError(
            f"the unfinished run of {self.name} was started differently: this command has {difference}.\n"
            f"Go on with it as it was: {stored.command('--resume')}\n"
            "Or start anew: repeat this command with `restart` instead of `resume`."
        )


def given(**options: object) -> dict[str, Any]:
    """The options that the user gave: those that aren't None. Paths become absolute text."""
    return {
        name: str(value.absolute()) if isinstance(value, Path) else value
        for name, value in options.items()
        if value is not None
    }


def new_request(
    kind: RunKind,
    name: str,
    sources: Sequence[Path] | None,
    about: Mapping[str, Any],
    settings: Mapping[str, Any],
) -> LearnRequest:
    """A request for files by any paths, which become absolute."""
    return LearnRequest(kind, name, tuple(str(source.absolute()) for source in sources or ()), about, settings)


def load_request(run: Path) -> LearnRequest | None:
    """The request of an unfinished run, None where there is no such run.

    Raises `InputError` for one that this version can't read.
    """
    try:
        data = json.loads((run / _REQUEST).read_text(encoding="utf-8"))
        if data.pop("format") != _FORMAT:
            raise ValueError("an unknown format")
        base = BaseLocation(**data.pop("base"))
        return LearnRequest(**{**data, "sources": tuple(data["sources"]), "base": base})
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"the unfinished run in {run} can't be read ({error}): start anew with `restart`") from error


def save_reached(run: Path, reached: tuple[str, int, int], *, diverged: bool = False) -> None:
    """Note how far a run got: part, step, steps; and whether it diverged there, as it would again."""
    with written_aside(run / _REACHED) as partial:
        partial.write_text(json.dumps([*reached, *(["diverged"] if diverged else [])]), encoding="utf-8")


def has_diverged(run: Path) -> bool:
    """Whether `save_reached` noted that the run diverged."""
    try:
        return "diverged" in json.loads((run / _REACHED).read_text(encoding="utf-8"))
    except (OSError, ValueError, TypeError):
        return False


def reached_text(run: Path) -> str:
    """How far an unfinished run got, in words: `step 120 of 800 (identity)`."""
    try:
        part, step, steps = json.loads((run / _REACHED).read_text(encoding="utf-8"))[:3]
    except (OSError, ValueError, TypeError):
        return "before its first snapshot"
    return f"at step {step} of {steps} ({part})" + (", where it diverged" if has_diverged(run) else "")


def _plain(value: object) -> object:
    """A value as JSON gives it back."""
    return list(value) if isinstance(value, tuple) else value
