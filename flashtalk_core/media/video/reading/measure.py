"""Measuring a finished video: its frames, their times, and where its audio is."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np

from ...audio.decoding.reader import AudioReader
from .container import open_video, packets_of, video_track

_SEARCH_S = 0.05


@dataclass(frozen=True)
class VideoMeasure:
    """What :func:`measure_video` found."""

    num_frames: int
    """Frames of the video track."""
    is_exact: bool
    """Whether frame ``k`` is shown at exactly ``k / frame rate`` seconds, for every ``k``."""
    num_samples: int
    """Samples of the audio track, without encoder padding."""
    rate_hz: int
    """Rate of the audio track."""
    click_offsets_s: tuple[float, ...]
    """How much later than stated each click is played, seconds; NaN where none was found."""


def measure_video(
    path: str | Path, frame_rate_hz: int = 25, click_times_s: Sequence[float] = ()
) -> VideoMeasure:
    """Measure a video of any length in constant memory.

    Args:
        path: Video with audio.
        frame_rate_hz: Frames a second it should have.
        click_times_s: Where its audio should have clicks; each is searched for 50 ms around.

    Returns:
        The measurements.
    """
    num_frames, is_exact = _measure_frames(Path(path), frame_rate_hz)
    with AudioReader(path) as audio:
        offsets = _click_offsets(audio, click_times_s)
        return VideoMeasure(num_frames, is_exact, audio.num_read, audio.rate_hz, offsets)


def _measure_frames(path: Path, frame_rate_hz: int) -> tuple[int, bool]:
    count, is_exact = 0, True
    with closing(open_video(path)) as container:
        for packet in packets_of(path, container, video_track(path, container)):
            if packet.pts is None or not packet.time_base:
                continue
            # Packets come in decoding order, which is the order of showing without B frames.
            is_exact &= packet.pts * packet.time_base == Fraction(count, frame_rate_hz)
            count += 1
    return count, is_exact


def _click_offsets(audio: AudioReader, click_times_s: Sequence[float]) -> tuple[float, ...]:
    rate_hz = audio.rate_hz
    reach = round(_SEARCH_S * rate_hz)
    centres = np.round(np.asarray(click_times_s, np.float64) * rate_hz).astype(np.int64)
    loudest = np.zeros(len(centres))
    offsets = np.full(len(centres), np.nan)
    for block in audio.blocks():
        first = audio.num_read - block.shape[1]
        touched = (centres + reach >= first) & (centres - reach < audio.num_read)
        for index in map(int, np.flatnonzero(touched)):
            start = max(0, centres[index] - reach - first)
            part = np.abs(block[:, start : centres[index] + reach + 1 - first]).max(axis=0)
            at = int(part.argmax())
            if part[at] > loudest[index]:
                loudest[index] = part[at]
                offsets[index] = (first + start + at) / rate_hz - click_times_s[index]
    return tuple(float(offset) for offset in offsets)
