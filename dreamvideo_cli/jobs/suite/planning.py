"""Looks at every source of a suite, and at what is there already, before anything starts."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dreamvideo_cli.jobs.bases import chosen_base, fingerprint_of
from dreamvideo_cli.jobs.composing import settings_for, size_of_clips
from dreamvideo_cli.jobs.evaluating import judges_for
from dreamvideo_cli.jobs.kinds import AdapterKind
from dreamvideo_cli.jobs.learning import plan_sources
from dreamvideo_cli.jobs.publishing import hyperparameters
from dreamvideo_cli.jobs.requests import LearnRequest, given, new_request
from dreamvideo_cli.jobs.suite.keeping import keep_steps, kept_steps
from dreamvideo_cli.jobs.suite.plans import PlannedAdapter, PlannedCell, SuitePlan
from engine.bases.composable import check_composable
from engine.bases.location import BaseInfo, inspect_base
from engine.data.files import sha256_of
from engine.errors import BaseError, EngineError, InputError
from engine.evaluation.expected import Expected, ReferenceClip
from engine.evaluation.judge_files import judge_digest
from engine.evaluation.suites.definition import Suite, SuiteMethod, SuiteMotion, SuiteSubject
from engine.evaluation.suites.reading import raise_all
from engine.evaluation.suites.results import Cell, CellResult
from engine.identity import deciding, deciding_form, hashed
from engine.methods.common import CLASS
from engine.methods.dreamvideo import ComposeConfig
from engine.methods.table import recommended_composing_with
from engine.planning import MotionPlan, SubjectPlan, unread_words
from engine.prompt_limits import limit_of_base, limit_of_judge
from engine.prompts import with_subject_word

if TYPE_CHECKING:
    from registry import Adapter, Registry

_FIRST_JUDGES = ("clip", "dino")
"""The judges that a result's identity has told since the first version; of others the identity of a score tells."""


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
        base = chosen_base(registry, suite.base)
        info = inspect_base(base)
    except BaseError as error:
        raise_all([str(error)], f"the suite {suite.name}")
        raise
    judges = judges_for(base.name, {"clip": suite.clip, "dino": suite.dino})
    planner = _Planner(suite, folder, material, info, judges, registry)
    newest = {result.cell.key: result for result in results}
    planned = []
    for cell in suite.cells():
        one = planner.cell(cell, newest.get(cell.key))
        if one is not None:
            planned.append(one)
    planner.look_for_learnt()
    raise_all(planner.errors, f"the suite {suite.name}")
    return SuitePlan(
        suite,
        folder,
        planner.base,
        info,
        planner.fingerprint,
        device,
        judges,
        planner.digests,
        tuple(planned),
        planner.notes(planned),
    )


