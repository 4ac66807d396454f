"""What a suite comes to before anything starts: what must be learnt, which videos are missing, and what it costs."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from dreamvideo_cli.jobs.bases import default_base, fingerprint_of, named_base
from dreamvideo_cli.jobs.composing import settings_for
from dreamvideo_cli.jobs.evaluating import judges_for
from dreamvideo_cli.jobs.learning import hyperparameters, plan_of
from dreamvideo_cli.jobs.requests import Request, given, new_request
from engine.bases.location import BaseInfo, inspect_base
from engine.data.files import sha256_of
from engine.errors import BaseError, EngineError, InputError
from engine.evaluation.judge_files import judge_digest
from engine.evaluation.suites.definition import Suite, SuiteMethod, SuiteMotion, SuiteSubject
from engine.evaluation.suites.reading import raise_all
from engine.evaluation.suites.results import Cell, CellResult
from engine.evaluation.wanted import ReferenceClip, Wanted
from engine.identity import deciding, hashed
from engine.methods.common import CLASS
from engine.methods.dreamvideo import ComposeConfig
from engine.planning import MotionPlan, SubjectPlan, unread_words
from engine.prompt_limits import limit_of_base, limit_of_judge
from engine.prompts import said

if TYPE_CHECKING:
    from registry import Adapter, Registry

Kind = Literal["subject", "motion"]
_KINDS: tuple[Kind, ...] = ("subject", "motion")


@dataclass
class Lesson:
    """A subject or a motion, as one method learns it. `identity` is a hash of all that decides what comes of it."""

    request: Request
    plan: SubjectPlan | MotionPlan
    identity: str
    adapter: Adapter | None = None
    error: str | None = None


@dataclass
class Task:
    """A cell, what it needs, and its `newest` result before this run, whatever that was made and measured by. `config`
    is as it is without what the motion was learnt with."""

    cell: Cell
    said: str
    options: Mapping[str, Any]
    config: ComposeConfig
    wanted: Wanted
    lessons: Mapping[Kind, Lesson]
    identity: str
    newest: CellResult | None
    is_whole: bool
    after: CellResult | None = None

    @property
    def result(self) -> CellResult | None:
        """What came of the cell as it is wanted now, in this run or before it."""
        if self.after is not None or self.newest is None:
            return self.after
        return self.newest if self.newest.identity == self.identity else None


@dataclass(frozen=True)
class SuitePlan:
    """A suite whose every part was found and checked. `base` is how a command would name the base."""

    suite: Suite
    folder: Path
    base: str
    info: BaseInfo
    fingerprint: str
    device: str | None
    judges: tuple[str, str]
    tasks: tuple[Task, ...]
    notes: tuple[str, ...]
    """What a person should know before it starts."""

    @property
    def results(self) -> list[CellResult]:
        """The result of each cell that has one."""
        return [task.result for task in self.tasks if task.result is not None]

    @property
    def waiting(self) -> list[Task]:
        """The cells that aren't whole."""
        return [task for task in self.tasks if not task.is_whole]

    @property
    def to_learn(self) -> list[Lesson]:
        """What the missing videos need and the registry doesn't have, each once, subjects first."""
        needed = {
            lesson.identity: lesson
            for kind in _KINDS
            for task in self.waiting
            if (lesson := task.lessons.get(kind)) is not None and lesson.adapter is None
        }
        return list(needed.values())


@dataclass
class Forecasts:
    """Seconds and trainable parameters, worked out once for lessons that are alike."""

    plan: SuitePlan
    _known: dict[str, Any] = field(default_factory=dict)

    def of_lesson(self, lesson: Lesson) -> float:
        """The seconds that learning will take."""
        return float(self._estimate(lesson).seconds)

    def parameters(self, lesson: Lesson) -> int:
        """The number of values that a lesson trains."""
        return sum(self._estimate(lesson).parameters.values())

    def of_task(self, task: Task) -> float:
        """The seconds that a cell's video will take."""
        from engine.estimating import composing_seconds

        config = task.config
        costs = [config.steps, config.frames, config.size, config.guidance_scale == 1]
        return float(self._once(costs, lambda: composing_seconds(config, self.plan.info.location, **self._where())))

    def _estimate(self, lesson: Lesson) -> Any:
        from engine.estimating import estimate

        plan = lesson.plan
        frames = max(source.frames for source in plan.sources)
        alike = [plan.method.kind, plan.method.name, plan.settings.values(), frames]
        return self._once(alike, lambda: estimate(plan, self.plan.info.location, **self._where()))

    def _where(self) -> dict[str, Any]:
        return {"device": self.plan.device, "dtype": self.plan.suite.dtype or "fp32"}

    def _once(self, key: object, work: Callable[[], Any]) -> Any:
        text = json.dumps(key)
        if text not in self._known:
            self._known[text] = work()
        return self._known[text]


