"""Frames and sound of a part of a native VIDEO."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..flashtalk_core.borders import library_border
from ..flashtalk_core.config import require
from ..flashtalk_core.errors import InvalidInputError
from ..flashtalk_core.media.video_reader import (
    BYTES_PER_PIXEL,
    GB,
    probe_video,
    read_frames_at,
    read_sound_part,
)
from .host.media import audio_of
from .host.videos import plain_file, trim_window

if TYPE_CHECKING:
    from comfy_api.latest import Input
    from torch import Tensor

# Share of a frame that a start may lie before it: seconds are typed with a few digits.
_CLOSE = Fraction(1, 1_000)


@dataclass(frozen=True)
class VideoPart:
    """What was read."""

    images: Tensor
    """``(F, H, W, 3)`` float32 in ``[0, 1]``."""
    audio: dict[str, Any] | None
    """Native AUDIO of the same time; ``None`` without a sound track."""
    fps: float


def read_part(video: Input.Video, start_s: float, num_frames: int, limit_gb: float) -> VideoPart:
    """Read a part of a video as a player shows it.

    Images are the frames shown at even steps from the start on, :attr:`VideoPart.fps` a second.

    Args:
        video: One with a file is read frame by frame; others ComfyUI decodes whole.
        start_s: Where the part begins, seconds.
        num_frames: Frames to read; 0 reads up to the end.
        limit_gb: Most gigabytes the images and their sound may take.

    Raises:
        InvalidInputError: If a number is below 0, the part lies outside the video, it cannot be
            decoded, or it would take more memory than the limit.
    """
    require(math.isfinite(start_s) and start_s >= 0, f"start {start_s} s: use 0 or a later second")
    require(num_frames >= 0, f"frames {num_frames}: use 0 for all up to the end, or more")
    with library_border(_undecodable):
        path = plain_file(video)
        trim = trim_window(video)
    if path is None:
        return _part_of_memory(video, start_s, num_frames, limit_gb)
    return _part_of_file(path, trim, start_s, num_frames, limit_gb)


def check_memory(
    num_frames: int, size_px: tuple[int, int], sound_bytes: float, limit_gb: float
) -> None:
    """Raise :class:`InvalidInputError` if frames with their sound take more than ``limit_gb``.

    Args:
        num_frames: How many frames.
        size_px: Their height and width.
        sound_bytes: What the sound of one frame takes.
        limit_gb: Most gigabytes for all.
    """
    height, width = size_px
    each = height * width * BYTES_PER_PIXEL + sound_bytes
    total_gb, fitting = num_frames * each / GB, int(limit_gb * GB / each)
    sound = ", with their sound," if sound_bytes else ""
    remedy = f"read at most {fitting} frames, or raise limit_gb" if fitting else "raise limit_gb"
    require(
        total_gb <= limit_gb,
        f"frames {num_frames}: as images of {width}x{height}{sound} they take {total_gb:.1f} GB of "
        f"memory, the limit is {limit_gb:g} GB; {remedy}",
    )


def _part_of_file(
    path: Path, trim: tuple[float, float], start_s: float, num_frames: int, limit_gb: float
) -> VideoPart:
    info = probe_video(path)
    timeline, rate_hz = info.timeline, info.frame_rate_hz
    begin_s, length_s = trim
    stop_s = Fraction(begin_s) + Fraction(length_s) if length_s else None
    begin = timeline.start_of(Fraction(begin_s))
    first = timeline.start_of(Fraction(begin_s) + Fraction(start_s))
    shown_s = timeline.num_steps(begin, stop_s) / rate_hz
    left = timeline.num_steps(first, stop_s)
    _require_inside(left > 0, start_s, shown_s)
    count = min(num_frames or left, left)
    check_memory(count, info.size_px, float(info.sound_bytes_s / rate_hz), limit_gb)
    sound = read_sound_part(path, float(first), float(count / rate_hz), info, limit_gb)
    return VideoPart(
        images=read_frames_at(path, timeline.frames_at(first, count), info, limit_gb),
        audio=None if sound is None else audio_of(sound),
        fps=float(rate_hz),
    )


def _part_of_memory(
    video: Input.Video, start_s: float, num_frames: int, limit_gb: float
) -> VideoPart:
    """Take the part out of the frames that ComfyUI makes, all of them."""
    with library_border(_undecodable):
        rate, (width, height) = Fraction(video.get_frame_rate()), video.get_dimensions()
        total = math.ceil(video.get_duration() * rate)
    _check_whole(total, (height, width), limit_gb)
    with library_border(_undecodable):
        found = video.get_components()
        total = len(found.images)
    first = math.floor(Fraction(start_s) * rate + _CLOSE)
    _require_inside(first < total, start_s, total / rate)
    count = min(num_frames or total - first, total - first)
    with library_border(_undecodable):
        audio = _audio_part(found.audio, first / rate, count / rate)
    return VideoPart(found.images[first : first + count], audio, float(rate))


def _audio_part(
    audio: dict[str, Any] | None, start_s: Fraction, duration_s: Fraction
) -> dict[str, Any] | None:
    """Cut an AUDIO to the time of the images, with silence where it is over before them."""
    if audio is None:
        return None
    from torch.nn.functional import pad

    begin, end = (round(time * audio["sample_rate"]) for time in (start_s, start_s + duration_s))
    waveform = audio["waveform"][..., begin:end]
    missing = end - begin - waveform.shape[-1]
    return {**audio, "waveform": pad(waveform, (0, missing)) if missing else waveform}


def _require_inside(is_inside: bool, start_s: float, length_s: Fraction) -> None:
    require(
        is_inside,
        f"start {start_s:g} s: the video lasts {float(length_s):.2f} s only; begin earlier",
    )


def _check_whole(num_frames: int, size_px: tuple[int, int], limit_gb: float) -> None:
    height, width = size_px
    total_gb = num_frames * height * width * BYTES_PER_PIXEL / GB
    require(
        total_gb <= limit_gb,
        f"video that no file holds as it is: all its {num_frames} frames of {width}x{height} take "
        f"{total_gb:.1f} GB of memory, the limit is {limit_gb:g} GB; save it with Save Video and "
        "load that file, or raise limit_gb",
    )


def _undecodable(why: str) -> InvalidInputError:
    return InvalidInputError(
        f"video: ComfyUI cannot decode it ({why}); export it again, or use another one"
    )