class _Planner:
    """Finds sources and plans adapters, each once; what is wrong is collected in `errors`."""

    def __init__(
        self, suite: Suite, folder: Path, material: Path, info: BaseInfo, judges: Mapping[str, str], registry: Registry
    ) -> None:
        self.suite, self.folder, self.info = suite, folder, info
        self.base = suite.base or info.location.name
        self.fingerprint = fingerprint_of(info.location, info)
        self.errors: list[str] = []
        self._clip = judges["clip"]
        self._unread: tuple[str, ...] = ()
        self._registry, self._material = registry, material
        self._adapters: dict[tuple[AdapterKind, str, str], PlannedAdapter | None] = {}
        self._alike: dict[str, PlannedAdapter] = {}
        self._hashes: dict[Path, str] = {}
        self.digests = {name: self._digest(model) for name, model in judges.items()}
        self._sources = {
            **{one.name: self._found(one, _pictures) for one in suite.subjects},
            **{one.name: self._found(one, _clips) for one in suite.motions},
        }

    def cell(self, cell: Cell, newest: CellResult | None) -> PlannedCell | None:
        """A cell, ready to be made; None where something about it is wrong."""
        method = self.suite.method(cell)
        things: dict[AdapterKind, SuiteSubject | SuiteMotion | None] = {
            "subject": self.suite.subject(cell), "motion": self.suite.motion(cell),
        }  # fmt: skip
        asked = [(kind, thing) for kind, thing in things.items() if thing is not None and getattr(method, kind)]
        found = {kind: self._adapter(kind, thing, method) for kind, thing in asked}
        adapters = {kind: adapter for kind, adapter in found.items() if adapter is not None}
        steps = {"subject": cell.subject_step, "motion": cell.motion_step}
        kept = {kind: step for kind, one in adapters.items() if (step := steps[kind]) in one.kept and step is not None}
        sources = {kind: self._sources[thing.name] for kind, thing in things.items() if thing is not None}
        if len(adapters) < len(found) or None in sources.values():
            return None
        pictures, clips = self._references(things["subject"], things["motion"])
        subject = self.suite.subject(cell)
        expected = Expected(self.suite.text(cell), pictures, clips, subject.world if subject else None)
        recommended = recommended_composing_with(method.subject, self.info.recommended)
        settings = settings_for(recommended, None, method.compose_options)
        self._check_composable(method, settings.config, adapters.get("motion"))
        prompt = self.suite.composed_prompt(cell)
        try:
            self._look_for_unread(prompt, adapters.get("subject"))
        except InputError as error:
            self.errors.append(str(error))
            return None
        contents: list[object] = [
            [self._hash_of(path) for path in pictures],
            [[self._hash_of(clip.path), clip.start, clip.end, clip.source_fps] for clip in clips],
        ]
        identity = hashed([
            self.fingerprint, self.suite.dtype or "fp32", prompt, expected.text, cell.seed,
            deciding(settings.values(), ComposeConfig),
            [self.digests[name] for name in _FIRST_JUDGES],
            {kind: [one.identity, kept[kind]] if kind in kept else one.identity for kind, one in adapters.items()},
            *contents,
        ])  # fmt: skip
        has_video = newest is not None and newest.identity == identity and is_whole(newest, self.folder)
        compared = [expected.text, *contents, *([expected.individual] if expected.individual else [])]
        unscored = tuple(missing_scores(newest, self.digests, compared)) if newest is not None and has_video else ()
        return PlannedCell(
            cell, prompt, method.compose_options, settings.config, expected, adapters, kept, identity, newest, compared,
            has_video, unscored,
        )  # fmt: skip

    def look_for_learnt(self) -> None:
        """Find what the registry has already, now that it is known which steps are to be kept of each."""
        for adapter in self._alike.values():
            try:
                keep_steps(adapter)
                adapter.published = known_adapter(adapter, self.fingerprint, self._registry)
            except InputError as error:
                self.errors.append(str(error))

    def notes(self, cells: Sequence[PlannedCell]) -> tuple[str, ...]:
        """The words of prompts, and of what was learnt by, that the base or the CLIP that judges never reads."""
        adapters = {adapter.identity: adapter for cell in cells for adapter in cell.adapters.values()}
        learning = [note for adapter in adapters.values() for note in unread_words(adapter.plan, self.info)]
        judging = limit_of_judge(self._clip).notes(cell.expected.text for cell in cells if cell.expected.text)
        return tuple(dict.fromkeys((*learning, *self._unread, *judging)))

    def _look_for_unread(self, prompt: str, subject: PlannedAdapter | None) -> None:
        limit = limit_of_base(self.info)
        if subject is None or not isinstance(subject.plan, SubjectPlan):
            self._unread += limit.notes([prompt])
            return
        recipe = subject.plan.method.recipe(subject.plan.settings.config)
        word = recipe.word.replace(CLASS, subject.plan.class_word)
        self._unread += limit.notes([with_subject_word(prompt, word)], vectors=recipe.vectors, mark=word)

    def _check_composable(self, method: SuiteMethod, config: ComposeConfig, motion: PlannedAdapter | None) -> None:
        try:
            check_composable(self.info, config)
            if motion is not None:
                size_of_clips(motion.plan.method.name, motion.plan.settings.values(), method.compose_options)
        except EngineError as error:
            self.errors.append(f"{method.name}: {error}")

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

    def _adapter(self, kind: AdapterKind, thing: Any, method: SuiteMethod) -> PlannedAdapter | None:
        options = getattr(method, f"{kind}_options")
        key = (kind, thing.name, json.dumps([getattr(method, kind), options], sort_keys=True))
        if key not in self._adapters:
            self._adapters[key] = self._planned(kind, thing, str(getattr(method, kind)), options)
        adapter = self._adapters[key]
        if adapter is not None:
            try:
                adapter.kept |= kept_steps(adapter.plan, method.name, method.used_at(kind))
            except InputError as error:
                self.errors.append(str(error))
        return adapter

    def _planned(self, kind: AdapterKind, thing: Any, method: str, options: Mapping[str, Any]) -> PlannedAdapter | None:
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
            planned = self._identified(request, plan_sources(request, self.info))
        except RegistryUnavailableError:
            raise
        except (EngineError, RegistryError) as error:
            self.errors.append(f"{thing.name} by {method}: {error}")
            return None
        # Settings that say what would be taken anyway make no other adapter.
        return self._alike.setdefault(planned.identity, planned)

    def _identified(self, request: LearnRequest, plan: SubjectPlan | MotionPlan) -> PlannedAdapter:
        sources = [(source.role, source.sha256, source.prompt) for source in plan.sources]
        text = getattr(plan, "class_word", None) or getattr(plan, "prompt", None)
        parts = [request.kind, plan.method.name, self.fingerprint, request.dtype,
                 _deciding(hyperparameters(request, plan), plan), sources, text, *_form(plan).values()]  # fmt: skip
        return PlannedAdapter(request, plan, hashed(parts))


