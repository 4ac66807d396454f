"""Suite files: TOML, checked as a whole, so that one reading tells everything that is wrong."""

from __future__ import annotations

import re
import tomllib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from engine.errors import InputError
from engine.evaluation.suites.definition import (
    MOTION_PLACE,
    Steps,
    Suite,
    SuiteMethod,
    SuiteMotion,
    SuiteSubject,
    filled_in,
)
from engine.evaluation.suites.results import Cell
from engine.methods.common import Kind, Method, switch_of
from engine.methods.dreamvideo import ComposeConfig
from engine.methods.table import check_options, method_named, methods_of, reads
from engine.prompts import PLACEHOLDER
from engine.settings import MOST_SEED, resolve, typed

if TYPE_CHECKING:
    from engine.world.individuals import Individual

T = TypeVar("T")
_PLACES = re.compile(r"\{[^{}]*\}")
_DTYPES = ("fp32", "bf16", "fp16", "fp8")
_KINDS: tuple[Kind, ...] = ("subject", "motion")
_BOTH, _LAST = "steps", "last"
_STEP_KEYS: dict[str, tuple[Kind, ...]] = {_BOTH: _KINDS, **{f"{kind}_steps": (kind,) for kind in _KINDS}}
"""The keys of lists of kept steps, and what they are steps of."""
StepLists = Mapping[str, Sequence[int | None]]
_WORDS: dict[type, str] = {
    str: "a text", int: "a whole number", float: "a number", dict: "a table", list: "a list",
}  # fmt: skip


def read_suite(path: Path) -> Suite:
    """Read a suite file; its paths are relative to it. Raises `InputError` that names everything that is wrong."""
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"the suite {path} can't be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"the suite {path} is no TOML: {error}") from error
    errors: list[str] = []
    suite = _suite(_Table(data, "the suite", errors), path)
    raise_all(errors, f"the suite {path}")
    return suite


def raise_all(errors: Iterable[str], what: str) -> None:
    """Raise one `InputError` for all `errors`, each once; none where there is none."""
    each = list(dict.fromkeys(errors))
    if each:
        count = f"{len(each)} things are" if len(each) > 1 else "1 thing is"
        raise InputError("\n".join([f"{what} can't be run, and nothing was begun: {count} wrong", *each]))


class _Table:
    """One table of the file, read key by key. What is wrong goes to `errors`."""

    def __init__(self, data: Mapping[str, Any], where: str, errors: list[str]) -> None:
        self.data, self.where, self.errors = dict(data), where, errors

    def wrong(self, text: str) -> None:
        self.errors.append(f"{self.where}: {text}")

    def take(self, key: str, kind: type[T]) -> T | None:
        """The value of a key that may be left out."""
        if key not in self.data:
            return None
        value = self.data.pop(key)
        if kind is float and type(value) is int:
            value = float(value)
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            self.wrong(f"{key} is {value!r}: it must be {_WORDS[kind]}")
            return None
        return value

    def text(self, key: str, hint: str | None = None) -> str:
        """A text; `hint` is said where it is missing or empty, None allows that."""
        there = key in self.data
        value = self.take(key, str)
        if hint is not None and (not there or value is not None) and not (value or "").strip():
            self.wrong(f"{key} is missing: {hint}")
        return (value or "").strip()

    def items(self, key: str, kind: type[T]) -> list[T]:
        """A list of values of one kind; one text stands for a list of itself."""
        if kind is str and isinstance(self.data.get(key), str):
            self.data[key] = [self.data[key]]
        found = self.take(key, list) or []
        for value in found:
            if not isinstance(value, kind) or isinstance(value, bool):
                self.wrong(f"{key} has {value!r} in it: it must be {_WORDS[kind]}")
        return [value for value in found if isinstance(value, kind) and not isinstance(value, bool)]

    def tables(self, key: str) -> list[_Table]:
        found = self.take(key, list) or []
        if not all(isinstance(one, dict) for one in found):
            self.wrong(f"{key} must be a list of tables: write [[{key}]]")
            return []
        return [
            _Table(one, f"{key.removesuffix('s')} {one.get('name', number)}", self.errors)
            for number, one in enumerate(found, 1)
        ]

    def done(self) -> None:
        """What nobody asked for is a mistake."""
        for key in self.data:
            self.wrong(f"there is no {key}")


