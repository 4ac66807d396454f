"""The only module that prints. Data goes to stdout, everything said about it to stderr."""

from __future__ import annotations

import io
import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from dreamvideo_cli.terminal.exit_codes import ExitCode
from dreamvideo_cli.terminal.spelling import with_options

# Imported late: names and JSON, all that a script or a tab press wants, need no rich.
if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

Row = Mapping[str, object]
_PIPED_WIDTH = 120


def console(*, stderr: bool = False) -> Console:
    """A console that takes text literally: what users write may hold brackets and colons.

    NO_COLOR, TERM and COLUMNS are honoured by rich; a pipe, which has no width, gets a roomy one.
    Characters that the stream's encoding lacks are shown as escapes.
    """
    from rich.console import Console

    stream = sys.stderr if stderr else sys.stdout
    if isinstance(stream, io.TextIOWrapper):
        stream.reconfigure(errors="backslashreplace")
    width = None if stream.isatty() or "COLUMNS" in os.environ else _PIPED_WIDTH
    return Console(stderr=stderr, width=width, markup=False, highlight=False, emoji=False, soft_wrap=False)


@dataclass(frozen=True)
class Column:
    """One column of a table: which value of a row it shows, and how."""

    key: str
    title: str
    show: Callable[[object], str] = str
    justify: Literal["left", "right"] = "left"
    style: str = ""
    wrap: bool = False


@dataclass(frozen=True)
class Out:
    """How one command speaks. `json` decides what stdout gets, `quiet` keeps stderr still but for errors."""

    json: bool = False
    quiet: bool = False

    def result(self, id: str, data: object) -> None:
        """What a job made: its id or path alone on a line, so that scripts can use it, or all of it as JSON."""
        if self.json:
            self.data(data)
        else:
            _write(id)
        # At once: a pipe would hold it back until the job's end, and a kill would lose it.
        sys.stdout.flush()

    def data(self, data: object) -> None:
        """JSON on stdout."""
        _write(_as_json(data))

    def table(
        self, rows: Sequence[Row], columns: Sequence[Column], *, id_key: str, names: bool = False, empty: str
    ) -> None:
        """A listing: as JSON (raw values), as bare ids (`names`), or as a table; `empty` is said on stderr."""
        if self.json:
            self.data([dict(row) for row in rows])
        elif names:
            for row in rows:
                _write(str(row[id_key]))
        elif rows:
            console().print(grid(rows, columns))
        else:
            self.note(empty)

    def page(self, sections: Sequence[tuple[str, Mapping[str, object]]], data: object) -> None:
        """One thing in full: sections of names and values, or `data` as JSON."""
        if self.json:
            self.data(data)
            return
        screen = console()
        for number, (title, values) in enumerate(sections):
            if number:
                screen.print()
            if title:
                screen.print(title, style="bold")
            screen.print(pairs(values))

    def aside(self, *tables: Table) -> None:
        """Tables about the job to come, on stderr."""
        if not self.quiet:
            screen = console(stderr=True)
            for table in tables:
                screen.print(table)

    def note(self, text: str) -> None:
        """One line for the person at the terminal."""
        if not self.quiet:
            _say(with_options(text))

    def warn(self, text: str) -> None:
        """What should be read even with --quiet."""
        from rich.text import Text

        _say(Text.assemble(("warning: ", "bold yellow"), with_options(text)))

    def confirm(self, question: str) -> bool:
        """Ask on the terminal; only a `y` or `yes` is a yes."""
        console(stderr=True).print(f"{question} [y/N] ", end="")
        return sys.stdin.readline().strip().lower() in ("y", "yes")

    @property
    def is_for_eyes(self) -> bool:
        """Whether a listing goes to a person: onto a terminal, and not as JSON."""
        return not self.json and sys.stdout.isatty()

    @property
    def can_ask(self) -> bool:
        """Whether there is a person to ask: a terminal on both ends, and no script that reads JSON."""
        return not self.json and sys.stdin.isatty() and sys.stderr.isatty()


def grid(rows: Sequence[Row], columns: Sequence[Column], *, title: str | None = None) -> Table:
    """A calm table: a rule under the titles, no frame."""
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, title=title, title_justify="left", title_style="bold", pad_edge=False)
    for column in columns:
        table.add_column(
            column.title,
            justify=column.justify,
            style=column.style,
            header_style="dim",
            no_wrap=not column.wrap,
            overflow="fold" if column.wrap else "ellipsis",
        )
    for row in rows:
        table.add_row(*(column.show(row[column.key]) for column in columns))
    return table


def pairs(values: Mapping[str, object]) -> Table:
    """Names and values, one pair a line."""
    from rich.table import Table

    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in values.items():
        table.add_row(name, str(value))
    return table


def show_version(text: str) -> None:
    """The answer to --version."""
    _write(text)


def show_error(message: str, notes: Sequence[str] = ()) -> None:
    """One clear message on stderr, its first line in red, and below it what may help."""
    from rich.text import Text

    first, _, rest = with_options(message).partition("\n")
    _say(Text(f"error: {first}", style="bold red"))
    for line in (rest, *map(with_options, notes)):
        if line:
            _say(line)


def flushed(code: int) -> int:
    """Send what stdout still holds; a reader that has gone away (`dv list | head -1`) is no error of ours."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return ExitCode.FAILED
    return code


def _say(text: str | Text) -> None:
    """Words on stderr. Only a terminal breaks their lines: in a log, a path or a command stays whole."""
    screen = console(stderr=True)
    screen.print(text, soft_wrap=not screen.is_terminal)


def _as_json(data: object) -> str:
    text = json.dumps(data, indent=2, ensure_ascii=False)
    try:
        text.encode()
    except UnicodeEncodeError:  # a path whose bytes aren't text
        text = json.dumps(data, indent=2)
    return text


def _write(text: str) -> None:
    # Not through rich: a path is never wrapped, and its bytes leave as the file system has them.
    try:
        text.encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:
        sys.stdout.flush()
        sys.stdout.buffer.write(os.fsencode(text) + b"\n")
        sys.stdout.buffer.flush()
    else:
        print(text)
