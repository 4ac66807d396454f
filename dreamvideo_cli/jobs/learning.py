"""One learning run from request to published adapter: the same for subjects and motions."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from dreamvideo_cli.jobs.bases import default_base, named_base
from dreamvideo_cli.jobs.recording import recorded
from dreamvideo_cli.jobs.requests import Request, has_diverged, load_request, reached_text, save_reached
from dreamvideo_cli.terminal.exit_codes import ExitCode
from dreamvideo_cli.terminal.output import Out
from dreamvideo_cli.terminal.plans import plan_data, show_plan, source_data
from dreamvideo_cli.terminal.progress import Meter
from engine.bases.location import BaseInfo, inspect_base
from engine.errors import DivergedError, EngineError, InputError
from engine.prompts import check_text
from engine.versions import version_of, version_of_dv

if TYPE_CHECKING:
    from engine.learning import Learned, OnProgress
    from engine.planning import MotionPlan, SubjectPlan
    from engine.training import Progress as Step
    from registry import Adapter, NewAdapter, Registry

_TRIES, _BETWEEN_TRIES_S = 20, 0.05
_GO_LOWER = "Start anew with a lower learning rate"
_LIBRARIES = ("torch", "diffusers", "transformers", "accelerate", "safetensors", "numpy")


@dataclass(frozen=True)
class Choices:
    """How to go about a run, beside what it is. `on_step` is told of every step of it."""

    resume: bool = False
    restart: bool = False
    dry_run: bool = False
    announce: bool = True
    on_step: OnProgress | None = None


def learn(request: Request, choices: Choices, out: Out) -> None:
    """Plan, show the plan, learn, publish; print the adapter's id. Raises the engine's and registry's errors."""
    from dreamvideo_cli.terminal.rows import adapter_data

    adapter = learned(request, choices, out)
    if adapter is not None:
        out.result(adapter.id, adapter_data(adapter))


def learned(request: Request, choices: Choices, out: Out) -> Adapter | None:
    """`learn` that gives the adapter instead of printing it; None for a dry run."""
    from registry import Registry, check_new_name

    if choices.resume and choices.restart:
        raise InputError("--resume goes on with a run and --restart drops it: give one of them")
    request = replace(request, name=check_new_name(request.name))
    with Registry.open() as registry:
        version = registry.next_version(request.name, request.kind)
        run = registry.run_folder(request.name)
        with _alone(registry, request):
            request = _settled(request, run, choices, registry)
            assert request.base is not None
            info = inspect_base(request.base)
            plan = plan_of(request, info)
            if choices.announce:
                _announce(request, plan, info, f"{request.name}@{version}", out, dry_run=choices.dry_run)
            if choices.dry_run:
                return None
            if choices.restart:
                shutil.rmtree(run, ignore_errors=True)
            with recorded(registry, request) as record:
                meter = record.meter = _Watched(out, choices.on_step)
                adapter = _run(request, plan, run, registry, meter)
                record.adapter = adapter.id
            shutil.rmtree(run, ignore_errors=True)
    return adapter


@contextmanager
def _alone(registry: Registry, request: Request) -> Iterator[None]:
    """Hold the name for this process. Raises `InputError` where another one learns it."""
    from filelock import Timeout

    lock = registry.runs.lock(request.name)
    # Who only looks whether somebody works on the name holds it for a moment. Tries are counted, not seconds: on a
    # busy machine either may be kept waiting for long.
    for tries_left in reversed(range(_TRIES)):
        try:
            lock.acquire(blocking=False)
            break
        except Timeout:
            if not tries_left:
                raise InputError(
                    f"another process is learning {request.name} right now: wait for it, or choose another name"
                ) from None
            time.sleep(_BETWEEN_TRIES_S)
    try:
        yield
    finally:
        lock.release()


