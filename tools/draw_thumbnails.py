"""Draws the thumbnails of the template browser from what the workflows make.

Render template 3's speech first, then: ``python tools/draw_thumbnails.py VIDEO``, VIDEO being the
file.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import av
from PIL import Image, ImageDraw, ImageFilter, ImageOps

ROOT = Path(__file__).parents[1]
PORTRAIT = ROOT / "flashtalk_core" / "assets" / "example" / "portrait.png"
SIDE = 512
"""Pixels."""
HALF = SIDE // 2
SHIFT = 16
"""Pixels by which bands are drawn apart."""
PROMPTS_FROM_S = (0.0, 4.0, 9.5)
"""Where template 3 changes its prompt."""
RATE_HZ = 25
LEVELS = (0.3, 0.6, 0.9, 0.5, 0.8, 1.0, 0.7, 0.4, 0.65, 0.35, 0.2)
"""Of the bars of a sound, over the portrait."""
BLOCKS = ("#a78bfa", "#ef4444", "#facc15", "#60a5fa")
"""Of the connections of a MODEL, its patch, VAE and audio encoder."""


def main(video: Path) -> None:
    """Write all thumbnails."""
    frames = read_frames(video)
    drawings = Image.open(ROOT / "docs" / "media" / "tiny.png")
    images = {
        "1_first_talking_head": grid([frames[s * RATE_HZ // 10] for s in (4, 9, 13, 22)]),
        "2_production_14b": tall(PORTRAIT),
        "3_long_speech_prompts": strips([frames[int((s + 2) * RATE_HZ)] for s in PROMPTS_FROM_S]),
        "4_generate_then_animate": grid(sketch_and_frames(drawings)),
        "5_several_gpus": bands(PORTRAIT),
        "6_live_microphone": with_level(PORTRAIT, LEVELS),
        "7_live_speech": with_level(PORTRAIT, LEVELS[::-1], "#f59e0b"),
        "8_native_model": with_blocks(PORTRAIT, BLOCKS),
        "9_two_speakers": two_people(PORTRAIT),
        "2b_infinitetalk": with_level(PORTRAIT, LEVELS[3:] + LEVELS[:3], "#3b82f6"),
    }
    for name, image in images.items():
        image.save(ROOT / "workflows" / f"{name}.jpg", quality=82, optimize=True)


def read_frames(video: Path) -> list[Image.Image]:
    """Return all frames of a video."""
    with av.open(str(video)) as file:
        return [frame.to_image() for frame in file.decode(video=0)]


def with_level(portrait: Path, levels: Sequence[float], colour: str = "#22c55e") -> Image.Image:
    """Return a portrait with the bars of a sound below."""
    with Image.open(portrait) as image:
        whole = ImageOps.fit(image.convert("RGB"), (SIDE, SIDE))
    draw = ImageDraw.Draw(whole)
    step = SIDE // (len(levels) + 2)
    for index, level in enumerate(levels):
        left, half = step * (index + 1) + step // 4, level * SIDE / 10
        box = (left, SIDE * 0.85 - half, left + step // 2, SIDE * 0.85 + half)
        draw.rounded_rectangle(box, step // 4, fill=colour, outline="#111", width=2)
    return whole


def with_blocks(portrait: Path, colours: Sequence[str]) -> Image.Image:
    """Return a portrait into which connections of these colours lead."""
    with Image.open(portrait) as image:
        whole = ImageOps.fit(image.convert("RGB"), (SIDE, SIDE))
    draw = ImageDraw.Draw(whole)
    step = SIDE // (len(colours) + 1)
    for index, colour in enumerate(colours):
        level = step * (index + 1)
        draw.line((0, level, SIDE // 6, level), colour, width=SHIFT // 2)
        box = (SIDE // 6 - SHIFT, level - SHIFT, SIDE // 6 + SHIFT, level + SHIFT)
        draw.ellipse(box, fill=colour, outline="#111", width=3)
    return whole


def two_people(portrait: Path) -> Image.Image:
    """Return a portrait and its mirror image, each with the bars of a sound of their own."""
    one = with_level(portrait, LEVELS).crop((HALF // 2, 0, SIDE - HALF // 2, SIDE))
    other = with_level(portrait, LEVELS[::-1], "#f59e0b").crop(
        (HALF // 2, 0, SIDE - HALF // 2, SIDE)
    )
    whole = Image.new("RGB", (SIDE, SIDE))
    whole.paste(one, (0, 0))
    whole.paste(ImageOps.mirror(other), (HALF, 0))
    return whole


def grid(images: Sequence[Image.Image]) -> Image.Image:
    """Return four images as one."""
    whole = Image.new("RGB", (SIDE, SIDE))
    for index, image in enumerate(images):
        place = (index % 2 * HALF, index // 2 * HALF)
        whole.paste(image.resize((HALF, HALF), Image.Resampling.LANCZOS), place)
    return whole


def strips(images: Sequence[Image.Image]) -> Image.Image:
    """Return the middles of images, side by side."""
    whole = Image.new("RGB", (SIDE, SIDE))
    width = SIDE / len(images)
    for index, image in enumerate(images):
        left, right = round(index * width), round((index + 1) * width)
        whole.paste(ImageOps.fit(image, (right - left, SIDE), Image.Resampling.LANCZOS), (left, 0))
    return whole


def tall(path: Path) -> Image.Image:
    """Return a portrait cut to the format of the 14B model, on itself out of focus."""
    with Image.open(path) as image:
        whole = image.resize((SIDE, SIDE)).filter(ImageFilter.GaussianBlur(24)).point(darker)
        front = ImageOps.fit(image, (SIDE * 448 // 768, SIDE), Image.Resampling.LANCZOS)
    whole.paste(front, ((SIDE - front.width) // 2, 0))
    return whole


def bands(path: Path) -> Image.Image:
    """Return a portrait cut into two bands of rows that are drawn apart."""
    whole = Image.new("RGB", (SIDE, SIDE), "#1d2024")
    with Image.open(path) as image:
        front = image.convert("RGB").resize((SIDE - 4 * SHIFT, SIDE - 4 * SHIFT))
    middle = front.height // 2
    halves = front.crop((0, 0, front.width, middle)), front.crop((0, middle, *front.size))
    whole.paste(halves[0], (SHIFT, SHIFT))
    whole.paste(halves[1], (3 * SHIFT, 3 * SHIFT + middle))
    return whole


def darker(value: float) -> float:
    """Return the level of a pixel behind the portrait."""
    return value * 0.45


def sketch_and_frames(drawings: Image.Image) -> list[Image.Image]:
    """Return a drawing in pencil, in colour, and two frames in which it speaks."""
    still, *frames = [drawings.crop((128 * x, 128, 128 * x + 128, 256)) for x in (0, 5, 6)]
    large = still.resize((HALF, HALF), Image.Resampling.LANCZOS)
    lines = ImageOps.invert(large.convert("L").filter(ImageFilter.FIND_EDGES))
    lines = ImageOps.crop(ImageOps.autocontrast(lines, cutoff=2), 2)
    return [lines.convert("RGB"), large, *frames]


if __name__ == "__main__":
    main(Path(sys.argv[1]))
