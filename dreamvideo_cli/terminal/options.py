"""Options that several commands share, and options made from the fields of a config."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import Field, fields
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, get_type_hints

import typer

from dreamvideo_cli.jobs.kinds import Device, Dtype, Where
from dreamvideo_cli.terminal.completion import adapter_names, base_names
from dreamvideo_cli.wording import option_name, size_from_text, value_text

Command = TypeVar("Command", bound=Callable[..., None])
SortKey = Literal["age", "name", "kind", "base", "method", "steps", "size"]


JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON on stdout.")]
QuietOption = Annotated[bool, typer.Option("--quiet", "-q", help="Say nothing on stderr but errors.")]
DeviceOption = Annotated[
    Device | None, typer.Option("--device", help="Where to compute.", show_default="the best there is")
]
DtypeOption = Annotated[
    Dtype | None,
    typer.Option("--dtype", help="Precision of the frozen base; fp8 is stored so only, and bf16.", show_default="fp32"),
]
OffloadOption = Annotated[
    bool,
    typer.Option("--offload", help="Keep the denoiser's blocks off the GPU; each layer is copied there as it runs."),
]
OnOption = Annotated[Where, typer.Option("--on", help="Work in this process, or by workers on a Ray cluster.")]
RayAddressOption = Annotated[
    str | None,
    typer.Option(
        "--ray-address",
        metavar="ADDRESS",
        envvar="RAY_ADDRESS",
        help="A Ray cluster: HOST:PORT, or auto on a machine of it.",
        show_default="one of this machine alone, while dv runs",
    ),
]
WorkersOption = Annotated[
    int | None,
    typer.Option(
        "--workers", min=1, metavar="N", help="Workers at once on Ray.", show_default="one a GPU, or without any a core"
    ),
]
BaseOption = Annotated[
    str | None,
    typer.Option(
        "--base",
        metavar="BASE",
        help="A base's name, a diffusers folder, or a hub id.",
        autocompletion=base_names,
    ),
]
ResumeOption = Annotated[
    bool, typer.Option("--resume", help="Go on with the unfinished run of this name; NAME alone is enough.")
]
RestartOption = Annotated[bool, typer.Option("--restart", help="Drop the unfinished run of this name.")]
DryRunOption = Annotated[bool, typer.Option("--dry-run", help="Show what would be done, and stop.")]
LARGEST_LIMIT = 2**31 - 1
"""More than anybody has, and no more than a database counts to."""
LimitOption = Annotated[
    int | None, typer.Option("--limit", min=1, max=LARGEST_LIMIT, metavar="N", help="Only the N newest.")
]
YesOption = Annotated[bool, typer.Option("--yes", "-y", help="Don't ask.")]
NewNameArgument = Annotated[str, typer.Argument(metavar="NAME", help="Name of the adapter to learn.")]
AnyAdapterArgument = Annotated[
    str,
    typer.Argument(
        metavar="NAME[@N]", help="An adapter; without @N its newest version.", autocompletion=adapter_names()
    ),
]
BaseArgument = Annotated[str, typer.Argument(metavar="NAME", help="A base's name.", autocompletion=base_names)]
FileArgument = Annotated[Path, typer.Argument(metavar="FILE", help="A file that dv made.")]


def size_of(text: str | tuple[int, int]) -> tuple[int, int]:
    """A size as an option's value. Raises typer.BadParameter for what is none."""
    if isinstance(text, tuple):
        return text
    try:
        return size_from_text(text)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


def options_of(
    config: type[Any], *, panel: str, methods: Mapping[str, type[Any]] | None = None
) -> Callable[[Command], Command]:
    """Give a command one option for every field of a config dataclass, instead of its `**options`.

    With `methods`, configs by the name of `--method`, there is one for every field that any of them has.

    Types, values and help texts are the fields' own; what the user didn't give isn't passed on, so that a
    recommendation of the base may take its place.
    """
    readers = methods or {"": config}
    every: dict[str, tuple[Field[Any], Any]] = {}
    for each in (config, *readers.values()):
        for field, hint in _hinted(each):
            every.setdefault(field.name, (field, hint))
    added = [_parameter(field, hint, panel, _defaults(field.name, readers)) for field, hint in every.values()]
    names = {parameter.name for parameter in added}

    def decorate(command: Command) -> Command:
        own = inspect.signature(command, eval_str=True)
        kept = [p for p in own.parameters.values() if p.kind is not inspect.Parameter.VAR_KEYWORD]

        @wraps(command)
        def called(**values: Any) -> None:
            given = {name: values.pop(name) for name in names}
            command(**values, **{name: value for name, value in given.items() if value is not None})

        all_of_them = [p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in (*kept, *added)]
        called.__signature__ = own.replace(parameters=all_of_them)  # type: ignore[attr-defined]
        called.__annotations__ = {p.name: p.annotation for p in all_of_them} | {"return": None}
        return called  # type: ignore[return-value]

    return decorate


def _hinted(config: type[Any]) -> list[tuple[Field[Any], Any]]:
    hints = get_type_hints(config)
    return [(field, hints[field.name]) for field in fields(config)]


def _defaults(name: str, readers: Mapping[str, type[Any]]) -> str:
    """What an option is where it isn't given, and which methods read it where not all do: `32; lora only`."""
    values = {
        reader: field.metadata["unset"] if field.default is None else value_text(field.default) or "empty"
        for reader, config in readers.items()
        for field in fields(config)
        if field.name == name
    }
    first = next(iter(values.values()))
    others = {reader: value for reader, value in values.items() if value != first}
    if len(values) == len(readers):
        return "; ".join([first, *([_listed(others)] if others else [])])
    return _listed(values) if others else f"{first}; {', '.join(values)} only"


def _listed(values: Mapping[str, str]) -> str:
    return ", ".join(f"{reader} {value}" for reader, value in values.items())


def _parameter(field: Field[Any], hint: Any, panel: str, default: str) -> inspect.Parameter:
    """One field as an option. A flag has both directions: the base may recommend either."""
    flag = option_name(field.name)
    about: dict[str, Any] = {
        "help": f"{field.metadata['help']} ({default})",
        "show_default": False,
        "rich_help_panel": panel,
    }
    if hint is bool:
        flag = f"{flag}/{option_name('no_' + field.name)}"
    elif hint == tuple[int, int]:
        hint = Any
        about |= {"parser": size_of, "metavar": "WxH"}
    return inspect.Parameter(
        field.name,
        inspect.Parameter.KEYWORD_ONLY,
        default=None,
        annotation=Annotated[hint | None if hint is not Any else Any, typer.Option(flag, **about)],
    )
