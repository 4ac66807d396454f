"""`dv verify`: whether all is as it was."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dreamvideo_cli.terminal.completion import adapter_names
from dreamvideo_cli.terminal.exit_codes import ExitCode
from dreamvideo_cli.terminal.options import JsonOption, QuietOption
from dreamvideo_cli.terminal.output import Column, Out
from dreamvideo_cli.wording import count_text
from engine.errors import InputError

if TYPE_CHECKING:
    from registry import Registry
    from registry.checking import Finding


_FINDINGS = (
    Column("adapter", "Adapter", style="bold"),
    Column("state", "State"),
    Column("source", "Source", lambda source: "" if source is None else str(source), wrap=True),
    Column("detail", "Detail", wrap=True),
)


def verify(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="NAMES", help="Adapters, as NAME (all versions) or NAME@N.", autocompletion=adapter_names(),
            show_default="all",
        ),
    ] = None,
    sources: Annotated[bool, typer.Option("--sources/--no-sources", help="Look at what was learnt from too.")] = True,
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:  # fmt: skip
    """Hash adapters and their sources again. Exits with 1 if an adapter is damaged or a source was changed.

    A source that was moved or deleted is told, and is no error. Example: dv verify chowchow
    """
    from registry import Registry

    out = Out(json=json, quiet=quiet)
    with Registry.open() as registry:
        adapters = [a for name in names for a in _meant(registry, name)] if names else registry.adapters()
        findings = list(registry.check(adapters, _hash_of if sources else None))
    rows = [_finding_data(finding) for finding in findings]
    told = [row for row in rows if json or row["state"] != "ok"]
    empty = (
        f"All is as it was: {count_text(len(adapters), 'adapter')}, {count_text(len(rows) - len(adapters), 'source')}."
    )
    out.table(told, _FINDINGS, id_key="adapter", empty=empty)
    if any(finding.is_mismatch for finding in findings):
        raise typer.Exit(ExitCode.FAILED)


def _meant(registry: Registry, name: str) -> list[Any]:
    found = registry.find(name)
    return [found] if "@" in name else registry.adapters(name=found.name)


def _hash_of(path: Path) -> str:
    """As plans hash sources, so that folders of frames can be compared too."""
    from engine.data.files import sha256_of

    try:
        return sha256_of(path)
    except InputError as error:
        raise ValueError(str(error)) from error


def _finding_data(finding: Finding) -> dict[str, object]:
    source = finding.source.path if finding.source is not None else None
    return {"adapter": finding.adapter.id, "source": source, "state": finding.state, "detail": finding.detail}
