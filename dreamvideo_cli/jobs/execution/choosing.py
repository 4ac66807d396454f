"""Which executor somebody asks for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import get_args

from dreamvideo_cli.jobs.events import OnEvent
from dreamvideo_cli.jobs.execution.executor import Executor, Here
from dreamvideo_cli.jobs.kinds import Where
from engine.errors import InputError


@dataclass(frozen=True)
class Execution:
    """Where units are worked on: in this process, or on a Ray cluster. `ray_address` is None for a cluster of this
    machine alone, for as long as the job; `workers` for as many as the cluster has GPUs, or without any cores.

    Raises `InputError`.
    """

    on: Where = "here"
    ray_address: str | None = None
    workers: int | None = None

    def __post_init__(self) -> None:
        if self.on not in get_args(Where):
            raise InputError(f"`on` is {self.on!r}: it must be one of {', '.join(get_args(Where))}")
        if self.on == "here" and self.workers is not None:
            raise InputError("`workers` is read with `on` ray only: add that, or leave it out")
        if self.workers is not None and self.workers < 1:
            raise InputError(f"`workers` is {self.workers}: it must be at least 1")

    @property
    def arguments(self) -> list[str]:
        """The arguments of a command that asks for it."""
        if self.on == "here":
            return []
        given = {"--ray-address": self.ray_address, "--workers": self.workers}
        return ["--on", "ray", *(text for name, value in given.items() if value for text in (name, str(value)))]


HERE = Execution()


def executor_for(execution: Execution, on_event: OnEvent) -> Executor:
    """The executor, to be entered. Raises `InputError` where Ray isn't installed."""
    if execution.on == "here":
        return Here()
    try:
        from dreamvideo_cli.jobs.execution.on_ray import OnRay
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "ray":
            raise
        raise InputError("`on` ray needs Ray, which isn't installed: pip install 'dreamvideo-cli[cluster]'") from error
    return OnRay(execution.ray_address, execution.workers, on_event)
