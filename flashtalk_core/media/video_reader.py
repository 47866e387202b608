"""A part of a finished video, read back as frames and sound.

Axis legend: F frames, H W pixels, C sound channels, n samples.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from ..config import require
from ..errors import InvalidInputError
from .sound_array import SoundArray
from .sound_reader import SoundReader
from .video_container import open_video, unreadable

if TYPE_CHECKING:
    from av import VideoFrame
    from av.container import InputContainer

# Numbers FFmpeg's decoders and its scaler share: BT.709, FCC, BT.601, SMPTE 240M.
_COLOUR_SPACES = (1, 4, 5, 7)
_BT601 = 5


@dataclass(frozen=True)
class VideoInfo:
    """What the tables of a video say."""

    num_frames: int
    size_px: tuple[int, int]
    """Height and width."""
    frame_rate_hz: Fraction
    """Frames a second, on average."""
    has_sound: bool

    @property
    def duration_s(self) -> float:
        """Length of the picture in seconds."""
        return float(self.num_frames / self.frame_rate_hz)


@dataclass(frozen=True)
class _FrameTimes:
    """When frames are shown, in ticks of the track; 8 bytes for each."""

    shown: array[int] = field(default_factory=lambda: array("q"))
    keys: array[int] = field(default_factory=lambda: array("q"))
    """Those decoding can start at."""


def probe_video(path: str | Path) -> VideoInfo:
    """Describe a video without decoding it; frames are counted only if no table states them.

    Raises:
        InvalidInputError: If there is no such file, or no video in it.
    """
    path = Path(path)
    with closing(open_video(path)) as container:
        stream = container.streams.video[0]
        codec = stream.codec_context
        rate_hz = stream.average_rate or stream.base_rate
        num_frames = stream.frames or len(_frame_times(path, container).shown)
        if not (rate_hz and num_frames and codec is not None and codec.width):
            raise InvalidInputError(f"video {path}: it holds 0 frames; render or export it again")
        return VideoInfo(
            num_frames=num_frames,
            size_px=(codec.height, codec.width),
            frame_rate_hz=Fraction(rate_hz.numerator, rate_hz.denominator),
            has_sound=bool(container.streams.audio),
        )


def read_frames(path: str | Path, start_frame: int, num_frames: int) -> Tensor:
    """Decode a range of frames, from the nearest key frame before it.

    Beside the result there are one frame and 8 bytes for each frame of the video in memory.

    Args:
        path: The video.
        start_frame: First frame, counted from 0 in the order they are shown.
        num_frames: How many; at least 1.

    Returns:
        ``(F, H, W, 3)`` float32, RGB in ``[0, 1]``.

    Raises:
        InvalidInputError: If the range leaves the video, or a frame cannot be decoded.
    """
    path = Path(path)
    with closing(open_video(path)) as container:
        times = _frame_times(path, container)
        total = len(times.shown)
        require(
            start_frame >= 0 and num_frames >= 1 and start_frame + num_frames <= total,
            f"video {path}: {num_frames} frames from frame {start_frame} on, but it has {total}; "
            "choose a range inside it",
        )
        wanted = times.shown[start_frame : start_frame + num_frames]
        before = bisect_right(times.keys, wanted[0])
        key = times.keys[before - 1] if before else times.shown[0]
        return _decode(path, container, key, wanted)


def read_sound_part(path: str | Path, start_s: float, duration_s: float) -> SoundArray | None:
    """Decode the sound of a range of a video.

    Args:
        path: The video.
        start_s: Start of the range, seconds.
        duration_s: Its length, seconds; it may end up to one frame after the picture.

    Returns:
        The track's own samples at its own rate, ``round(duration * rate)`` of them, with silence
        where the sound is over before the picture; ``None`` if there is no sound track.

    Raises:
        InvalidInputError: If the range leaves the video, or the sound cannot be decoded.
    """
    info = probe_video(path)
    slack_s = float(1 / info.frame_rate_hz)
    require(
        start_s >= 0 and duration_s > 0 and start_s + duration_s <= info.duration_s + slack_s,
        f"video {path}: sound of {duration_s:g} s from {start_s:g} s on, but it lasts "
        f"{info.duration_s:.3f} s; choose a range inside it",
    )
    if not info.has_sound:
        return None
    with SoundReader(path) as reader:
        start = round(start_s * reader.rate_hz)
        num_samples = max(1, round(duration_s * reader.rate_hz))
        samples = np.zeros((reader.channels, num_samples), np.float32)
        position = 0
        for block in reader.blocks(start, num_samples):
            samples[:, position : position + block.shape[1]] = block
            position += block.shape[1]
        return SoundArray(f"{path} from {start_s:g} s", samples, reader.rate_hz)


def _frame_times(path: Path, container: InputContainer) -> _FrameTimes:
    """Read through the packets of the picture without decoding them."""
    import av

    times = _FrameTimes()
    try:
        for packet in container.demux(container.streams.video[0]):
            ticks = packet.dts if packet.pts is None else packet.pts
            if ticks is None or packet.is_discard:
                continue  # the empty one at the end, or cut away by the container's edit list
            times.shown.append(ticks)
            if packet.is_keyframe:
                times.keys.append(ticks)
    except (OSError, av.FFmpegError) as error:
        raise unreadable(path, error) from error
    # Packets come in decoding order.
    in_order = np.sort(np.frombuffer(times.shown, np.int64)) if times.shown else np.zeros(0)
    return _FrameTimes(array("q", in_order.astype(np.int64).tobytes()), times.keys)


def _decode(path: Path, container: InputContainer, key: int, wanted: array[int]) -> Tensor:
    from av.video.reformatter import VideoReformatter

    converter = VideoReformatter()  # one for all frames: it keeps its tables
    codec = container.streams.video[0].codec_context
    pictures = torch.empty((len(wanted), codec.height, codec.width, 3), dtype=torch.float32)
    num_read = 0
    for frame in _frames_from(path, container, key):
        if frame.pts is None or frame.pts < wanted[num_read]:
            continue
        if frame.pts > wanted[num_read]:
            break
        rgb = converter.reformat(
            frame,
            codec.width,
            codec.height,
            "rgb24",
            # Older PyAV converts as BT.601 unless source and target are stated and differ.
            src_colorspace=frame.colorspace if frame.colorspace in _COLOUR_SPACES else None,
            dst_colorspace=_BT601,
        ).to_ndarray()
        pictures[num_read].copy_(torch.from_numpy(rgb)).div_(255)
        num_read += 1
        if num_read == len(wanted):
            return pictures
    raise InvalidInputError(
        f"video {path}: frame {num_read + 1} of the {len(wanted)} wanted cannot be decoded; "
        "it is damaged, copy or render it again"
    )


def _frames_from(path: Path, container: InputContainer, key: int) -> Iterator[VideoFrame]:
    import av

    try:
        container.seek(key, stream=container.streams.video[0])
        yield from container.decode(container.streams.video[0])
    except (OSError, av.FFmpegError) as error:
        raise unreadable(path, error) from error