def _suite(table: _Table, path: Path) -> Suite:
    folder = path.parent.absolute()
    shared = {kind: table.take(f"{kind}_options", dict) or {} for kind in (*_KINDS, "compose")}
    shared["compose"] = _composing(shared["compose"], table)
    methods = _methods(table, shared, _step_lists(table))
    subjects = [_subject(one, folder) for one in table.tables("subjects")]
    motions = [_motion(one, folder) for one in table.tables("motions")]
    judges = _Table(table.take("judges", dict) or {}, "judges", table.errors)
    seeds = table.items("seeds", int) if "seeds" in table.data else [0]
    suite = Suite(
        name=table.text("name") or path.stem,
        methods=tuple(methods),
        subjects=tuple(subjects),
        motions=tuple(motions),
        prompts=tuple(table.items("prompts", str)),
        seeds=tuple(seeds),
        base=_base(table.text("base"), folder),
        dtype=table.text("dtype") or None,
        clip=_model(judges.text("clip"), folder),
        dino=_model(judges.text("dino"), folder),
    )
    judges.done()
    _check_counts(suite, table)
    table.done()
    _check(suite, table)
    return suite


def _methods(table: _Table, shared: Mapping[str, dict[str, Any]], steps: StepLists) -> list[SuiteMethod]:
    found = table.take("methods", list) or []
    if not found:
        table.wrong('methods is missing: name some, as in methods = ["dreamvideo", "lora"]')
    methods = []
    for number, one in enumerate(found, 1):
        if isinstance(one, str):
            known = {kind: one if one in methods_of(kind) else None for kind in _KINDS}
            if not any(known.values()):
                every = dict.fromkeys(name for kind in _KINDS for name in methods_of(kind))
                table.wrong(f"there is no method {one!r}: known are {', '.join(every)}")
            one = {"name": one, **{kind: name for kind, name in known.items() if name}}
        if not isinstance(one, dict):
            table.wrong(f"methods has {one!r} in it: it must be a name, or a table with a name")
            continue
        methods.append(_method(_Table(one, f"method {one.get('name', number)}", table.errors), shared, steps))
    for kind in _KINDS:
        options = {name for method in methods_of(kind).values() for name in reads(method)}
        for name in sorted(set(shared[kind]) - options):
            table.wrong(f"{kind}_options: no method reads {name}")
    return methods


def _method(table: _Table, shared: Mapping[str, dict[str, Any]], steps: StepLists) -> SuiteMethod:
    name = table.text("name", "it is what the tables call this method")
    chosen: dict[str, str | None] = {}
    options: dict[str, dict[str, Any]] = {}
    for kind in _KINDS:
        chosen[kind] = table.text(kind) or None
        own = table.take(f"{kind}_options", dict) or {}
        options[kind] = own
        if chosen[kind] is None:
            if own:
                table.wrong(f"{kind}_options are of no use without {kind} = METHOD")
            continue
        try:
            way = method_named(kind, str(chosen[kind]))
            options[kind] = {**_readable(way, shared[kind]), **own}
            check_options(way, own)
            options[kind] = typed(way.config, options[kind])
            resolve(way.settings(), {}, options[kind])
        except InputError as error:
            table.wrong(str(error))
    compose = {**shared["compose"], **_composing(table.take("compose_options", dict) or {}, table)}
    own_steps = _step_lists(table)
    for key in own_steps:
        if not any(chosen[kind] for kind in _STEP_KEYS[key]):
            table.wrong(f"{key} is of no use without {' or '.join(f'{kind} = METHOD' for kind in _STEP_KEYS[key])}")
    table.done()
    options_of = (options["subject"], options["motion"], compose)
    return SuiteMethod(name, chosen["subject"], chosen["motion"], *options_of, _grid(own_steps or steps, chosen))


def _step_lists(table: _Table) -> StepLists:
    """The lists of kept steps of a table, by their keys; "last" is None."""
    found = {key: _step_list(key, table) for key in _STEP_KEYS if key in table.data}
    if _BOTH in found and len(found) > 1:
        table.wrong(f"{_BOTH} is of subjects and motions alike: leave it out, or subject_steps and motion_steps")
    return found


