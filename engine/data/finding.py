"""What the files and folders that a person names stand for: photographs, their masks, clips; and what is left over."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from engine.data.captions import caption_path
from engine.data.clips import holds_video
from engine.data.files import Found, Unused, files_in, folders_in, kind_of, pictures_in
from engine.errors import InputError
from engine.media.pictures import PICTURE_KINDS

_MASKS = "masks"
_NO_PICTURE = {
    "video": "is a video, not a photograph,",
    "caption": "belongs to no picture",
    "other": f"is not {PICTURE_KINDS}",
}
_NO_CLIP = {"caption": "belongs to no clip", "other": "is not a video"}


def find_images(paths: Sequence[Path], masks: Path | None = None) -> Found:
    """The photographs that files and folders stand for; of a folder those directly inside, in natural order.

    What a file is, its contents tell. A file that is named twice counts once. Masks never count as photographs:
    neither those in `masks`, nor a folder `masks` beside the photographs. Raises InputError for a path that does
    not exist, and where there is no photograph at all.
    """
    found: dict[Path, Path] = {}
    unused: list[Unused] = []
    for path in paths:
        if not path.exists():
            raise InputError(f"There is no file or folder {path}. Check the name.")
        images, others = _images_in(path, masks) if path.is_dir() else _image_at(path, masks)
        unused += others
        for image in images:
            found.setdefault(image.resolve(), image)
    if not found:
        raise _no_images(paths, unused)
    return Found(tuple(found.values()), _without_captions(unused, list(found.values())))


def _images_in(folder: Path, masks: Path | None) -> tuple[list[Path], list[Unused]]:
    if _is_mask_folder(folder, masks):
        return [], [Unused(folder, "holds masks, not photographs,")]
    images, unused = [], []
    for path in files_in(folder):
        image, others = _image_at(path, masks)
        images += image
        unused += others
    if not images:
        unused.append(Unused(folder, f"holds no {PICTURE_KINDS} file (its sub-folders are not searched)"))
    unused += [
        Unused(inner, "is a folder inside a folder")
        for inner in folders_in(folder)
        if not _is_mask_folder(inner, masks) and any(_is_picture(path) for path in files_in(inner))
    ]
    return images, unused


def _image_at(path: Path, masks: Path | None) -> tuple[list[Path], list[Unused]]:
    if _is_mask(path, masks):
        return [], [Unused(path, "is a mask, not a photograph,")]
    return ([path], []) if _is_picture(path) else ([], [Unused(path, _NO_PICTURE[kind_of(path)])])


def _is_picture(path: Path) -> bool:
    return kind_of(path) in ("picture", "animation")


def _is_mask_folder(folder: Path, masks: Path | None) -> bool:
    """Whether a folder is the one of the masks: by name where it is told, else `masks` with a picture's mask in it."""
    if masks is not None and folder.resolve() == masks.resolve():
        return True
    return folder.resolve().name.casefold() == _MASKS and any(_is_mask(path, masks) for path in files_in(folder))


def _is_mask(path: Path, masks: Path | None) -> bool:
    """Whether a file is the mask of a picture: in the folder told, or in `masks` with a picture of its stem above."""
    folder = path.resolve().parent
    if masks is not None and folder == masks.resolve():
        return True
    return folder.name.casefold() == _MASKS and any(
        above.stem == path.stem and _is_picture(above) for above in files_in(folder.parent)
    )


def _no_images(paths: Sequence[Path], unused: Sequence[Unused]) -> InputError:
    if not paths:
        return InputError(f"No images were given. Name {PICTURE_KINDS} files, or a folder of them.")
    reasons = "; ".join(f"{entry.path} {entry.reason}".rstrip(",") for entry in unused[-3:])
    return InputError(f"There is no image in what was given: {reasons}. Name {PICTURE_KINDS} files.")


