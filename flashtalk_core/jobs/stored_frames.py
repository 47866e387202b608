"""Frames and texts of a finished video that others are to go with."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ..config.chunk import ChunkConfig
from ..engine.plan import RenderPlan
from ..errors import require
from ..excerpt import shown_path
from ..media.image.portrait import to_model_range
from ..media.video.reading.reader import probe_video, read_frames_at
from ..media.video.stored import StoredVideo

_COMMENT = "comment"


def check_fits(stored: StoredVideo, plan: RenderPlan) -> None:
    """Check that a finished video is of the size of a plan.

    Raises:
        InvalidInputError: If it is not.
    """
    size_px = plan.request.size_px
    require(
        stored.size_px == size_px,
        f"video {shown_path(stored.path)}: {stored.size_px[0]}x{stored.size_px[1]}, and the "
        f"render has {size_px[0]}x{size_px[1]}; use --size {stored.size_px[0]}x"
        f"{stored.size_px[1]}",
        subject="size",
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
    return (frames * 255).round().to(torch.uint8)


def with_note(stored: StoredVideo, note: str) -> dict[str, str]:
    """Return the texts of a finished video, with what was done to it since in the comment."""
    comment = stored.metadata.get(_COMMENT, "")
    return dict(stored.metadata) | {_COMMENT: f"{comment}; {note}" if comment else note}
