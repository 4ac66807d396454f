"""`dv demo`: the whole job on packaged material, each step with the command that does it."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from dreamvideo_cli.jobs.folders import make_folder
from dreamvideo_cli.terminal.exit_codes import ExitCode
from dreamvideo_cli.terminal.options import JsonOption, QuietOption
from dreamvideo_cli.terminal.output import Column, Out

MATERIAL = Path(__file__).parents[1] / "material"
SUBJECT, CLASS_WORD, MOTION, DOING, PLACE = "fox", "dog", "zigzag", "zigzagging", "on the beach"
SEED = 3


@dataclass(frozen=True)
class Files:
    """What the demo leaves in its folder."""

    bare: Path
    result: Path
    sheet: Path


def demo(
    folder: Annotated[
        Path, typer.Option("--folder", help="Where the demo's registry and videos go.", file_okay=False)
    ] = Path("dv-demo"),
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Learn a fox and a zigzag on the embedded base, and let the fox zigzag: minutes on two cores.

    It has a registry of its own in its folder; yours stays as it is. Example: dv demo
    """
    out = Out(json=json, quiet=quiet)
    make_folder(folder)
    files = Files(folder / "bare-base.mp4", folder / f"{SUBJECT}-{MOTION}.mp4", folder / "contact-sheet.png")
    pictures, clips = MATERIAL / SUBJECT, MATERIAL / MOTION
    steps: list[tuple[str, list[str]]] = [
        (
            f"Four pictures of a {SUBJECT}, which the base has never seen, become a subject.",
            ["subject", "learn", SUBJECT, str(pictures), "--class", CLASS_WORD, "--restart"],
        ),
        (
            f"Three clips of other things {DOING}, unseen as well, become a motion.",
            ["motion", "learn", MOTION, *(str(p) for p in sorted(clips.glob("*.mp4"))), "--restart"],
        ),
        (
            f"For comparison, the bare base, which only knows the words: a {CLASS_WORD} {DOING}.",
            ["compose", f"a {CLASS_WORD} {DOING} {PLACE}", "--seed", str(SEED), "-o", str(files.bare), "--force"],
        ),
        (
            f"Subject and motion meet: the {SUBJECT} {DOING}.",
            ["compose", f"a * {DOING} {PLACE}", "--subject", SUBJECT, "--motion", MOTION, "--seed", str(SEED),
             "-o", str(files.result), "--force"],
        ),
    ]  # fmt: skip
    for number, (text, command) in enumerate(steps, start=1):
        out.note(f"\n{number}. {text}\n   $ dv {shlex.join(command)}")
        _run_dv([*command, "--quiet"] if quiet else command, folder)
    _write_sheet(files, pictures, clips)
    figures = _figures(files, pictures)
    if not quiet:
        out.note(f"\nFigures against the {len(list(pictures.glob('*.png')))} pictures (1 is equal):")
        Out().table(figures, _COLUMNS, id_key="metric", empty="") if not json else None
    out.note(f"\nThe video: {files.result}\nReferences, bare base and result side by side: {files.sheet}")
    out.result(
        f"{files.result}\n{files.sheet}",
        {
            "video": str(files.result),
            "contact_sheet": str(files.sheet),
            "bare_base": str(files.bare),
            "figures": figures,
        },
    )


_COLUMNS = [
    Column("metric", "metric"),
    Column("before", "bare base", show=lambda value: f"{value:.3f}", justify="right"),
    Column("after", "result", show=lambda value: f"{value:.3f}", justify="right"),
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


def _write_sheet(files: Files, pictures: Path, clips: Path) -> None:
    from engine.data.clips import probe_clip, read_clip
    from engine.data.finding import find_images
    from engine.data.images import read_image
    from engine.media.metadata import read_metadata
    from engine.media.sheets import contact_sheet, write_sheet

    moving = sorted(clips.glob("*.mp4"))
    rows = [(f"learnt subject: {SUBJECT}", [read_image(path) for path in find_images([pictures]).used])]
    rows += [(f"learnt motion: {path.stem}", list(read_clip(probe_clip(path)))) for path in moving[:2]]
    rows += [
        (f'bare base: "a {CLASS_WORD} {DOING} {PLACE}"', list(read_clip(probe_clip(files.bare)))),
        (f'result: "a * {DOING} {PLACE}"', list(read_clip(probe_clip(files.result)))),
    ]
    write_sheet(contact_sheet(rows), files.sheet, read_metadata(files.result))


def _figures(files: Files, pictures: Path) -> list[dict[str, Any]]:
    """The paper's metrics of both videos, by the embedded base's own judges."""
    from engine.bases.location import EMBEDDED, inspect_base
    from engine.data.clips import probe_clip, read_clip
    from engine.data.finding import find_images
    from engine.data.images import read_image
    from engine.evaluation.judges import judges_of
    from engine.evaluation.metrics import clip_i, clip_t, dino_i, temporal_consistency

    judges = judges_of(inspect_base(EMBEDDED))
    references = [read_image(path) for path in find_images([pictures]).used]
    wanted_clip, wanted_dino = judges.images("clip", references), judges.images("dino", references)
    # The learnt token is written as its class word: the judge does not know it.
    text = judges.texts("clip", [f"a {CLASS_WORD} {DOING} {PLACE}"])[0]
    scores = []
    for path in (files.bare, files.result):
        frames = list(read_clip(probe_clip(path)))
        seen = judges.images("clip", frames)
        scores.append(
            (
                clip_i(seen, wanted_clip),
                dino_i(judges.images("dino", frames), wanted_dino),
                clip_t(seen, text),
                temporal_consistency(seen),
            )
        )
    meanings = {
        "CLIP-I": "like the pictures",
        "DINO-I": "like the pictures, in detail",
        "CLIP-T": "like the words",
        "consistency": "frame to frame",
    }
    return [
        {"metric": name, "before": before, "after": after, "meaning": meaning}
        for (name, meaning), before, after in zip(meanings.items(), *scores, strict=True)
    ]
