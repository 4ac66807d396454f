"""A run's losses as a picture: grey dots are steps, the dark line their running mean, the coloured one the held-out
loss. Drawn by Pillow, which is always there; equal curves have equal bytes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean

from PIL import Image, ImageDraw, ImageFont

from engine.curves import PartCurve
from engine.files import written_aside

_WIDTH, _HEIGHT, _MARGIN, _LEFT = 520, 260, 34, 64
_BACKGROUND, _INK, _DOTS, _MEAN, _HELD_OUT = "#fafaf8", "#28282c", "#c4c4c0", "#606068", "#c0392b"
_WINDOW = 25
"""Steps of the running mean, or a tenth of the part."""

Points = Sequence[tuple[float, float]]


def draw_curves(parts: Mapping[str, PartCurve], file: Path) -> None:
    """Write a PNG with a panel for each part that made a step; nothing where none did."""
    drawn = {name: curve for name, curve in parts.items() if curve.losses}
    if not drawn:
        return
    picture = Image.new("RGB", (_WIDTH * len(drawn), _HEIGHT), _BACKGROUND)
    for number, (name, curve) in enumerate(drawn.items()):
        _panel(ImageDraw.Draw(picture), _WIDTH * number, name, curve)
    with written_aside(file) as partial:
        picture.save(partial, "PNG")


def _panel(draw: ImageDraw.ImageDraw, left: int, name: str, curve: PartCurve) -> None:
    steps = sorted(curve.losses.items())
    means = running_mean([loss for _, loss in steps], max(1, min(_WINDOW, len(steps) // 10)))
    smooth = [(step, mean) for (step, _), mean in zip(steps, means, strict=True)]
    held_out = sorted(curve.held_out.items())
    # A few steps at high levels of noise would press all else to the bottom.
    shown = sorted(loss for _, loss in steps)[: max(1, round(0.98 * len(steps)))]
    top = max([shown[-1], *(mean for _, mean in smooth), *(loss for _, loss in held_out)]) * 1.05 or 1.0
    last = max([step for step, _ in steps] + [step for step, _ in held_out])

    def placed(points: Points) -> list[tuple[float, float]]:
        across, down = _WIDTH - _LEFT - _MARGIN, _HEIGHT - 2 * _MARGIN
        return [
            (left + _LEFT + across * step / last, _MARGIN + down * (1 - min(value, top) / top))
            for step, value in points
        ]

    font = ImageFont.load_default(size=12)
    for x, y in placed(steps):
        draw.point([(x, y), (x + 1, y), (x, y + 1)], fill=_DOTS)
    draw.line(placed(smooth), fill=_MEAN, width=2)
    if held_out:
        draw.line(placed(held_out), fill=_HELD_OUT, width=2)
        for x, y in placed(held_out):
            draw.ellipse((x - 2, y - 2, x + 2, y + 2), fill=_HELD_OUT)
    (corner,), (end,) = placed([(0, 0)]), placed([(last, 0)])
    draw.line([placed([(0, top)])[0], corner, end], fill=_INK)
    draw.text((left + _LEFT, 8), f"{name}: loss, held-out loss in red", fill=_INK, font=font)
    draw.text((left + 8, _MARGIN - 6), f"{top:.3g}", fill=_INK, font=font)
    draw.text((left + 8, corner[1] - 8), "0", fill=_INK, font=font)
    draw.text((end[0] - 60, end[1] + 6), f"step {last:,}", fill=_INK, font=font)


def running_mean(values: Sequence[float], window: int) -> list[float]:
    """The mean of each value and up to `window` - 1 before it."""
    return [fmean(values[max(0, end - window) : end]) for end in range(1, len(values) + 1)]
