"""Choices and ranges of inputs, as saved in workflows: sizes by shape of the image first."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ...flashtalk_core.errors import InvalidInputError, about
from ...flashtalk_core.excerpt import excerpt
from ...flashtalk_core.geometry import check_size

if TYPE_CHECKING:
    from ...flashtalk_core.config.avatar import FitMode

MAX_SEED = 2**63 - 1
MIN_CHUNK_FRAMES = 9
"""Of a live session: a shorter chunk shows no frame of its own."""
FITS: dict[str, FitMode] = {"crop": "cover", "pad": "pad", "face": "face"}
"""What the choices of the menu ``fit`` are in the core."""
CUSTOM = "custom"
MODEL_SIZE = MODEL_RULE = "the model's own"
MODEL_JOINS = -1
"""Number of frames that is the model's own."""

# Height and width. The notes in brackets are explained in the README.
SIZES: dict[str, tuple[int, int] | None] = {
    MODEL_SIZE: None,
    "portrait 448x768 (14B: trained)": (768, 448),
    "portrait 416x720 (14B: used by others)": (720, 416),
    "landscape 768x448 (14B)": (448, 768),
    "landscape 720x416 (14B)": (416, 720),
    "square 576x576 (14B)": (576, 576),
    "square 128x128 (tiny: trained)": (128, 128),
}


@about("size")
def size_of(choice: dict[str, Any] | None) -> tuple[int, int] | None:
    """Return height and width that were chosen; ``None`` is the model's own size.

    Args:
        choice: Value of the input: the entry under ``size``, also ``width`` and ``height`` if it
            is custom; ``None`` if it is no entry (any more).

    Raises:
        InvalidInputError: If it is no entry, or a custom size cannot be rendered.
    """
    name = choice.get("size") if choice else None
    if choice is None or not isinstance(name, str) or name not in (CUSTOM, *SIZES):
        raise InvalidInputError("size: not in the menu; choose it again")
    if name != CUSTOM:
        return SIZES[name]
    height, width = choice.get("height"), choice.get("width")
    if not (isinstance(height, int) and isinstance(width, int)):
        raise InvalidInputError(
            f"size {excerpt(height)}x{excerpt(width)}: use whole numbers of pixels"
        )
    size_px = height, width
    check_size(size_px)
    return size_px