def find_masks(images: Sequence[Path], masks: Path | None) -> Found:
    """The mask of each image, in the images' order, by the same stem: in `masks`, else in a folder `masks` beside it.

    Without either folder none are used. Raises InputError when some images have a mask and others none (a
    half-masked set is a mistake), when two masks share a stem, or when `masks` is not a folder.
    """
    if masks is not None and not masks.is_dir():
        raise InputError(f"There is no folder of masks {masks}. Check the name.")
    folders = {image: masks or image.parent / _MASKS for image in images}
    if not any(folder.is_dir() for folder in folders.values()):
        return Found(())
    by_stem = {folder: _masks_in(folder) for folder in dict.fromkeys(folders.values())}
    missing = [image for image in images if image.stem not in by_stem[folders[image]]]
    if missing:
        names = ", ".join(str(image) for image in missing)
        raise InputError(
            f"No mask for {names} in {folders[missing[0]]}. Give every image a mask with the same stem "
            "(dog.jpg, dog.png), or take the folder of masks away."
        )
    used = tuple(by_stem[folders[image]][image.stem] for image in images)
    left = [path for found in by_stem.values() for path in found.values() if path not in used]
    return Found(used, tuple(Unused(path, "masks none of the images") for path in left))


def _masks_in(folder: Path) -> dict[str, Path]:
    if not folder.is_dir():
        return {}
    found: dict[str, Path] = {}
    for path in pictures_in(folder):
        if path.stem in found:
            raise InputError(f"{found[path.stem]} and {path} are masks of the same image. Keep one of them.")
        found[path.stem] = path
    return found


def find_clips(paths: Sequence[Path]) -> Found:
    """The clips that files and folders stand for.

    A folder is either one clip (the pictures in it are its frames) or holds clips: videos and animations. What a
    file is, its contents tell. A clip that is named twice counts once. Raises InputError when nothing is there,
    when a folder holds both pictures and clips, and when ffmpeg can't decode a file.
    """
    found: dict[Path, Path] = {}
    unused: list[Unused] = []
    for path in paths:
        if not path.exists():
            raise InputError(f"There is no file or folder {path}. Check the name.")
        clips, others = _clips_in(path) if path.is_dir() else _clip_at(path)
        unused += others
        for clip in clips:
            found.setdefault(clip.resolve(), clip)
    if not found:
        raise _no_clips(unused)
    return Found(tuple(found.values()), _without_captions(unused, list(found.values())))


def _clips_in(folder: Path) -> tuple[list[Path], list[Unused]]:
    kinds = {path: kind_of(path) for path in files_in(folder)}
    pictures = [path for path, kind in kinds.items() if kind == "picture"]
    moving = [path for path, kind in kinds.items() if kind in ("video", "animation")]
    if pictures and moving:
        raise InputError(
            f"The folder {folder} holds pictures ({pictures[0].name}) and clips ({moving[0].name}), so it could be "
            "one clip or a set of clips. Name the clips, or move the pictures away."
        )
    unused = [Unused(path, _NO_CLIP[kind]) for path, kind in kinds.items() if kind in _NO_CLIP]
    unused += [
        Unused(inner, "is a folder inside a folder")
        for inner in folders_in(folder)
        if any(kind_of(path) in ("picture", "video", "animation") for path in files_in(inner))
    ]
    if pictures:
        return [folder], unused
    clips = []
    for path in moving:
        clip, others = _clip_at(path)
        clips += clip
        unused += others
    if not clips:
        unused.append(Unused(folder, f"holds neither videos nor {PICTURE_KINDS} frames"))
    return clips, unused


def _clip_at(path: Path) -> tuple[list[Path], list[Unused]]:
    kind = kind_of(path)
    # A GIF or WebP of one frame is a clip that is very short: dv makes such ones.
    if kind == "picture" and path.suffix.lower() not in (".gif", ".webp"):
        return [], [Unused(path, "is a single image, not a video or a folder of numbered frames,")]
    if kind == "caption":
        return [], [Unused(path, _NO_CLIP[kind])]
    try:
        return ([path], []) if holds_video(path) else ([], [Unused(path, "holds no video")])
    except InputError:
        if kind == "other":  # Nobody took it for a video: globs bring such files along.
            return [], [Unused(path, _NO_CLIP[kind])]
        raise


def _no_clips(unused: Sequence[Unused]) -> InputError:
    if not unused:
        return InputError("No clips were given. Name video files, or folders of numbered frames.")
    reasons = "; ".join(f"{entry.path} {entry.reason}".rstrip(",") for entry in unused[-3:])
    return InputError(f"There is no clip in what was given: {reasons}. Name videos, or folders of numbered frames.")


def _without_captions(unused: Sequence[Unused], used: Sequence[Path]) -> tuple[Unused, ...]:
    """What of `unused` is no caption of a used file; each path once."""
    captions = {caption_path(path).resolve() for path in used}
    left = {entry.path.resolve(): entry for entry in unused}
    return tuple(entry for path, entry in left.items() if path not in captions)