def _step_list(key: str, table: _Table) -> list[int | None]:
    listed = table.take(key, list) or []
    right = [step for step in listed if step == _LAST or (type(step) is int and step > 0)]
    if len(right) < len(listed) or not right:
        table.wrong(
            f'{key} must be a list of numbers of steps, and "{_LAST}" for the last, as in [400, 600, "{_LAST}"]'
        )
    _check_double(f"{key}: the step", [str(step) for step in right], table)
    return [None if step == _LAST else step for step in right]


def _grid(lists: StepLists, learnt: Mapping[str, object]) -> tuple[Steps, ...]:
    """The steps at which a method's videos are made: subject and motion at the same ones, or every one of the
    subject with every one of the motion. What isn't learnt has none."""
    if _BOTH in lists:
        pairs: Iterable[Steps] = ((step, step) for step in lists[_BOTH])
    else:
        pairs = product(lists.get("subject_steps", [None]), lists.get("motion_steps", [None]))
    masked: list[Steps] = [(s if learnt["subject"] else None, m if learnt["motion"] else None) for s, m in pairs]
    return tuple(dict.fromkeys(masked)) or ((None, None),)


def _composing(options: dict[str, Any], table: _Table) -> dict[str, Any]:
    try:
        options = typed(ComposeConfig, options)
        resolve(ComposeConfig(), {}, options)
    except InputError as error:
        table.wrong(f"compose_options: {error}")
        return {}
    return options


def _readable(way: Method, shared: Mapping[str, Any]) -> dict[str, Any]:
    """Of what holds for all methods, what this one reads and isn't about."""
    settings = way.settings()
    return {
        name: value
        for name, value in shared.items()
        if name in reads(way) and name not in way.changed and switch_of(settings, name) is None
    }


def _subject(table: _Table, folder: Path) -> SuiteSubject:
    name = table.text("name", "give the subject a name")
    world = table.text("world") or None
    images = tuple(_path(text, folder) for text in table.items("images", str))
    masks = table.text("masks")
    class_word = table.text("class")
    if world is not None and (one := _individual(table, world)) is not None:
        class_word = class_word or one.class_word
    if not class_word:
        table.wrong('class is missing: give the word for what the subject is, as in class = "dog"')
    _one_source(table, "images", images, world)
    table.done()
    return SuiteSubject(name, class_word, images, _path(masks, folder) if masks else None, world)


def _motion(table: _Table, folder: Path) -> SuiteMotion:
    name = table.text("name", "give the motion a name")
    world = table.text("world") or None
    clips = tuple(_path(text, folder) for text in table.items("clips", str))
    objects = tuple(table.items("objects", str))
    doing = table.text("doing")
    if world is not None:
        from engine.world.motions import ALL

        if world not in ALL:
            table.wrong(f"the embedded base's world has no motion {world!r}: it has {', '.join(ALL)}")
        else:
            doing = doing or ALL[world].phrase
        if not objects:
            table.wrong('objects is missing: say what moves in its clips, as in objects = ["dog/1", "car/2"]')
        for one in objects:
            _individual(table, one)
    elif objects:
        table.wrong("objects is of no use without world")
    _one_source(table, "clips", clips, world)
    times = {key: table.take(key, float) for key in ("start", "end", "source_fps")}
    motion = SuiteMotion(name, doing, clips, table.text("prompt") or None, **times, world=world, objects=objects)
    table.done()
    return motion


def _individual(table: _Table, name: str) -> Individual | None:
    """The individual of the embedded base's world that `name` stands for; None, and a complaint, where it's nobody."""
    from engine.world.individuals import individual_named

    try:
        return individual_named(name)
    except ValueError as error:
        table.wrong(f"world: {error}")
        return None


def _one_source(table: _Table, key: str, sources: tuple[str, ...], world: str | None) -> None:
    if not sources and world is None:
        table.wrong(f'{key} is missing: name files or a folder, as in {key} = "{key}/{table.data.get("name", "rex")}"')
    for path in sources:
        if not Path(path).exists():
            table.wrong(f"{key}: there is no file or folder {path}")
    if sources and world is not None:
        table.wrong(f"{key} and world are two sources: give one of them")


