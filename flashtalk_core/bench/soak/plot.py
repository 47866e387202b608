"""Curves over time, drawn without a plotting library."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from PIL import Image, ImageDraw

from ...files.whole_file import replacing

_SIZE_PX = (720, 180)
_MARGIN_PX = (56, 18)
_COLOURS = ("#1f5fa8", "#b3541e", "#3d7a3a", "#7a3d74")


def draw_curves(path: Path, x: Sequence[float], curves: Mapping[str, Sequence[float]]) -> None:
    """Draw one panel for each curve below the other, all over the same axis.

    Args:
        path: PNG to write.
        x: Where the points are, in the words of the axis: minutes of video, for example.
        curves: By title.

    Raises:
        OSError: If the file cannot be written.
    """
    width, height = _SIZE_PX
    image = Image.new("RGB", (width, height * len(curves)), "white")
    draw = ImageDraw.Draw(image)
    for index, (title, values) in enumerate(curves.items()):
        _draw_panel(draw, index * height, title, x, values, _COLOURS[index % len(_COLOURS)])
    with replacing(path) as aside:
        image.save(aside, format="PNG", optimize=True)


def _draw_panel(
    draw: ImageDraw.ImageDraw,
    top: int,
    title: str,
    x: Sequence[float],
    values: Sequence[float],
    colour: str,
) -> None:
    width, height = _SIZE_PX
    left, gap = _MARGIN_PX
    box = (left, top + gap, width - gap, top + height - gap)
    low, high = min(values), max(values)
    spread = high - low or 1.0
    first, length = x[0], (x[-1] - x[0]) or 1.0
    points = [
        (
            box[0] + (at - first) / length * (box[2] - box[0]),
            box[3] - (value - low) / spread * (box[3] - box[1]),
        )
        for at, value in zip(x, values, strict=True)
    ]
    draw.rectangle(box, outline="#cccccc")
    draw.line(points, fill=colour, width=1)
    draw.text((box[0], top + 3), title, fill="black")
    for value, y in ((high, box[1]), (low, box[3] - 11)):
        draw.text((4, y), f"{value:.4g}", fill="#555555")
    for at, place in ((first, box[0]), (x[-1], box[2] - 30)):
        draw.text((place, box[3] + 3), f"{at:.4g}", fill="#555555")