def plan_suite(
    suite: Suite,
    folder: Path,
    results: Sequence[CellResult],
    registry: Registry,
    *,
    material: Path,
    device: str | None,
) -> SuitePlan:
    """Look at every source, and at what is there already. `folder` is the suite's, `results` are the newest of each
    cell, and `material` is where pictures and clips of the embedded base's world are rendered into.

    Raises `InputError` with all that is wrong; then nothing was begun.
    """
    try:
        base = named_base(registry, suite.base) if suite.base else default_base(registry)
        info = inspect_base(base)
    except BaseError as error:
        raise_all([str(error)], f"the suite {suite.name}")
        raise
    judges = judges_for(base.name, suite.clip, suite.dino)
    planner = _Planner(suite, folder, material, info, judges, registry)
    newest = {result.cell.key: result for result in results}
    tasks = []
    for cell in suite.cells():
        task = planner.task(cell, newest.get(cell.key))
        if task is not None:
            tasks.append(task)
    raise_all(planner.errors, f"the suite {suite.name}")
    return SuitePlan(
        suite, folder, planner.base, info, planner.fingerprint, device, judges, tuple(tasks), planner.notes(tasks)
    )


class _Planner:
    """Finds sources and plans lessons, each once; what is wrong is collected in `errors`."""

    def __init__(
        self, suite: Suite, folder: Path, material: Path, info: BaseInfo, judges: tuple[str, str], registry: Registry
    ) -> None:
        self.suite, self.folder, self.info = suite, folder, info
        self.base = suite.base or info.location.name
        self.fingerprint = fingerprint_of(info.location, info)
        self.errors: list[str] = []
        self._clip = judges[0]
        self._unread: tuple[str, ...] = ()
        self._registry, self._material = registry, material
        self._lessons: dict[tuple[Kind, str, str], Lesson | None] = {}
        self._alike: dict[str, Lesson] = {}
        self._hashes: dict[Path, str] = {}
        self._judged_by = [self._digest(judge) for judge in judges]
        self._sources = {
            **{one.name: self._found(one, _pictures) for one in suite.subjects},
            **{one.name: self._found(one, _clips) for one in suite.motions},
        }

    def task(self, cell: Cell, newest: CellResult | None) -> Task | None:
        """A cell, ready to be made; None where something about it is wrong."""
        method = self.suite.method(cell)
        things: dict[Kind, SuiteSubject | SuiteMotion | None] = {
            "subject": self.suite.subject(cell), "motion": self.suite.motion(cell),
        }  # fmt: skip
        asked = [(kind, thing) for kind, thing in things.items() if thing is not None and getattr(method, kind)]
        found = {kind: self._lesson(kind, thing, method) for kind, thing in asked}
        lessons = {kind: lesson for kind, lesson in found.items() if lesson is not None}
        sources = {kind: self._sources[thing.name] for kind, thing in things.items() if thing is not None}
        if len(lessons) < len(found) or None in sources.values():
            return None
        pictures, clips = self._references(things["subject"], things["motion"])
        wanted = Wanted(self.suite.text(cell), pictures, clips)
        settings = settings_for(self.info.recommended.get("compose", {}), None, method.compose_options)
        prompt = self.suite.said(cell)
        try:
            self._look_for_unread(prompt, lessons.get("subject"))
        except InputError as error:
            self.errors.append(str(error))
            return None
        identity = hashed([
            self.fingerprint, self.suite.dtype or "fp32", prompt, wanted.text, cell.seed,
            deciding(settings.values(), ComposeConfig),
            self._judged_by,
            {kind: lesson.identity for kind, lesson in lessons.items()},
            [self._hash_of(path) for path in pictures],
            [(self._hash_of(clip.path), clip.start, clip.end, clip.source_fps) for clip in clips],
        ])  # fmt: skip
        whole = newest is not None and newest.identity == identity and is_whole(newest, self.folder)
        return Task(cell, prompt, method.compose_options, settings.config, wanted, lessons, identity, newest, whole)

    def notes(self, tasks: Sequence[Task]) -> tuple[str, ...]:
        """The words of prompts, and of what was learnt by, that the base or the CLIP that judges never reads."""
        lessons = {lesson.identity: lesson for task in tasks for lesson in task.lessons.values()}
        learning = [note for lesson in lessons.values() for note in unread_words(lesson.plan, self.info)]
        judging = limit_of_judge(self._clip).notes(task.wanted.text for task in tasks if task.wanted.text)
        return tuple(dict.fromkeys((*learning, *self._unread, *judging)))

    def _look_for_unread(self, prompt: str, lesson: Lesson | None) -> None:
        limit = limit_of_base(self.info)
        if lesson is None or not isinstance(lesson.plan, SubjectPlan):
            self._unread += limit.notes([prompt])
            return
        recipe = lesson.plan.method.recipe(lesson.plan.settings.config)
        word = recipe.word.replace(CLASS, lesson.plan.class_word)
        self._unread += limit.notes([said(prompt, word)], token=recipe.token is not None, mark=word)

    def _found(self, thing: Any, find: Callable[[Any, Path], tuple[Path, ...]]) -> tuple[Path, ...] | None:
        try:
            return find(thing, self._material)
        except EngineError as error:
            self.errors.append(f"{thing.name}: {error}")
            return None

    def _digest(self, judge: str) -> str:
        try:
            return judge_digest(judge)
        except BaseError as error:
            self.errors.append(str(error))
            return ""

    def _hash_of(self, path: Path) -> str:
        if path not in self._hashes:
            self._hashes[path] = sha256_of(path)
        return self._hashes[path]

    def _references(self, subject: Any, motion: Any) -> tuple[tuple[Path, ...], tuple[ReferenceClip, ...]]:
        pictures = (self._sources[subject.name] or ()) if subject else ()
        trimming = {"start": motion.start or 0.0, "end": motion.end, "source_fps": motion.source_fps} if motion else {}
        paths = (self._sources[motion.name] or ()) if motion else ()
        return pictures, tuple(ReferenceClip(path, **trimming) for path in paths)

    def _lesson(self, kind: Kind, thing: Any, method: SuiteMethod) -> Lesson | None:
        options = getattr(method, f"{kind}_options")
        key = (kind, thing.name, json.dumps([getattr(method, kind), options], sort_keys=True))
        if key not in self._lessons:
            self._lessons[key] = self._planned(kind, thing, str(getattr(method, kind)), options)
        return self._lessons[key]

    def _planned(self, kind: Kind, thing: Any, method: str, options: Mapping[str, Any]) -> Lesson | None:
        from registry import RegistryError, RegistryUnavailableError, check_name

        sources = self._sources[thing.name]
        if sources is None:
            return None
        try:
            name = check_name(f"{self.suite.name}-{thing.name}-{method}")
            self._registry.next_version(name, kind)
            about = {"method": method, "base": self.base, "dtype": self.suite.dtype}
            if kind == "subject":
                masks = Path(thing.masks) if thing.masks else None
                about = given(**{"class": thing.class_word}, masks=masks, **about)
            else:
                about = given(
                    prompt=thing.prompt, start=thing.start, end=thing.end, source_fps=thing.source_fps, **about
                )
            settings = {name: tuple(value) if isinstance(value, list) else value for name, value in options.items()}
            request = new_request(kind, name, sources, about, settings)
            lesson = self._identified(request, plan_of(request, self.info))
        except RegistryUnavailableError:
            raise
        except (EngineError, RegistryError) as error:
            self.errors.append(f"{thing.name} by {method}: {error}")
            return None
        # Options that say what would be taken anyway make no other lesson.
        if lesson.identity not in self._alike:
            found = known_adapter(lesson, self.fingerprint, self._registry)
            self._alike[lesson.identity] = replace(lesson, adapter=found)
        return self._alike[lesson.identity]

    def _identified(self, request: Request, plan: SubjectPlan | MotionPlan) -> Lesson:
        sources = [(source.role, source.sha256, source.prompt) for source in plan.sources]
        said = getattr(plan, "class_word", None) or getattr(plan, "prompt", None)
        parts = [request.kind, plan.method.name, self.fingerprint, request.given.get("dtype", "fp32"),
                 _deciding(hyperparameters(request, plan), plan), sources, said]  # fmt: skip
        return Lesson(request, plan, hashed(parts))


