"""What the demo shows: an individual that the embedded base never saw, a motion as new to it, and how well it went."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from engine.world.individuals import Individual

_STREAM = 5
CLIPS = 3


@dataclass(frozen=True)
class Demonstration:
    """What a seed stands for. `one` is held out from pretraining, `others` show the motion; `seed` is the video's."""

    one: Individual
    others: tuple[Individual, ...]
    motion: str
    doing: str
    place: str
    scene: str
    seed: int

    @property
    def class_word(self) -> str:
        return self.one.class_word

    @property
    def bare_prompt(self) -> str:
        """The same in words alone: the class and a colour word are all that they can say of an individual."""
        from engine.world.individuals import colour_word
        from engine.world.wording import sentence

        return sentence(f"{colour_word(self.one)} {self.class_word}", self.doing, self.place)

    @property
    def prompt(self) -> str:
        return f"a * {self.doing} {self.place}"


@dataclass(frozen=True)
class DemoBase:
    """The base of a demo: the frames of its clips, and the options that name it where it isn't the default."""

    frames: int
    options: tuple[str, ...] = ()


def base_of_world(named: str) -> DemoBase:
    """The base that a demo runs on, by name, folder or hub id.

    Raises `BaseError` for one that isn't there, and where its clips are not of the world's size.
    """
    from dreamvideo_cli.jobs.bases import named_base
    from engine.bases.location import EMBEDDED, inspect_base
    from engine.errors import BaseError
    from engine.planning import recommended_composing
    from engine.world.pictures import SIZE
    from registry import Registry

    location = EMBEDDED
    if named != EMBEDDED.name:
        with Registry.open() as registry:
            location = named_base(registry, named)
    composing = recommended_composing(inspect_base(location))
    if composing.size != (SIZE, SIZE):
        raise BaseError(
            f"the demo is of a drawn world of {SIZE} x {SIZE} pixels, which the base {named} doesn't know: take "
            "embedded, or a base that engine.pretraining made"
        )
    return DemoBase(composing.frames, () if location is EMBEDDED else ("--base", location.model))


def drawn(seed: int) -> Demonstration:
    """Another individual, motion and scene for every seed; who shows the motion is of other classes."""
    import numpy as np

    from engine.world import backgrounds, motions
    from engine.world.individuals import CLASSES, individual

    generator = np.random.default_rng([seed, _STREAM])
    word, *others = generator.choice(CLASSES, 1 + CLIPS, replace=False).tolist()
    motion = motions.HELD_OUT[str(generator.choice(list(motions.HELD_OUT)))]
    scene = str(generator.choice(list(backgrounds.PHRASES)))
    return Demonstration(
        one=individual(word, seed),
        others=tuple(individual(other, seed + 1) for other in others),
        motion=motion.name,
        doing=motion.phrase,
        place=backgrounds.PHRASES[scene],
        scene=scene,
        seed=seed,
    )


@dataclass(frozen=True)
class DemoFiles:
    """What the demo leaves in its folder."""

    photographs: Path
    clips: Path
    bare: Path
    result: Path
    sheet: Path
    moving: Path


def files_in(folder: Path, shown: Demonstration) -> DemoFiles:
    """Where everything goes."""
    return DemoFiles(
        photographs=folder / "photographs",
        clips=folder / "clips",
        bare=folder / "bare-base.mp4",
        result=folder / f"{shown.class_word}-{shown.motion}.mp4",
        sheet=folder / "contact-sheet.png",
        moving=folder / "side-by-side.webp",
    )


def write_material(shown: Demonstration, files: DemoFiles, frames: int) -> None:
    """Write what a person would bring: five photographs, three clips of so many frames."""
    import shutil

    from engine.world.material import write_clips, write_photographs

    for folder in (files.photographs, files.clips):
        shutil.rmtree(folder, ignore_errors=True)  # of another seed
    write_photographs(shown.one, files.photographs, seed=shown.seed)
    write_clips(shown.motion, shown.others, files.clips, seed=shown.seed, frames=frames)


def write_sheets(shown: Demonstration, files: DemoFiles) -> None:
    """Write photographs, clips, the bare base's video and the result side by side: every frame, and moving."""
    import numpy as np

    from engine.data.clips import probe_clip, read_clip
    from engine.data.finding import find_images
    from engine.data.images import read_image
    from engine.media.metadata import read_metadata
    from engine.media.sheets import SheetRow, contact_sheet, write_sheet
    from engine.media.video import write_video
    from engine.world.material import FPS

    photographs = [read_image(p) for p in find_images([files.photographs]).used]
    clips = [list(read_clip(probe_clip(path))) for path in sorted(files.clips.glob("*.mp4"))]
    bare, result = (list(read_clip(probe_clip(path))) for path in (files.bare, files.result))
    made_by = read_metadata(files.result)
    rows: list[SheetRow] = [("learnt subject: its photographs", photographs)]
    rows += [(f"learnt motion: clip {i}", frames) for i, frames in enumerate(clips, 1)]
    rows += [(f'bare base: "{shown.bare_prompt}"', bare), (f'result: "{shown.prompt}"', result)]
    write_sheet(contact_sheet(rows), files.sheet, made_by)
    moments = [
        contact_sheet([
            (f"photographs of one {shown.class_word}", photographs),
            (f"clips of others {shown.doing}", [frames[at] for frames in clips]),
            (f'words alone | with what was learnt: "{shown.prompt}"', [bare[at], result[at]]),
        ])
        for at in range(len(result))
    ]  # fmt: skip
    write_video(np.stack([np.asarray(moment) for moment in moments]), files.moving, FPS, made_by)


def measured(shown: Demonstration, files: DemoFiles) -> list[dict[str, Any]]:
    """Both videos, and a rendering of what was asked for, by pixels: the individual among its siblings, its colours,
    its way through the frames."""
    import torch

    from engine.data.clips import probe_clip, read_clip
    from engine.evaluation.identification import identify
    from engine.evaluation.metrics import trajectory_correlation
    from engine.world import motions, pictures

    bare, result = (read_clip(probe_clip(path)) for path in (files.bare, files.result))
    real = pictures.clip(shown.one, shown.motion, shown.seed, scene=shown.scene, frames=len(result)).frames
    path = motions.path_of(shown.motion, len(result))
    wanted = torch.stack([path.x, path.y], dim=1)
    values = []
    for frames in (bare, result, real):
        found = identify(torch.as_tensor(frames).permute(0, 3, 1, 2).float() / 255, shown.one)
        values.append((found.rank, found.colour, trajectory_correlation(found.centres, wanted)))
    names = {
        "rank": "the individual's place among 64 of its class, by pixels: 1 is best",
        "colour": "colours shared with the individual: 0 to 1",
        "motion": "correlation of its way through the frames with the motion: -1 to 1",
    }
    return [
        {"metric": name, "bare": bare, "result": result, "rendering": real, "meaning": meaning}
        for (name, meaning), bare, result, real in zip(names.items(), *values, strict=True)
    ]
