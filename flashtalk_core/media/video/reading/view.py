"""How a player shows a frame: its corner up, square pixels, one size.

Axis legend: H W pixels.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ....borders import library_border
from ....errors import require
from ....excerpt import shown_path
from ...container import MAX_FRAME_PX
from .container import unreadable

if TYPE_CHECKING:
    from av import VideoFrame
    from av.video.reformatter import VideoReformatter

# Numbers FFmpeg's decoders and its scaler share: BT.709, FCC, BT.601, SMPTE 240M.
_COLOUR_SPACES = (1, 4, 5, 7)
_BT601 = 5
_MAX_ASPECT = 20
"""Longest side of a pixel over its shortest; what goes beyond is no aspect, but damage."""
_MATRIX_BYTES = 9 * 4
_SKEW = 0.02
"""Tangent up to which a display matrix turns by whole quarters; players ignore others."""


@dataclass(frozen=True)
class VideoView:
    """What is done to each frame of a video before it is seen."""

    decoded_px: tuple[int, int]
    """Width and height with square pixels, before it is turned."""
    is_turned: bool = False
    """Whether rows become columns; the flips come after it."""
    flips_rows: bool = False
    """Upside down."""
    flips_columns: bool = False
    """Left for right."""

    @property
    def size_px(self) -> tuple[int, int]:
        """Height and width as shown."""
        width, height = self.decoded_px
        return (width, height) if self.is_turned else (height, width)

    def rgb(self, path: Path, frame: VideoFrame, converter: VideoReformatter) -> NDArray[np.uint8]:
        """Return a frame as shown, ``(H, W, 3)``; one of another size is scaled, as in a player.

        Raises:
            InvalidInputError: If it cannot be converted.
        """
        check_frame_size(path, (frame.width, frame.height))
        with library_border(lambda why: unreadable(path, why)):
            rgb = converter.reformat(
                frame,
                *self.decoded_px,
                "rgb24",
                # Older PyAV converts as BT.601 unless source and target are stated and differ.
                src_colorspace=frame.colorspace if frame.colorspace in _COLOUR_SPACES else None,
                dst_colorspace=_BT601,
            ).to_ndarray()
        if self.is_turned:
            rgb = rgb.transpose(1, 0, 2)
        if self.flips_rows or self.flips_columns:
            rgb = rgb[:: -1 if self.flips_rows else 1, :: -1 if self.flips_columns else 1]
        return np.ascontiguousarray(rgb)


def view_of(path: Path, frame: VideoFrame, aspect: Fraction | None) -> VideoView:
    """Return how a player shows a video.

    Args:
        path: The video.
        frame: Its first frame.
        aspect: Width of a pixel over its height; ``None`` if nothing states it.

    Raises:
        InvalidInputError: If it is larger than can be decoded.
    """
    width, height = frame.width, frame.height
    if aspect is not None and 1 < aspect <= _MAX_ASPECT:
        width = round(width * aspect)
    elif aspect is not None and Fraction(1, _MAX_ASPECT) <= aspect < 1:
        height = round(height / aspect)
    check_frame_size(path, (width, height))
    return VideoView((width, height), *_turns(frame))


def check_frame_size(path: Path, size_px: tuple[int, int]) -> None:
    """Raise :class:`InvalidInputError` if frames of this width and height are not read."""
    width, height = size_px
    require(
        0 < width * height <= MAX_FRAME_PX,
        f"video {shown_path(path)}: frames of {width}x{height} pixels, at most {MAX_FRAME_PX} "
        "are read; scale it down",
    )


def _turns(frame: VideoFrame) -> tuple[bool, bool, bool]:
    """Return whether the display matrix turns, then flips rows and columns."""
    # By name: iterating yields the data before PyAV 19, and its types from then on.
    notes: Any = frame.side_data
    matrix = bytes(notes.get("DISPLAYMATRIX") or b"")
    if len(matrix) < _MATRIX_BYTES:
        return False, False, False
    # x' = a x + c y, y' = b x + d y, with y downwards; the signs are all that turns need.
    a, b, _, c, d = np.frombuffer(matrix, np.int32, 5).astype(np.float64)
    straight, across = min(abs(a), abs(d)), min(abs(b), abs(c))
    if straight > 0 and max(abs(b), abs(c)) <= _SKEW * straight:
        return False, bool(d < 0), bool(a < 0)
    if across > 0 and max(abs(a), abs(d)) <= _SKEW * across:
        return True, bool(b < 0), bool(c < 0)
    return False, False, False