def known_adapter(lesson: Lesson, fingerprint: str, registry: Registry) -> Adapter | None:
    """The newest adapter that was learnt from the same files in the same order, on the same base, by the same
    settings."""
    request, plan = lesson.request, lesson.plan
    wanted = (fingerprint, plan.method.name, request.given.get("dtype", "fp32"),
              _deciding(hyperparameters(request, plan), plan),
              getattr(plan, "class_word", None), getattr(plan, "prompt", None))  # fmt: skip
    files = [(source.role, source.sha256) for source in plan.sources]
    for adapter in reversed(registry.adapters(kind=request.kind)):
        has = (adapter.base_fingerprint, adapter.method, adapter.dtype, _deciding(adapter.hyperparameters, plan),
               adapter.class_word, adapter.prompt)  # fmt: skip
        if has == wanted and [(s.role, s.sha256) for s in registry.sources(adapter)] == files:
            return adapter
    return None


def _deciding(settings: Mapping[str, Any], plan: SubjectPlan | MotionPlan) -> dict[str, object]:
    return deciding(settings, plan.method.config)


def is_whole(result: CellResult, folder: Path) -> bool:
    """Whether a cell's video was made and scored, and is as it was then."""
    if result.state != "made" or result.video is None or result.sha256 is None:
        return False
    video = folder / result.video
    return video.is_file() and sha256_of(video) == result.sha256


def _pictures(subject: SuiteSubject, material: Path) -> tuple[Path, ...]:
    from engine.data.finding import find_images

    if subject.world is None:
        return find_images([Path(text) for text in subject.images]).used
    from engine.world.material import write_subject

    return tuple(write_subject(subject.world, material / subject.name))


def _clips(motion: SuiteMotion, material: Path) -> tuple[Path, ...]:
    from engine.data.finding import find_clips

    if motion.world is None:
        return find_clips([Path(text) for text in motion.clips]).used
    from engine.world.material import write_motion

    return tuple(write_motion(motion.world, material / motion.name, words=motion.objects))
