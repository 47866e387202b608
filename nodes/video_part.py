"""Frames and sound of a part of a native VIDEO."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..flashtalk_core.config import require
from ..flashtalk_core.errors import InvalidInputError
from ..flashtalk_core.media.video_reader import (
    VideoInfo,
    probe_video,
    read_frames,
    read_sound_part,
)
from .host.media import audio_of
from .host.videos import plain_file, trim_window

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
        video: One with a file is read frame by frame; others ComfyUI decodes whole.
        start_s: Where the part begins, seconds.
        num_frames: Frames to read; 0 reads up to the end.
        limit_gb: Most gigabytes the images may take.

    Raises:
        InvalidInputError: If a number is below 0, the part lies outside the video, it cannot be
            decoded, or it would take more memory than the limit.
    """
    require(math.isfinite(start_s) and start_s >= 0, f"start {start_s} s: use 0 or a later second")
    require(num_frames >= 0, f"frames {num_frames}: use 0 for all up to the end, or more")
    path = plain_file(video)
    if path is None:
        return _part_of_memory(video, start_s, num_frames, limit_gb)
    return _part_of_file(path, trim_window(video), start_s, num_frames, limit_gb)


def check_memory(num_frames: int, size_px: tuple[int, int], limit_gb: float) -> None:
    """Raise :class:`InvalidInputError` if frames as images take more than ``limit_gb``."""
    each = _frame_bytes(size_px)
    total_gb, fitting = num_frames * each / _GB, int(limit_gb * _GB / each)
    height, width = size_px
    require(
        total_gb <= limit_gb,
        f"frames {num_frames}: as images of {width}x{height} they take {total_gb:.1f} GB of "
        f"memory, the limit is {limit_gb:g} GB; read at most {fitting} frames, or raise limit_gb",
    )


def _part_of_file(
    path: Path, trim: tuple[float, float], start_s: float, num_frames: int, limit_gb: float
) -> VideoPart:
    info = probe_video(path)
    begin, stop = _bounds(trim, info)
    first, count = _range(start_s, num_frames, stop - begin, info.frame_rate_hz)
    first += begin
    check_memory(count, info.size_px, limit_gb)
    sound = read_sound_part(
        path, float(first / info.frame_rate_hz), float(count / info.frame_rate_hz)
    )
    return VideoPart(
        images=read_frames(path, first, count),
        audio=None if sound is None else audio_of(sound),
        fps=float(info.frame_rate_hz),
    )


def _part_of_memory(
    video: Input.Video, start_s: float, num_frames: int, limit_gb: float
) -> VideoPart:
    """Take the part out of the frames that ComfyUI makes, all of them."""
    with _decoding():
        rate, (width, height) = Fraction(video.get_frame_rate()), video.get_dimensions()
        total = math.ceil(video.get_duration() * rate)
    _check_whole(total, (height, width), limit_gb)
    with _decoding():
        found = video.get_components()
    first, count = _range(start_s, num_frames, len(found.images), rate)
    audio = found.audio
    if audio is not None:
        begin, end = (round(n / rate * audio["sample_rate"]) for n in (first, first + count))
        audio = {**audio, "waveform": audio["waveform"][..., begin:end]}
    return VideoPart(found.images[first : first + count], audio, float(rate))


def _check_whole(num_frames: int, size_px: tuple[int, int], limit_gb: float) -> None:
    total_gb = num_frames * _frame_bytes(size_px) / _GB
    height, width = size_px
    require(
        total_gb <= limit_gb,
        f"video that no file holds as it is: all its {num_frames} frames of {width}x{height} take "
        f"{total_gb:.1f} GB of memory, the limit is {limit_gb:g} GB; save it with Save Video and "
        "load that file, or raise limit_gb",
    )


def _frame_bytes(size_px: tuple[int, int]) -> int:
    return size_px[0] * size_px[1] * _BYTES_PER_PIXEL


@contextmanager
def _decoding() -> Iterator[None]:
    try:
        yield
    except (OSError, EOFError, ValueError) as error:  # PyAV's errors are kinds of these
        raise InvalidInputError(
            f"video: ComfyUI cannot decode it ({error}); export it again, or use another one"
        ) from error


def _range(start_s: float, num_frames: int, total: int, rate_hz: Fraction) -> tuple[int, int]:
    """Return the first frame of the part and how many it has."""
    first = round(start_s * rate_hz)
    length_s = float(total / rate_hz)
    require(
        first < total, f"start {start_s:g} s: the video lasts {length_s:.2f} s only; begin earlier"
    )
    return first, min(num_frames or total - first, total - first)


def _bounds(trim: tuple[float, float], info: VideoInfo) -> tuple[int, int]:
    """Return first frame and the one after the last of a native VIDEO, which may be trimmed."""
    start_s, duration_s = trim
    first = round(start_s * info.frame_rate_hz)
    if not duration_s:
        return first, info.num_frames
    return first, min(info.num_frames, first + round(duration_s * info.frame_rate_hz))
