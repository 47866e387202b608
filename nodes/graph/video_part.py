"""Frames and audio of a part of a native VIDEO."""

from __future__ import annotations

import math
from contextlib import ExitStack
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...flashtalk_core.borders import library_border
from ...flashtalk_core.errors import InvalidInputError, require
from ...flashtalk_core.media.video.reading.reader import (
    BYTES_PER_PIXEL,
    GB,
    VideoInfo,
    probe_video,
    read_audio_part,
    read_frames_at,
)
from ..host.media import audio_of
from ..host.videos import has_edits, source_file, trim_window

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
    """Native AUDIO of the same time; ``None`` without an audio track."""
    fps: float


def read_part(video: Input.Video, start_s: float, num_frames: int, limit_gb: float) -> VideoPart:
    """Read a part of a video as a player shows it.

    Images are the frames shown at even steps from the start on, :attr:`VideoPart.fps` a second.

    Args:
        video: One with a file is read frame by frame; others ComfyUI decodes whole.
        start_s: Where the part begins, seconds.
        num_frames: Frames to read; 0 reads up to the end.
        limit_gb: Most gigabytes the images and their audio may take.

    Raises:
        InvalidInputError: If a number is below 0, the part lies outside the video, it cannot be
            decoded, or it would take more memory than the limit.
    """
    require(
        math.isfinite(start_s) and start_s >= 0,
        f"start {start_s} s: use 0 or a later second",
        subject="start",
    )
    require(
        num_frames >= 0,
        f"frames {num_frames}: use 0 for all up to the end, or more",
        subject="num_frames",
    )
    require(
        math.isfinite(limit_gb) and limit_gb >= 0,
        f"limit {limit_gb} GB: use the memory that images may take",
        subject="limit_gb",
    )
    asked = _Asked(start_s, num_frames, limit_gb)
    with ExitStack() as stack:
        with library_border(_undecodable):
            trim = trim_window(video)
            path = stack.enter_context(source_file(video))
            is_edited = path is not None and has_edits(video)
            is_named = path is not None and isinstance(video.get_stream_source(), str)
        info = None if path is None else _probed(path, is_named=is_named)
        if path is None or info is None:
            return _part_of_memory(_decoded_whole(video, limit_gb), asked)
        if is_edited:
            return _part_of_edited(video, _File(path, info, trim), asked)
        return _part_of_file(_File(path, info, trim), asked)


def check_memory(
    num_frames: int, size_px: tuple[int, int], limit_gb: float, audio_bytes: float = 0
) -> None:
    """Raise :class:`InvalidInputError` if frames with their audio take more than ``limit_gb``.

    Args:
        num_frames: How many frames.
        size_px: Their height and width.
        limit_gb: Most gigabytes for all.
        audio_bytes: Size of the audio of one frame.
    """
    height, width = size_px
    each = height * width * BYTES_PER_PIXEL + audio_bytes
    total_gb, fitting = num_frames * each / GB, int(limit_gb * GB / each)
    audio = ", with their audio," if audio_bytes else ""
    remedy = f"read at most {fitting} frames, or raise limit_gb" if fitting else "raise limit_gb"
    require(
        total_gb <= limit_gb,
        f"frames {num_frames}: as images of {width}x{height}{audio} they take {total_gb:.1f} GB of "
        f"memory, the limit is {limit_gb:g} GB; {remedy}",
        subject="num_frames",
    )


@dataclass(frozen=True)
class _Asked:
    """What the user asked for; see :func:`read_part`."""

    start_s: float
    num_frames: int
    limit_gb: float


@dataclass(frozen=True)
class _File:
    """The file behind a video."""

    path: Path
    info: VideoInfo
    trim: tuple[float, float]
    """Start and length in seconds; a length of 0 is up to the end."""

    def span(self, asked: _Asked) -> tuple[Fraction, int]:
        """Return where the part begins, in seconds of the file, and how many steps it has."""
        timeline = self.info.timeline
        begin_s, length_s = map(Fraction, self.trim)
        stop_s = begin_s + length_s if length_s else None
        shown_s = timeline.num_steps(timeline.start_of(begin_s), stop_s) / timeline.rate_hz
        first = timeline.start_of(begin_s + Fraction(asked.start_s))
        left = timeline.num_steps(first, stop_s)
        _require_inside(left > 0, asked.start_s, shown_s)
        return first, min(asked.num_frames or left, left)

    def kept_frames(self) -> list[int]:
        """Return the index of each frame that ComfyUI keeps when it decodes the trim."""
        ticks = self.info.timeline.shown * float(self.info.timeline.tick_s)
        begin_s, length_s = self.trim
        is_kept = ticks > begin_s - float(self.info.timeline.tick_s)
        if length_s:
            is_kept &= ticks < begin_s + length_s
        return np.flatnonzero(is_kept).tolist()

    def audio(self, first: Fraction, count: int, limit_gb: float) -> dict[str, Any] | None:
        """Return the AUDIO of ``count`` steps."""
        length_s = float(count / self.info.frame_rate_hz)
        audio = read_audio_part(self.path, float(first), length_s, self.info, limit_gb)
        return None if audio is None else audio_of(audio)


def _probed(path: Path, *, is_named: bool) -> VideoInfo | None:
    """Describe a file; ``None`` for bytes that ComfyUI may know better."""
    try:
        return probe_video(path)
    except InvalidInputError:
        if is_named:
            raise
        return None


def _part_of_file(file: _File, asked: _Asked) -> VideoPart:
    info = file.info
    first, count = file.span(asked)
    audio_bytes = float(info.audio_bytes_s / info.frame_rate_hz)
    check_memory(count, info.size_px, asked.limit_gb, audio_bytes)
    frames = info.timeline.frames_at(first, count)
    audio = file.audio(first, count, asked.limit_gb)
    images = read_frames_at(file.path, frames, info, asked.limit_gb)
    return VideoPart(images, audio, float(info.frame_rate_hz))


def _part_of_edited(video: Input.Video, file: _File, asked: _Asked) -> VideoPart:
    """Take the edited frames from ComfyUI, their times and the audio from the file."""
    whole = _decoded_whole(video, asked.limit_gb)
    kept = file.kept_frames()
    if not kept or len(kept) != len(whole.images):  # a trim that this ComfyUI does not report
        return _part_of_memory(whole, asked)
    first, count = file.span(asked)
    frames = file.info.timeline.frames_at(first, count) - kept[0]
    images = whole.images[np.clip(frames, 0, len(kept) - 1)]
    audio = file.audio(first, count, asked.limit_gb)
    return VideoPart(images, audio, float(file.info.frame_rate_hz))


def _decoded_whole(video: Input.Video, limit_gb: float) -> Any:
    """Return all frames and the audio that ComfyUI decodes, its ``VideoComponents``."""
    with library_border(_undecodable):
        rate, (width, height) = Fraction(video.get_frame_rate()), video.get_dimensions()
        total = math.ceil(video.get_duration() * rate)
    _check_whole(total, (height, width), limit_gb)
    with library_border(_undecodable):
        return video.get_components()


def _part_of_memory(whole: Any, asked: _Asked) -> VideoPart:
    with library_border(_undecodable):
        rate, total = Fraction(whole.frame_rate), len(whole.images)
    first = math.floor(Fraction(asked.start_s) * rate + _CLOSE)
    _require_inside(first < total, asked.start_s, total / rate)
    count = min(asked.num_frames or total - first, total - first)
    with library_border(_undecodable):
        audio = _audio_part(whole.audio, first / rate, count / rate)
    return VideoPart(whole.images[first : first + count], audio, float(rate))


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
        subject="start",
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
