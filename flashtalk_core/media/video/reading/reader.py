"""A part of a finished video, read back as frames and audio, as a player shows it.

Axis legend: F frames, H W pixels, C audio channels, n samples.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ....errors import require
from ....excerpt import shown_path
from ....log import printable_log
from ...audio.channel_mix import Matrix, mix_matrix, positions_of
from ...audio.decoding.reader import AudioReader
from ...audio.decoding.tracks import decodable_tracks
from ...audio.layout import take_layout
from ...audio.source import MAX_CHANNELS, AudioArray
from .container import open_video, video_track
from .decoding import frames_before, frames_shown_at
from .timeline import VideoTimeline, read_timeline
from .view import VideoView, check_frame_size, view_of

if TYPE_CHECKING:
    from av.audio.codeccontext import AudioCodecContext

_log = printable_log(logging.getLogger(__name__))

LIMIT_GB = 8.0
"""Most memory that frames, or audio, take unless another limit is given."""
GB = 10**9
BYTES_PER_PIXEL = 3 * 4
_BYTES_PER_SAMPLE = 4


@dataclass(frozen=True)
class VideoInfo:
    """What a player shows of a video."""

    timeline: VideoTimeline
    view: VideoView
    has_audio: bool
    audio_bytes_s: int
    """Memory that a second of its audio takes, at most; 0 without audio."""

    @property
    def num_frames(self) -> int:
        """Frames that are shown."""
        return len(self.timeline.shown)

    @property
    def size_px(self) -> tuple[int, int]:
        """Height and width as shown."""
        return self.view.size_px

    @property
    def frame_rate_hz(self) -> Fraction:
        """Steps a second; see :class:`VideoTimeline`."""
        return self.timeline.rate_hz

    @property
    def duration_s(self) -> float:
        """Length of the video track in seconds."""
        return float(self.timeline.duration_s)


def probe_video(path: str | Path) -> VideoInfo:
    """Describe a video; its packets are read, and its first frame is decoded.

    Raises:
        InvalidInputError: If there is no such file, no video in it, or none that can be decoded.
    """
    path = Path(path)
    with closing(open_video(path)) as container:
        timeline = read_timeline(path, container)
        track = video_track(path, container)
        aspect, codec = track.sample_aspect_ratio, track.codec_context
        if codec.width and codec.height:
            check_frame_size(path, (codec.width, codec.height))
        tracks = decodable_tracks(container)
        audio_bytes_s = max((_audio_bytes_s(track.codec_context) for track in tracks), default=0)
    _, first = next(frames_before(path, timeline, int(timeline.shown[0])))
    view = view_of(path, first, Fraction(aspect) if aspect else None)
    return VideoInfo(timeline, view, bool(tracks), audio_bytes_s)


def read_frames_at(
    path: str | Path,
    indices: Sequence[int] | NDArray[np.int64],
    info: VideoInfo,
    limit_gb: float = LIMIT_GB,
) -> Tensor:
    """Decode frames by their index; a damaged one is the one before it, as in a player.

    In addition to the result, memory holds two frames, and 16 bytes for each frame of the video.

    Args:
        path: The video.
        indices: Frames in ascending order, which may repeat.
        info: What :func:`probe_video` found.
        limit_gb: Most gigabytes they may take.

    Returns:
        ``(F, H, W, 3)`` float32, RGB in ``[0, 1]``.

    Raises:
        InvalidInputError: If they take more memory than the limit, or no frame can be decoded.
    """
    from av.video.reformatter import VideoReformatter

    path = Path(path)
    check_memory(path, len(indices), info.size_px, limit_gb)
    wanted = info.timeline.shown[np.asarray(indices, np.int64)]
    converter = VideoReformatter()  # one for all frames: it caches its tables
    images = torch.empty((len(wanted), *info.size_px, 3), dtype=torch.float32)
    last, num_held = None, 0
    for row, (frame, is_held) in enumerate(frames_shown_at(path, info.timeline, wanted)):
        num_held += is_held
        if frame is last:
            images[row].copy_(images[row - 1])
            continue
        rgb = info.view.rgb(path, frame, converter)
        images[row].copy_(torch.from_numpy(rgb)).div_(255)
        last = frame
    if num_held:
        _log.warning(
            "video %s: %d of %d frames cannot be decoded; the one before stays, as in a player. "
            "Copy it again, or export it again",
            shown_path(path), num_held, len(wanted),
        )  # fmt: skip
    return images


def read_audio_part(
    path: str | Path,
    start_s: float,
    duration_s: float,
    info: VideoInfo | None = None,
    limit_gb: float = LIMIT_GB,
) -> AudioArray | None:
    """Decode the audio of a range of a video.

    Args:
        path: The video.
        start_s: Start of the range, seconds of a player.
        duration_s: Its length, seconds; it may end up to one frame after the video track.
        info: What :func:`probe_video` found, where it was asked already.
        limit_gb: Most gigabytes it may take.

    Returns:
        The track's own samples at its own rate, ``round(duration * rate)`` of them, with silence
        where there is no audio, more than 8 channels as stereo; ``None`` if there is no audio
        track that can be decoded.

    Raises:
        InvalidInputError: If the range leaves the video, takes more memory than the limit, or the
            audio cannot be decoded.
    """
    path, info = Path(path), info or probe_video(path)
    slack_s = float(1 / info.frame_rate_hz)
    require(
        start_s >= 0 and duration_s > 0 and start_s + duration_s <= info.duration_s + slack_s,
        f"video {shown_path(path)}: audio of {duration_s:g} s from {start_s:g} s on, but it lasts "
        f"{info.duration_s:.3f} s; choose a range inside it",
    )
    if not info.has_audio:
        return None
    with AudioReader(path) as reader:
        start = round(start_s * reader.rate_hz)
        num_samples = max(1, round(duration_s * reader.rate_hz))
        mix = _mix_of_array(reader.layout, reader.channels)
        channels = reader.channels if mix is None else len(mix)
        total_gb = num_samples * channels * _BYTES_PER_SAMPLE / GB
        require(
            total_gb <= limit_gb,
            f"video {shown_path(path)}: audio of {duration_s:g} s takes {total_gb:.1f} GB of "
            f"memory, the limit is {limit_gb:g} GB; read a shorter part",
        )
        samples = np.zeros((channels, num_samples), np.float32)
        position = 0
        for block in reader.blocks(start, num_samples):
            samples[:, position : position + block.shape[1]] = block if mix is None else mix @ block
            position += block.shape[1]
        for note in reader.notes:
            _log.warning("audio %s: %s", shown_path(path), note)
        return AudioArray(f"{path} from {start_s:g} s", samples, reader.rate_hz)


def check_memory(path: Path, num_frames: int, size_px: tuple[int, int], limit_gb: float) -> None:
    """Raise :class:`InvalidInputError` if frames take more than ``limit_gb``."""
    height, width = size_px
    total_gb = num_frames * height * width * BYTES_PER_PIXEL / GB
    require(
        total_gb <= limit_gb,
        f"video {shown_path(path)}: {num_frames} frames of {width}x{height} take {total_gb:.1f} GB "
        f"of memory, the limit is {limit_gb:g} GB; read fewer frames",
    )


def _mix_of_array(layout: str, channels: int) -> Matrix | None:
    """Return what brings channels to the order of audio that has no layout; ``None`` if nothing."""
    positions = positions_of(layout, channels)
    if channels > MAX_CHANNELS:
        return mix_matrix(positions, ("FL", "FR"))
    unnamed = positions_of("", channels)
    is_turned = positions != unnamed and set(positions) == set(unnamed)
    return mix_matrix(positions, unnamed) if is_turned else None


def _audio_bytes_s(codec: AudioCodecContext | None) -> int:
    if codec is not None:
        take_layout(codec)
    channels = getattr(codec, "channels", 0) or MAX_CHANNELS
    rate_hz = getattr(codec, "sample_rate", 0) or 48_000
    return int(min(channels, MAX_CHANNELS) * rate_hz * _BYTES_PER_SAMPLE)
