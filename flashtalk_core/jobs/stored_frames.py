"""Frames and texts of a finished video that others are to go with."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import torch
from torch import Tensor

from ..config.chunk import ChunkConfig
from ..engine.plan import RenderPlan
from ..errors import require
from ..excerpt import shown_path
from ..log import printable_log
from ..media.pixels import to_model_range
from ..media.video.reading.reader import probe_video, read_frames_at
from ..media.video.stored import StoredVideo

_log = printable_log(logging.getLogger(__name__))

_COMMENT = "comment"
_BYTE = 255.0
_OTHER_COLOURS = 0.05
"""Mean distance of mean colours, of 1. Over an hour of the bundled model it is at most 0.006."""


def check_fits(stored: StoredVideo, plan: RenderPlan) -> None:
    """Check that a finished video has frames as a plan makes them.

    Raises:
        InvalidInputError: If they are of another size or rate.
    """
    size_px = plan.request.size_px
    require(
        stored.size_px == size_px,
        f"video {shown_path(stored.path)}: {stored.size_px[0]}x{stored.size_px[1]}, and the "
        f"render has {size_px[0]}x{size_px[1]}; use --size {stored.size_px[0]}x"
        f"{stored.size_px[1]}, or if its frames were upscaled, render all of it again",
        subject="size",
    )
    rate_hz = plan.chunk.frame_rate_hz
    require(
        stored.frame_rate_hz == rate_hz,
        f"video {shown_path(stored.path)}: {float(stored.frame_rate_hz):.4g} frames a second, and "
        f"the model makes {rate_hz}; render all of it again",
    )


def warn_of_another_portrait(stored: StoredVideo, plan: RenderPlan) -> None:
    """Warn if the first frame of a finished video has other colours than the portrait of a plan.

    Colours are matched to the portrait while a video is rendered, so its own is closer. Another one
    with the same colours is not noticed.
    """
    frame = read_frames(stored, [0])[0].float() / _BYTE
    portrait = (plan.fitted_image() + 1) / 2
    distance = float((frame.mean((0, 1)) - portrait.mean((1, 2))).abs().mean())
    if distance > _OTHER_COLOURS:
        _log.warning(
            "video %s: its mean colour differs from that of the portrait by %.2f of 1, up to %.2f "
            "is usual; is this the portrait that it was rendered from?",
            shown_path(stored.path),
            distance,
            _OTHER_COLOURS,
        )


def motion_frames_of(stored: StoredVideo, first: int, chunk: ChunkConfig) -> Tensor:
    """Return what a chunk that begins with frame ``first`` goes on from.

    The frames of the file, which are those that viewers have seen, are as good as the float32 ones
    that an interrupted render keeps, up to what H.264 takes from them.

    Returns:
        ``(1, 3, M, H, W)`` float32 in ``[-1, 1]``.
    """
    indices = range(first - chunk.num_motion_frames, first)
    return to_model_range(read_frames(stored, indices).permute(3, 0, 1, 2))[None]


def read_frames(stored: StoredVideo, indices: Sequence[int]) -> Tensor:
    """Return frames of a finished video, ``(F, H, W, 3)`` uint8."""
    frames = read_frames_at(stored.path, indices, probe_video(stored.path))
    return (frames * _BYTE).round().to(torch.uint8)


def with_note(stored: StoredVideo, note: str) -> dict[str, str]:
    """Return the texts of a finished video, with what was done to it since in the comment."""
    comment = stored.metadata.get(_COMMENT, "")
    return dict(stored.metadata) | {_COMMENT: f"{comment}; {note}" if comment else note}