def _check_counts(suite: Suite, table: _Table) -> None:
    """A protocol may say how many there must be of each."""
    wanted = _Table(table.take("counts", dict) or {}, "counts", table.errors)
    hints = {
        "subjects": "add [[subjects]] with name, class and images",
        "motions": "add [[motions]] with name, doing and clips",
        "prompts": "write them into prompts, * for the subject and {motion} for the motion",
    }
    for name, hint in hints.items():
        count = wanted.take(name, int)
        there = len(getattr(suite, name))
        if count is not None and there != count:
            table.wrong(f"it is to have {count} {name}, and has {there}: {hint}, or change [counts]")
    wanted.done()


def _check(suite: Suite, table: _Table) -> None:
    if not suite.prompts:
        table.wrong("prompts is missing: write what is to be seen, as in prompts = ['a * on the beach']")
    if not suite.seeds:
        table.wrong("seeds is empty: leave it out, or give numbers from 0 on")
    for seed in suite.seeds:
        if not 0 <= seed <= MOST_SEED:
            table.wrong(f"seeds has {seed} in it: a seed is a whole number from 0 to {MOST_SEED}")
    if suite.dtype is not None and suite.dtype not in _DTYPES:
        table.wrong(f"dtype is {suite.dtype!r}: it must be one of {', '.join(_DTYPES)}")
    for prompt in suite.prompts:
        _check_prompt(prompt, suite, table)
    things = [*(one.name for one in suite.subjects), *(one.name for one in suite.motions)]
    for name in (suite.name, *things):
        if name.startswith(".") or any(sign in name for sign in "/\\\0:"):
            table.wrong(f"the name {name!r} is no folder's name: take letters, digits, '-', '_' and '.'")
    _check_double("the name", [name.casefold() for name in things], table)
    _check_double("the method", [method.name for method in suite.methods], table)
    rows = ((method.name, Cell(method.name, "", "", "", 0, *at).row) for method in suite.methods for at in method.steps)
    names = {method.name for method in suite.methods}
    _check_double("the row of tables", [*names, *(row for name, row in rows if row != name)], table)
    _check_double("the prompt", suite.prompts, table)
    for motion in suite.motions:
        filled = [filled_in(prompt, motion) for prompt in dict.fromkeys(suite.prompts)]
        _check_double(f"with what motion {motion.name} does, the prompt", filled, table)
    _check_double("the seed", [str(seed) for seed in suite.seeds], table)


def _check_prompt(prompt: str, suite: Suite, table: _Table) -> None:
    if suite.subjects and PLACEHOLDER not in prompt:
        table.wrong(f'the prompt "{prompt}" has no * where the subject goes, as in "a * on the beach"')
    if not suite.subjects and PLACEHOLDER in prompt:
        table.wrong(f'the prompt "{prompt}" has a * and the suite has no subjects: write a word instead')
    for place in _PLACES.findall(prompt):
        if place != MOTION_PLACE:
            table.wrong(f'the prompt "{prompt}" has {place}: the only place that is filled in is {MOTION_PLACE}')
        elif not suite.motions:
            table.wrong(f'the prompt "{prompt}" has {MOTION_PLACE} and the suite has no motions')
        else:
            for motion in suite.motions:
                if not motion.doing:
                    table.wrong(
                        f'motion {motion.name}: doing is missing, which the prompt "{prompt}" asks for: say what '
                        'the motion does, as in doing = "playing guitar"'
                    )


def _check_double(what: str, names: Iterable[str], table: _Table) -> None:
    for name, count in Counter(names).items():
        if count > 1 and name:
            table.wrong(f"{what} {name!r} is there {'twice' if count == 2 else f'{count} times'}")


def _path(text: str, folder: Path) -> str:
    return str(folder / Path(text).expanduser())


def _base(text: str, folder: Path) -> str | None:
    """A base: where it is written as a path, a folder beside the suite; or else a name or hub id."""
    return _model(text, folder) if any(sign in text for sign in "/\\~") else text or None


def _model(text: str, folder: Path) -> str | None:
    """A judge: a folder beside the suite, or else a hub id."""
    if not text:
        return None
    path = folder / Path(text).expanduser()
    return str(path) if path.is_dir() else text