def _settled(request: Request, run: Path, choices: Choices, registry: Registry) -> Request:
    """The request that is to be carried out, an unfinished run of the name taken into account."""
    if choices.restart:
        stored = None
        if not request.sources:
            stored = load_request(run)
            if stored is None:
                raise _without_sources(request)
            _check_kind(request, stored)
            return replace(request.continuing(stored), started_at=_now())
    else:
        stored = load_request(run)
    if stored is not None:
        _check_kind(request, stored)
        if choices.resume:
            return request.continuing(stored)
        if not choices.dry_run:
            raise InputError(
                f"there is an unfinished run of {stored.name}: it stopped {reached_text(run)}.\n"
                + (_GO_LOWER if has_diverged(run) else f"Go on with it: {stored.command('--resume')}\nOr start anew")
                + ": repeat this command with --restart."
            )
    if choices.resume and stored is None:
        raise InputError(f"there is no unfinished run of {request.name} to resume: run it without --resume")
    if not request.sources:
        raise _without_sources(request)
    base = request.given.get("base")
    location = named_base(registry, base) if base else default_base(registry)
    return replace(request, base=location, started_at=_now())


def _without_sources(request: Request) -> InputError:
    thing, example = ("images", "photos/ --class dog") if request.kind == "subject" else ("clips", "clips/")
    return InputError(f"no {thing} given: dv {request.kind} learn {request.name} {example}")


def _check_kind(request: Request, stored: Request) -> None:
    if stored.kind != request.kind:
        raise InputError(
            f"the unfinished run of {stored.name} learns a {stored.kind}, not a {request.kind}.\n"
            f"Go on with it: {stored.command('--resume')}\nOr choose another name."
        )


class _Watched(Meter):
    """A meter that passes on what it is told of learning."""

    def __init__(self, out: Out, on_step: OnProgress | None) -> None:
        super().__init__(out)
        self._on_step = on_step

    def learning(self, part: str, step: Step) -> None:
        super().learning(part, step)
        if self._on_step is not None:
            self._on_step(part, step)


def plan_of(request: Request, info: BaseInfo) -> SubjectPlan | MotionPlan:
    """What a request comes to on a base. Raises `InputError` for what can't be used."""
    from engine.methods.table import DEFAULT
    from engine.planning import plan_motion, plan_subject

    given, sources = request.given, [Path(source) for source in request.sources]
    for option in ("class", "prompt"):
        check_text(given.get(option, ""), f"--{option}")
    method = given.get("method", DEFAULT)
    if request.kind == "subject":
        if "class" not in given:
            raise InputError("--class is missing: give the word for what the subject is, as in --class dog")
        masks = Path(given["masks"]) if "masks" in given else None
        return plan_subject(sources, given["class"], info=info, masks=masks, options=request.settings, method=method)
    return plan_motion(
        sources,
        given.get("prompt"),
        info=info,
        start=given.get("start", 0.0),
        end=given.get("end"),
        source_fps=given.get("source_fps"),
        options=request.settings,
        method=method,
    )


def _announce(
    request: Request, plan: SubjectPlan | MotionPlan, info: BaseInfo, id: str, out: Out, *, dry_run: bool
) -> None:
    if out.quiet and not (dry_run and out.json):
        return
    from engine.estimating import estimate

    dtype = request.given.get("dtype", "fp32")
    device = request.given.get("device")
    forecast = estimate(plan, info.location, device=device, dtype=dtype)
    show_plan(out, id, plan, info, forecast, f"on {device or 'the best device here'} in {dtype}")
    if dry_run and out.json:
        out.data(plan_data(id, plan, info, forecast))


