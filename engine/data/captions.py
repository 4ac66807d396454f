"""Captions: text files beside photographs and clips."""

from __future__ import annotations

from pathlib import Path

from engine.data.files import CAPTION_SUFFIX
from engine.errors import InputError


def caption_path(path: Path) -> Path:
    """Where the caption of a picture, a clip or a folder of frames lies: beside it, the same name, `.txt`.

    The suffix may be written in capitals, as Windows does.
    """
    stem = path.resolve().name if path.is_dir() else path.stem
    spellings = [path.with_name(f"{stem}{suffix}") for suffix in (CAPTION_SUFFIX, ".TXT", ".Txt")]
    return next((spelling for spelling in spellings if spelling.is_file()), spellings[0])


def caption_beside(path: Path) -> str | None:
    """The caption in the text file beside a picture or a clip, or None when there is none.

    Raises InputError when the file is empty or not UTF-8.
    """
    beside = caption_path(path)
    if not beside.is_file():
        return None
    try:
        caption = beside.read_text(encoding="utf-8-sig").strip()
    except UnicodeDecodeError as error:
        raise InputError(f"The caption {beside} is not UTF-8 text. Save it as UTF-8.") from error
    except OSError as error:
        raise InputError(f"The caption {beside} can't be read: {error.strerror}.") from error
    if not caption:
        raise InputError(f"The caption {beside} is empty. Write the prompt of {path.name} into it, or remove it.")
    return caption
