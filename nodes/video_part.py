"""Frames and sound of a part of a native VIDEO."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..flashtalk_core.config import require
from ..flashtalk_core.media.video_reader import (
    VideoInfo,
    probe_video,
    read_frames,
    read_sound_part,
)
from .host.media import audio_of

if TYPE_CHECKING:
    from comfy_api.latest import Input
    from torch import Tensor

_BYTES_PER_PIXEL = 3 * 4
_GB = 10**9


@dataclass(frozen=True)
class VideoPart:
    """What was read."""

    images: Tensor
    """``(F, H, W, 3)`` float32 in ``[0, 1]``."""
    audio: dict[str, Any] | None
    """Native AUDIO of the same time; ``None`` without a sound track."""
    fps: float


def read_part(video: Input.Video, start_s: float, num_frames: int, limit_gb: float) -> VideoPart:
    """Read a part of a video.

    Args:
        video: With a file behind it.
        start_s: Where the part begins, seconds.
        num_frames: Frames to read; 0 reads up to the end.
        limit_gb: Most gigabytes the images may take.

    Raises:
        InvalidInputError: If there is no file, a number is below 0, the part lies outside the
            video, or it would take more memory than the limit.
    """
    require(math.isfinite(start_s) and start_s >= 0, f"start {start_s} s: use 0 or a later second")
    require(num_frames >= 0, f"frames {num_frames}: use 0 for all up to the end, or more")
    path = _path_of(video)
    info = probe_video(path)
    begin, stop = _bounds(video, info)
    first = begin + round(start_s * info.frame_rate_hz)
    length_s = float((stop - begin) / info.frame_rate_hz)
    require(
        first < stop, f"start {start_s:g} s: the video lasts {length_s:.2f} s only; begin earlier"
    )
    count = min(num_frames or stop - first, stop - first)
    check_memory(count, info.size_px, limit_gb)
    sound = read_sound_part(
        path, float(first / info.frame_rate_hz), float(count / info.frame_rate_hz)
    )
    return VideoPart(
        images=read_frames(path, first, count),
        audio=None if sound is None else audio_of(sound),
        fps=float(info.frame_rate_hz),
    )


def check_memory(num_frames: int, size_px: tuple[int, int], limit_gb: float) -> None:
    """Raise :class:`InvalidInputError` if frames as images take more than ``limit_gb``."""
    height, width = size_px
    each = height * width * _BYTES_PER_PIXEL
    total_gb, fitting = num_frames * each / _GB, int(limit_gb * _GB / each)
    require(
        total_gb <= limit_gb,
        f"frames {num_frames}: as images of {width}x{height} they take {total_gb:.1f} GB of "
        f"memory, the limit is {limit_gb:g} GB; read at most {fitting} frames, or raise limit_gb",
    )


def _path_of(video: Input.Video) -> Path:
    source = video.get_stream_source()
    require(
        isinstance(source, str),
        "video without a file: it was made of images; take these, or save it and load it with "
        "Load Video",
    )
    return Path(source)


def _bounds(video: Input.Video, info: VideoInfo) -> tuple[int, int]:
    """Return first frame and the one after the last of a native VIDEO, which may be trimmed."""
    start_s, duration_s = video.get_active_trim_window()
    first = round(start_s * info.frame_rate_hz)
    if not duration_s:
        return first, info.num_frames
    return first, min(info.num_frames, first + round(duration_s * info.frame_rate_hz))