def _run(request: Request, plan: SubjectPlan | MotionPlan, run: Path, registry: Registry, meter: Meter) -> Adapter:
    """Load the base, learn and publish. A run that made no step leaves nothing behind."""
    from engine.bases.load import load_base

    assert request.base is not None
    fresh, diverged = not run.exists(), False
    try:
        run.mkdir(parents=True, exist_ok=True)
        request.save(run)
        given = request.given
        base = load_base(request.base, device=given.get("device"), dtype=given.get("dtype", "fp32"))
        with registry.staging() as staged:
            with meter:
                learned = _learned(plan, base, staged, run, meter)
            sources: Any = [_source(source) for source in plan.sources]
            return registry.publish(staged, _row(request, plan, base, learned), sources)
    except KeyboardInterrupt:
        meter.out.warn(f"stopped {_where(meter)}{_way_on(request, meter, fresh)}")
        raise typer.Exit(ExitCode.INTERRUPTED) from None
    except DivergedError as error:
        diverged = True
        error.add_note(f"Going on would come there again. {_GO_LOWER}: repeat the command with --restart.")
        raise
    except (EngineError, OSError) as error:
        if meter.last is not None:
            error.add_note(f"The run stopped {_where(meter)}{_way_on(request, meter, fresh)}")
            error.add_note("Or with other settings: repeat the command with --restart.")
        raise
    finally:
        if meter.last is not None:
            save_reached(run, meter.last, diverged=diverged)
        elif fresh:
            shutil.rmtree(run, ignore_errors=True)


def _way_on(request: Request, meter: Meter, fresh: bool) -> str:
    return "" if fresh and meter.last is None else f"; go on with: {request.command('--resume')}"


def _learned(plan: SubjectPlan | MotionPlan, base: Any, staged: Path, run: Path, meter: Meter) -> Learned:
    from engine.learning import learn_motion, learn_subject
    from engine.planning import SubjectPlan

    every = plan.settings.config.snapshot_every

    def report(part: str, step: Any) -> None:
        meter.learning(part, step)
        if step.step % every == 0 and meter.last is not None:
            save_reached(run, meter.last)  # what a kill leaves behind should be true as well

    if isinstance(plan, SubjectPlan):
        return learn_subject(plan, base, staged, run=run, on_progress=report)
    return learn_motion(plan, base, staged, run=run, on_progress=report)


def _where(meter: Meter) -> str:
    if meter.last is None:
        return "before the first step"
    part, step, steps = meter.last
    return f"at step {step} of {steps} ({part})"


def hyperparameters(request: Request, plan: SubjectPlan | MotionPlan) -> dict[str, Any]:
    """All that decides what comes of the sources, as an adapter's row has it."""
    return {**plan.settings.values(), **_trimming(request), **_captions(plan)}


def _trimming(request: Request) -> dict[str, Any]:
    return {name: request.given[name] for name in ("start", "end", "source_fps") if name in request.given}


def _captions(plan: SubjectPlan | MotionPlan) -> dict[str, Any]:
    """The captions of the images or clips, in their order, where they aren't all the motion's prompt, or none."""
    captions = [source.prompt for source in plan.sources if source.role != "mask"]
    return {"captions": captions} if set(captions) - {getattr(plan, "prompt", None)} else {}


def _row(request: Request, plan: SubjectPlan | MotionPlan, base: Any, learned: Learned) -> NewAdapter:
    from registry import NewAdapter

    return NewAdapter(
        kind=request.kind,
        name=request.name,
        base_fingerprint=base.fingerprint,
        base_name=base.name,
        method=learned.method,
        hyperparameters=hyperparameters(request, plan),
        origins={
            **plan.settings.origins,
            **dict.fromkeys(_trimming(request), "option"),
            **dict.fromkeys(_captions(plan), "files"),
        },
        seed=plan.settings.config.seed,
        device=str(base.device),
        dtype=request.given.get("dtype", "fp32"),
        library_versions={name: version_of(name) for name in _LIBRARIES},
        started_at=request.started_at,
        ended_at=_now(),
        steps=learned.steps,
        final_loss=learned.final_loss,
        dv_version=version_of_dv(),
        class_word=getattr(plan, "class_word", None),
        prompt=getattr(plan, "prompt", None),
    )


def _source(source: Any) -> Any:
    from registry import Source

    data = source_data(source)
    return Source(**{name: data[name] for name in Source.__dataclass_fields__})


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
