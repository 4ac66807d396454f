"""Contact sheets: labelled rows of frames in one picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from engine.errors import InputError
from engine.media.metadata import for_png
from engine.media.writing import check_target, written

_BACKGROUND = (250, 250, 248)
_TEXT_COLOUR = (40, 40, 44)
_MARGIN = 12
_GAP = 4
_LABEL_SIZE = 15
_LABEL_HEIGHT = 24
_ROW_GAP = 10

Font = ImageFont.ImageFont | ImageFont.FreeTypeFont
SheetRow = tuple[str, Sequence[npt.NDArray[np.uint8]]]


def contact_sheet(rows: Sequence[SheetRow], *, cell: int = 128, columns: int = 8) -> Image.Image:
    """Rows of frames (H, W, 3) uint8, each under its label.

    Of a row longer than `columns` evenly spread frames are shown, the first and the last among them. A
    frame stands in a square of `cell` pixels, at its own aspect: larger ones are reduced to it, smaller
    ones enlarged by a whole factor, so that their pixels stay crisp. A label too long for the sheet ends
    in an ellipsis.
    """
    picked = [(label, [frames[at] for at in _spread(len(frames), columns)]) for label, frames in rows]
    across = max((len(frames) for _, frames in picked), default=0)
    inner = max(across * (cell + _GAP) - _GAP, cell)
    cells = [[_in_cell(frame, cell) for frame in frames] for _, frames in picked]
    heights = [max((frame.height for frame in row), default=0) for row in cells]
    height = sum(_LABEL_HEIGHT + row for row in heights) + _ROW_GAP * max(0, len(rows) - 1) + 2 * _MARGIN
    sheet = Image.new("RGB", (inner + 2 * _MARGIN, height), _BACKGROUND)
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(size=_LABEL_SIZE)
    top = _MARGIN
    for (label, _), row, row_height in zip(picked, cells, heights, strict=True):
        draw.text((_MARGIN, top), _shortened(label, font, inner), fill=_TEXT_COLOUR, font=font)
        top += _LABEL_HEIGHT
        for column, frame in enumerate(row):
            left = _MARGIN + column * (cell + _GAP) + (cell - frame.width) // 2
            sheet.paste(frame, (left, top + (row_height - frame.height) // 2))
        top += row_height + _ROW_GAP
    return sheet


def write_sheet(sheet: Image.Image, path: Path, metadata: Mapping[str, Any], *, replace: bool = True) -> None:
    """Write a contact sheet as PNG, with `metadata` in it for `read_metadata`.

    Without `replace`, a file that is there stays. Raises InputError for a path that is no PNG in a folder that exists,
    FileThereError for that file, JobError when the disk refuses.
    """
    check_target(path)
    if path.suffix.lower() != ".png":
        raise InputError(f"{path} can't be written: a contact sheet is a .png file.")
    with written(path, replace=replace) as partial:
        sheet.save(partial, "PNG", pnginfo=for_png(metadata))


def _spread(available: int, columns: int) -> list[int]:
    """At most `columns` evenly spread indices."""
    shown = min(available, columns)
    return [int(at) for at in np.linspace(0, available - 1, shown).round()]


def _in_cell(pixels: npt.NDArray[np.uint8], cell: int) -> Image.Image:
    frame = Image.fromarray(pixels)
    longer = max(frame.size)
    if longer <= cell:
        factor = cell // longer
        return frame.resize((frame.width * factor, frame.height * factor), Image.Resampling.NEAREST)
    size = (max(1, round(frame.width * cell / longer)), max(1, round(frame.height * cell / longer)))
    return frame.resize(size, Image.Resampling.LANCZOS)


def _shortened(label: str, font: Font, width: int) -> str:
    line = " ".join(label.split())
    if font.getlength(line) <= width:
        return line
    while line and font.getlength(line + "\u2026") > width:
        line = line[:-1]
    return line.rstrip() + "\u2026"
