"""Draws the pictures of the template browser from what the workflows make.

Render template 3's speech first, then: ``python draw_thumbnails.py VIDEO``, VIDEO being the file.
"""

import sys
from pathlib import Path

import av
from PIL import Image, ImageFilter, ImageOps

ROOT = Path(__file__).parents[3]
SIDE = 512
HALF = SIDE // 2
PROMPTS_FROM_S = (0.0, 4.0, 9.5)
"""Where template 3 changes its prompt."""
RATE_HZ = 25


def main(video):
    frames = read_frames(video)
    drawings = Image.open(ROOT / "docs" / "media" / "tiny.png")
    pictures = {
        "1_first_talking_head": grid([frames[s * RATE_HZ // 10] for s in (4, 9, 13, 22)]),
        "2_production_14b": tall(ROOT / "flashtalk_core" / "assets" / "example" / "portrait.png"),
        "3_long_speech_prompts": strips([frames[int((s + 2) * RATE_HZ)] for s in PROMPTS_FROM_S]),
        "4_generate_then_animate": grid(sketch_and_frames(drawings)),
    }
    for name, picture in pictures.items():
        picture.save(ROOT / "workflows" / f"{name}.jpg", quality=82, optimize=True)


def read_frames(video):
    with av.open(video) as file:
        return [frame.to_image() for frame in file.decode(video=0)]


def grid(pictures):
    """Return four pictures as one."""
    whole = Image.new("RGB", (SIDE, SIDE))
    for index, picture in enumerate(pictures):
        place = (index % 2 * HALF, index // 2 * HALF)
        whole.paste(picture.resize((HALF, HALF), Image.Resampling.LANCZOS), place)
    return whole


def strips(pictures):
    """Return the middles of pictures beside each other."""
    whole = Image.new("RGB", (SIDE, SIDE))
    width = SIDE / len(pictures)
    for index, picture in enumerate(pictures):
        left, right = round(index * width), round((index + 1) * width)
        whole.paste(
            ImageOps.fit(picture, (right - left, SIDE), Image.Resampling.LANCZOS), (left, 0)
        )
    return whole


def tall(path):
    """Return a portrait cut to the format of the 14B model, on itself out of focus."""
    with Image.open(path) as picture:
        whole = picture.resize((SIDE, SIDE)).filter(ImageFilter.GaussianBlur(24)).point(darker)
        front = ImageOps.fit(picture, (SIDE * 448 // 768, SIDE), Image.Resampling.LANCZOS)
    whole.paste(front, ((SIDE - front.width) // 2, 0))
    return whole


def darker(value):
    return value * 0.45


def sketch_and_frames(drawings):
    """Return a drawing in pencil, in colour, and two frames in which it speaks."""
    still, *frames = [drawings.crop((128 * x, 128, 128 * x + 128, 256)) for x in (0, 5, 6)]
    large = still.resize((HALF, HALF), Image.Resampling.LANCZOS)
    lines = ImageOps.invert(large.convert("L").filter(ImageFilter.FIND_EDGES))
    lines = ImageOps.crop(ImageOps.autocontrast(lines, cutoff=2), 2)
    return [lines.convert("RGB"), large, *frames]


if __name__ == "__main__":
    main(sys.argv[1])
