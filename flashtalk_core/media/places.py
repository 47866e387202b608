"""Where a speaker is, as a user writes it: a half of the image, a box, or its face."""

from __future__ import annotations

import re

HALVES = ("left", "right")
FACE = "face"
"""The face of the image that is found, from left to right by the number of the speaker."""
BOX = re.compile(r"\s*" + r",\s*".join([r"(-?\d{1,6})"] * 4) + r"\s*")
"""Whether it is within an image is checked where that is known."""


def is_place(text: str) -> bool:
    """Whether a text is a place in an image, and no file: a half, a box, or its face."""
    return text in (*HALVES, FACE) or BOX.fullmatch(text) is not None
