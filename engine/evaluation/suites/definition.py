"""What a suite is: methods x subjects x motions x prompts x seeds, and everything that is said of them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from engine.errors import InputError
from engine.evaluation.suites.results import Cell
from engine.files import written_aside
from engine.prompts import PLACEHOLDER, with_class_word

MOTION_PLACE = "{motion}"
"""Where a prompt says what the motion does."""
_PLAN = "suite.json"
Steps = tuple[int | None, int | None]
"""A step of what was learnt of a subject, and of a motion; None is the last one."""


@dataclass(frozen=True)
class SuiteMethod:
    """A row of the tables to come: by which methods subject and motion are learnt (None: not at all), and the
    options of learning and composing. Without a subject's method the class word is said in its place."""

    name: str
    subject: str | None
    motion: str | None
    subject_options: dict[str, Any] = field(default_factory=dict)
    motion_options: dict[str, Any] = field(default_factory=dict)
    compose_options: dict[str, Any] = field(default_factory=dict)
    steps: tuple[Steps, ...] = ((None, None),)
    """At which steps of what is learnt of a subject and a motion videos are made; of what isn't learnt it is None."""

    def used_at(self, kind: Literal["subject", "motion"]) -> list[int | None]:
        """The steps at which what is learnt of a subject, or a motion, is used, each once."""
        at = ("subject", "motion").index(kind)
        return list(dict.fromkeys(steps[at] for steps in self.steps))


@dataclass(frozen=True)
class SuiteSubject:
    """A subject: its class word, and its pictures' files or folders, or who it is in the embedded base's world: an
    individual, as in "dog/7" (`engine.world.individuals.individual_named`)."""

    name: str
    class_word: str
    images: tuple[str, ...] = ()
    masks: str | None = None
    world: str | None = None


@dataclass(frozen=True)
class SuiteMotion:
    """A motion: what prompts say of it (`doing`), and its clips, or the name of a motion of the embedded base's
    world, by which the individuals `objects` move. `prompt` is of clips without a `.txt`; times are in seconds."""

    name: str
    doing: str = ""
    clips: tuple[str, ...] = ()
    prompt: str | None = None
    start: float | None = None
    end: float | None = None
    source_fps: float | None = None
    world: str | None = None
    objects: tuple[str, ...] = ()


def filled_in(prompt: str, motion: SuiteMotion | None) -> str:
    """A prompt with what the motion does in its place."""
    return prompt.replace(MOTION_PLACE, motion.doing) if motion else prompt


@dataclass(frozen=True)
class Suite:
    """A suite, checked as far as it can be without a base. Paths are absolute.

    `base` and the judges are names, folders or hub ids; None is the default.
    """

    name: str
    methods: tuple[SuiteMethod, ...]
    subjects: tuple[SuiteSubject, ...]
    motions: tuple[SuiteMotion, ...]
    prompts: tuple[str, ...]
    seeds: tuple[int, ...]
    base: str | None = None
    dtype: str | None = None
    clip: str | None = None
    dino: str | None = None

    def cells(self) -> list[Cell]:
        """Every video, methods outermost, seeds and then steps innermost."""
        return list(self._cells())

    def _cells(self) -> Iterator[Cell]:
        subjects: list[str | None] = [subject.name for subject in self.subjects] or [None]
        motions: list[SuiteMotion | None] = list(self.motions) or [None]
        for method in self.methods:
            for subject in subjects:
                for motion in motions:
                    for prompt in self.prompts:
                        filled = filled_in(prompt, motion)
                        about = (method.name, subject, motion.name if motion else None, filled)
                        for seed in self.seeds:
                            for steps in _steps_of(method, subject, motion):
                                yield Cell(*about, seed, *steps)

    def method(self, cell: Cell) -> SuiteMethod:
        """The method of a cell."""
        return next(method for method in self.methods if method.name == cell.method)

    def subject(self, cell: Cell) -> SuiteSubject | None:
        """The subject of a cell."""
        return next((subject for subject in self.subjects if subject.name == cell.subject), None)

    def motion(self, cell: Cell) -> SuiteMotion | None:
        """The motion of a cell."""
        return next((motion for motion in self.motions if motion.name == cell.motion), None)

    def text(self, cell: Cell) -> str:
        """A cell's prompt as a model reads it that never learnt the subject, and as a judge does."""
        subject = self.subject(cell)
        return with_class_word(cell.prompt, subject=None, class_word=subject.class_word if subject else None)

    def composed_prompt(self, cell: Cell) -> str:
        """What is composed: the cell's prompt, with the class word where its method learns no subject."""
        return cell.prompt if self.method(cell).subject and PLACEHOLDER in cell.prompt else self.text(cell)

    def save(self, folder: Path) -> None:
        """Keep the suite in the folder of its results, so that these can be counted without its file."""
        with written_aside(folder / _PLAN) as partial:
            partial.write_text(json.dumps(asdict(self), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def suite_in(folder: Path) -> Suite | None:
    """The suite whose results are in `folder`; None where there is none. Raises `InputError` for a damaged one."""
    path = folder / _PLAN
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        return Suite(
            **{
                **data,
                "methods": tuple(_method(method) for method in data["methods"]),
                "subjects": tuple(SuiteSubject(**_tuples(subject)) for subject in data["subjects"]),
                "motions": tuple(SuiteMotion(**_tuples(motion)) for motion in data["motions"]),
                "prompts": tuple(data["prompts"]),
                "seeds": tuple(data["seeds"]),
            }
        )
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path} is damaged ({error}): run the suite again, which writes it anew") from None


def _steps_of(method: SuiteMethod, subject: object, motion: object) -> list[Steps]:
    """The steps of a method that tell its cells apart in a suite that may have no subjects, or no motions."""
    found: list[Steps] = [
        (s if subject is not None else None, m if motion is not None else None) for s, m in method.steps
    ]
    return list(dict.fromkeys(found))


def _method(data: Mapping[str, Any]) -> SuiteMethod:
    return SuiteMethod(**{**data, "steps": tuple((s, m) for s, m in data.get("steps", [(None, None)]))})


def _tuples(data: Mapping[str, Any]) -> dict[str, Any]:
    return {name: tuple(value) if isinstance(value, list) else value for name, value in data.items()}
