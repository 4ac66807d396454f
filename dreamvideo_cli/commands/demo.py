"""`dv demo`: the whole job on material of the embedded base's world, each step with the command that does it."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from dreamvideo_cli.jobs.demonstration import (
    DemoFiles,
    Demonstration,
    base_of_world,
    drawn,
    files_in,
    measured,
    write_material,
    write_sheets,
)
from dreamvideo_cli.jobs.folders import make_folder
from dreamvideo_cli.terminal.completion import base_names
from dreamvideo_cli.terminal.exit_codes import ExitCode
from dreamvideo_cli.terminal.options import JsonOption, QuietOption
from dreamvideo_cli.terminal.output import Column, Out

SEED = 0


def demo(
    folder: Annotated[
        Path, typer.Option("--folder", help="Where the demo's registry and videos go.", file_okay=False)
    ] = Path("dv-demo"),
    seed: Annotated[
        int, typer.Option("--seed", min=0, max=2**31 - 1, help="Another individual, motion and place for every number.")
    ] = SEED,
    base: Annotated[
        str,
        typer.Option(
            "--base",
            metavar="BASE",
            help="Another base of the same world: an added one's name, or the folder that engine.pretraining wrote.",
            autocompletion=base_names,
        ),
    ] = "embedded",
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Learn an individual and a motion that the embedded base never saw, and put them together: some minutes.

    It has a registry of its own in its folder; yours stays as it is. Example: dv demo --seed 7
    """
    out = Out(json=json, quiet=quiet)
    chosen = base_of_world(base)
    make_folder(folder)
    shown = drawn(seed)
    files = files_in(folder, shown)
    write_material(shown, files, chosen.frames)
    for number, (text, command) in enumerate(_steps(shown, files, chosen.options), start=1):
        out.note(f"\n{number}. {text}\n   $ dv {shlex.join(command)}")
        _run_dv([*command, "--quiet"] if quiet else command, folder)
    write_sheets(shown, files)
    figures = measured(shown, files)
    if not quiet:
        out.note("\nHow it went, beside the bare base and a rendering of what was asked for:")
        Out().table(figures, _COLUMNS, id_key="metric", empty="") if not json else None
    out.note(f"\nThe video: {files.result}\nAll side by side: {files.sheet}, and moving: {files.moving}")
    out.result(
        f"{files.result}\n{files.sheet}",
        {
            "video": str(files.result),
            "contact_sheet": str(files.sheet),
            "moving": str(files.moving),
            "bare_base": str(files.bare),
            "class": shown.class_word,
            "motion": shown.motion,
            "prompt": shown.prompt,
            "figures": figures,
        },
    )


def _steps(shown: Demonstration, files: DemoFiles, base: Sequence[str]) -> list[tuple[str, list[str]]]:
    """What is said of each step, and its command; `base` are the options that name one."""
    subject, motion, seed = f"my-{shown.class_word}", shown.motion, str(shown.seed)
    return [
        (
            f"Five photographs of a {shown.class_word} that the base has never seen become a subject.",
            ["subject", "learn", subject, str(files.photographs), "--class", shown.class_word, "--restart",
             *base],
        ),
        (
            f"Three clips of others {shown.doing}, unseen as well, become a motion.",
            ["motion", "learn", motion, *(str(p) for p in sorted(files.clips.glob("*.mp4"))), "--restart", *base],
        ),
        (
            "For comparison, the bare base, which has the words only.",
            ["compose", shown.bare_prompt, "--seed", seed, "-o", str(files.bare), "--force", *base],
        ),
        (
            f"Subject and motion meet: this {shown.class_word}, {shown.doing}.",
            ["compose", shown.prompt, "--subject", subject, "--motion", motion, "--seed", seed,
             "-o", str(files.result), "--force", *base],
        ),
    ]  # fmt: skip


def _show(value: object) -> str:
    return f"{value:.2f}" if isinstance(value, float) else str(value)


_COLUMNS = [
    Column("metric", "measured"),
    Column("bare", "bare base", show=_show, justify="right"),
    Column("result", "result", show=_show, justify="right"),
    Column("rendering", "rendering", show=_show, justify="right"),
    Column("meaning", "what it says"),
]


def _run_dv(command: list[str], folder: Path) -> None:
    """Run one command of ours exactly as shown, on the demo's registry; its failure is the demo's."""
    environment = {**os.environ, "DV_HOME": str((folder / "home").absolute())}
    done = subprocess.run(
        [sys.executable, "-m", "dreamvideo_cli", *command], env=environment, stdout=subprocess.DEVNULL, check=False
    )
    if done.returncode:
        raise typer.Exit(ExitCode.INTERRUPTED if done.returncode == ExitCode.INTERRUPTED else ExitCode.FAILED)