def known_adapter(planned: PlannedAdapter, fingerprint: str, registry: Registry) -> Adapter | None:
    """The newest adapter that was learnt from the same files in the same order, on the same base, by the same
    settings, and of which the wanted steps are kept."""
    request, plan = planned.request, planned.plan
    expected = (fingerprint, plan.method.name, request.dtype,
              _deciding(hyperparameters(request, plan), plan),
              getattr(plan, "class_word", None), getattr(plan, "prompt", None))  # fmt: skip
    files = [(source.role, source.sha256) for source in plan.sources]
    for adapter in reversed(registry.adapters(kind=request.adapter_kind)):
        has = (adapter.base_fingerprint, adapter.method, adapter.dtype, _deciding(adapter.hyperparameters, plan),
               adapter.class_word, adapter.prompt)  # fmt: skip
        alike = has == expected and [(s.role, s.sha256) for s in registry.sources(adapter)] == files
        if alike and _has_form(registry.path(adapter), _form(plan)) and _has_steps(adapter, planned.kept, registry):
            return adapter
    return None


def _form(plan: SubjectPlan | MotionPlan) -> dict[str, str]:
    return deciding_form(plan.method.recipe(plan.settings.config).form)


def _has_form(folder: Path, form: Mapping[str, str]) -> bool:
    """Whether an adapter of the same settings has weights of a form that they didn't mean in the first version."""
    from engine.adapters.storage import stored_form

    return not form or stored_form(folder) == form["form"]


def _has_steps(adapter: Adapter, wanted: frozenset[int], registry: Registry) -> bool:
    return not wanted or wanted <= {kept.step for kept in registry.kept_steps(adapter)}


def _deciding(settings: Mapping[str, Any], plan: SubjectPlan | MotionPlan) -> dict[str, object]:
    return deciding(settings, plan.method.config)


def missing_scores(result: CellResult, digests: Mapping[str, str], compared: list[object]) -> list[str]:
    """The metrics of which a result has no score as it would be measured now."""
    from engine.evaluation.scoring import METRICS, score_identity

    if not result.score_identities:  # of the first version: the result's own identity told it of these
        return [metric.name for metric in METRICS if metric.name not in result.scores or metric.version > 1]
    return [
        metric.name
        for metric in METRICS
        if result.score_identities.get(metric.name) != score_identity(metric, digests, str(result.sha256), compared)
    ]


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
    from engine.world.individuals import individual_named
    from engine.world.material import write_photographs

    return tuple(write_photographs(individual_named(subject.world), material / subject.name))


def _clips(motion: SuiteMotion, material: Path) -> tuple[Path, ...]:
    from engine.data.finding import find_clips

    if motion.world is None:
        return find_clips([Path(text) for text in motion.clips]).used
    from engine.world.individuals import individual_named
    from engine.world.material import write_clips

    moving = [individual_named(name) for name in motion.objects]
    return tuple(write_clips(motion.world, moving, material / motion.name))
