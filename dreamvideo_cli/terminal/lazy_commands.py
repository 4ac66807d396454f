"""Commands that are imported when they are asked for: `dv list` and a tab press don't pay for all the others."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, MutableMapping
from copy import copy
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from typing import Any, ClassVar, cast

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_group

from dreamvideo_cli.terminal.errors import shown_stop
from dreamvideo_cli.terminal.refused_values import reason
from dreamvideo_cli.terminal.spelling import name_options_of


@dataclass(frozen=True)
class Command:
    """Where a command is, or a group of them: `attribute` of a module in dreamvideo_cli/commands/, a function or a
    `typer.Typer`. `panel` is its place in the help of all, and `help` the first paragraph of its own help, told here so
    that a list of all commands imports none of them."""

    module: str
    attribute: str
    panel: str
    help: str


class Commands(Mapping[str, Any]):
    """Click's commands by name, in the order of `known`; each is made when it is first looked up."""

    def __init__(self, known: Mapping[str, Command]) -> None:
        self._known = known
        self._made: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        if name not in self._made:
            self._made[name] = _made(name, self._known[name])
        return self._made[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._known)

    def __len__(self) -> int:
        return len(self._known)


class LazyGroup(TyperGroup):
    """A group whose commands are those of `known`, which a subclass sets."""

    known: ClassVar[Mapping[str, Command]]

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        # Only `add_command` would change it, and nobody calls that.
        self.commands = cast(MutableMapping[str, Any], Commands(self.known))
        _take_nothing_for_nothing(self)

    def list_commands(self, ctx: Any) -> list[str]:
        """Names alone: typer's own looks every command up as well."""
        return list(self.known)

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """The help of the group, with a line of each command."""
        TyperGroup.format_help(self._listing(), ctx, formatter)

    def shell_complete(self, ctx: Any, incomplete: str) -> list[Any]:
        """The commands that begin so, each with its line."""
        asked = copy(ctx)
        asked.command = listing = self._listing()
        return TyperGroup.shell_complete(listing, asked, incomplete)

    def _listing(self) -> TyperGroup:
        """This group with commands that have a name and a line of help, and do nothing."""
        listing = copy(self)
        listing.commands = {
            name: TyperCommand(name, help=command.help, rich_help_panel=command.panel)
            for name, command in self.known.items()
        }
        return listing


def _made(name: str, command: Command) -> Any:
    found = getattr(import_module(f"dreamvideo_cli.commands.{command.module}"), command.attribute)
    app = typer.Typer(rich_markup_mode="rich", pretty_exceptions_enable=False)
    if isinstance(found, typer.Typer):
        app.add_typer(found, name=name, rich_help_panel=command.panel)
    else:
        app.command(name, rich_help_panel=command.panel)(found)
    # An app of one command would be that command itself.
    made = get_group(app).commands[name]
    for each in (made, *getattr(made, "commands", {}).values()):
        _take_nothing_for_nothing(each)
        _speak_for(each)
    return made


def _speak_for(command: Any) -> None:
    """Let errors and warnings of the command name settings by its options, and Ctrl-C say how to go on."""
    invoke = command.invoke

    def invoked(context: Any) -> Any:
        name_options_of(command.params)
        try:
            return invoke(context)
        except KeyboardInterrupt as stop:  # here, as typer would drop what it tells of how to go on
            raise typer.Exit(shown_stop(stop)) from None

    command.invoke = invoked


def _take_nothing_for_nothing(command: Any) -> None:
    """Check only what is given: typer imports pydantic, and builds a check, even for an option that isn't."""
    every = command.get_params

    def get_params(context: Any) -> list[Any]:
        parameters = every(context)
        for parameter in parameters:
            if not isinstance(parameter.process_value, partial):
                parameter.process_value = partial(_processed, parameter.process_value, parameter)
        return list(parameters)

    # Not in `params` alone: --help is made when they are asked for.
    command.get_params = get_params


def _processed(process: Callable[[Any, Any], Any], parameter: Any, context: Any, value: Any) -> Any:
    if context.resilient_parsing:
        # A tab press wants to know where the line is, not whether it is right.
        return value
    if value is not None or parameter.required:
        try:
            return process(context, value)
        except typer.BadParameter as error:
            error.message = reason(error)
            raise
    nothing = () if parameter.multiple or parameter.nargs == -1 else None
    return nothing if parameter.callback is None else parameter.callback(context, parameter, nothing)
