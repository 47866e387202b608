"""When the frames of a video are shown, and which one is shown at a time.

Times are a player's: second 0 is where it starts to play.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from math import ceil, floor
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ....errors import InvalidInputError
from ....excerpt import shown_path
from ...audio.decoding.clock import player_zero_s
from .container import video_track
from .stamps import lacks_times, read_stamps

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.stream import VideoStream

MIN_RATE_HZ = 1
"""Fewest steps a second: a still of two hours is no step of two hours."""
MAX_NOMINAL_HZ = 60
"""Highest nominal rate that frames at uneven times are sampled at; many containers take the tick
of their clock for it."""
_MAX_RATE_HZ = 1_000
_FROM_START = frozenset(("mpeg",))
"""Formats whose packets get other times when reading starts in the middle."""
# Share of a frame. Clocks of milliseconds are half of one off; what starts as typed, less.
_CONSTANT = Fraction(1, 4)
_CLOSE = Fraction(1, 1_000)


@dataclass(frozen=True, eq=False, repr=False)
class VideoTimeline:
    """The frames of a video in the order they are shown."""

    shown: NDArray[np.int64]
    """Time stamp of each, in ticks of the track."""
    keys: array[int]
    """Time stamps that decoding can start at, in any order."""
    tick_s: Fraction
    zero: int
    """Time stamp of a player's second 0."""
    stop: int
    """Time stamp at which the last frame ends."""
    rate_hz: Fraction
    """Steps a second: of the frames where they are at even times, else the nominal rate of the
    track, or the average where that is above :data:`MAX_NOMINAL_HZ`."""
    is_constant: bool
    """Whether each frame lasts one step."""
    is_in_order: bool
    """Whether the container stores no presentation times: frames come out in the order of these."""

    @property
    def duration_s(self) -> Fraction:
        """When the video track ends."""
        if self.is_constant:
            return self._first_s + len(self.shown) / self.rate_hz
        return max((self.stop - self.zero) * self.tick_s, 1 / self.rate_hz)

    def start_of(self, time_s: float | Fraction) -> Fraction:
        """Return where a part that starts at ``time_s`` begins: at even times, with its frame."""
        if not self.is_constant:
            return Fraction(time_s)
        # Before a video track that starts late its first frame is shown, in steps that meet it.
        origin = self._first_s % (1 / self.rate_hz)
        return origin + max(0, floor((time_s - origin) * self.rate_hz + _CLOSE)) / self.rate_hz

    def num_steps(self, start_s: Fraction, stop_s: Fraction | None = None) -> int:
        """Return how many steps begin before the video track ends; up to ``stop_s`` at most."""
        count = ceil((self.duration_s - start_s) * self.rate_hz - _CLOSE)
        if stop_s is not None:
            count = min(count, floor((stop_s - start_s) * self.rate_hz + Fraction(1, 2)))
        return max(0, count)

    def frames_at(self, start_s: Fraction, count: int) -> NDArray[np.int64]:
        """Return the index of the frame that is shown at each of ``count`` steps.

        The first one stays before its time, the last one after it, as in a player.
        """
        last = len(self.shown) - 1
        if self.is_constant:
            first = floor((start_s - self._first_s) * self.rate_hz + _CLOSE)
            return np.clip(np.arange(first, first + count), 0, last)
        step = float(1 / (self.rate_hz * self.tick_s))
        # Half a tick is what rounding to ticks may have made a frame late.
        times = float(start_s / self.tick_s) + np.arange(count) * step + 0.5
        found = np.searchsorted(self.shown - self.zero, times, side="right") - 1
        return np.clip(found, 0, last)

    def keys_before(self, ticks: int) -> list[int]:
        """Return the two nearest time stamps at or before ``ticks`` that decoding can start at."""
        keys = sorted(self.keys)
        before = bisect_right(keys, ticks)
        return keys[max(0, before - 2) : before][::-1]

    @property
    def _first_s(self) -> Fraction:
        return max(0, int(self.shown[0]) - self.zero) * self.tick_s


def read_timeline(path: Path, container: InputContainer) -> VideoTimeline:
    """Read through the video packets without decoding them.

    Raises:
        InvalidInputError: If there are none, or the file cannot be read.
    """
    track = video_track(path, container)
    tick_s = Fraction(track.time_base or Fraction(1, 1_000))
    stamps = read_stamps(path, container, track)
    if not (stamps.shown or stamps.num_without):
        raise InvalidInputError(
            f"video {shown_path(path)}: it holds 0 frames; render or export it again"
        )
    is_in_order = lacks_times(container) or not stamps.shown or stamps.is_joined
    shown = np.sort(np.frombuffer(stamps.shown, np.int64)) if stamps.shown else None
    stop = sum(stamps.last)
    if shown is None:
        frame_ticks = 1 / (_first_rate(track) * tick_s)
        shown = np.array([round(k * frame_ticks) for k in range(stamps.num_without)], np.int64)
        stop = round(stamps.num_without * frame_ticks)
    zero_s = player_zero_s(path, container, track)
    zero = max(0, int(shown[0])) if zero_s is None else round(zero_s / tick_s)
    shown = shown[max(0, int(np.searchsorted(shown, zero, side="right")) - 1) :]
    rate, is_constant = _rate_of(track, shown, stop, tick_s)
    # Where frames are only counted, those before a key frame in time may be stored behind it.
    is_counted = stamps.is_joined or (is_in_order and track.codec_context.has_b_frames)
    is_read_through = is_counted or container.format.name in _FROM_START
    keys = array("q") if is_read_through else stamps.keys
    return VideoTimeline(shown, keys, tick_s, zero, stop, rate, is_constant, is_in_order)


def _rate_of(
    track: VideoStream, shown: NDArray[np.int64], stop: int, tick_s: Fraction
) -> tuple[Fraction, bool]:
    """Return steps a second, and whether each frame lasts one."""
    for rate in _rates_of(track, shown, tick_s):
        if _is_constant(shown, stop, tick_s, rate):
            return rate, True
    duration_s = (stop - int(shown[0])) * tick_s
    average = (len(shown) / duration_s).limit_denominator(1_001_000)
    nominal = _as_rate(track.guessed_rate)
    if nominal is not None and average < nominal <= MAX_NOMINAL_HZ:
        return max(nominal, Fraction(MIN_RATE_HZ)), False
    return min(max(average, Fraction(MIN_RATE_HZ)), Fraction(_MAX_RATE_HZ)), False


def _rates_of(track: VideoStream, shown: NDArray[np.int64], tick_s: Fraction) -> Iterator[Fraction]:
    """Yield the rates that frames may be at, likely ones first."""
    for found in (track.average_rate, track.guessed_rate, track.base_rate):
        rate = _as_rate(found)
        if rate is not None:
            yield rate
    span_s = int(shown[-1] - shown[0]) * tick_s
    if span_s > 0:
        rate = ((len(shown) - 1) / span_s).limit_denominator(1_001)
        if MIN_RATE_HZ <= rate <= _MAX_RATE_HZ:
            yield rate


def _first_rate(track: VideoStream) -> Fraction:
    return next((rate for rate in map(_as_rate, (track.average_rate, track.guessed_rate)) if rate),
                Fraction(25))  # fmt: skip


def _as_rate(found: Fraction | None) -> Fraction | None:
    rate = Fraction(found) if found else Fraction(0)
    return rate if MIN_RATE_HZ <= rate <= _MAX_RATE_HZ else None


def _is_constant(shown: NDArray[np.int64], stop: int, tick_s: Fraction, rate: Fraction) -> bool:
    frame_ticks = float(1 / (rate * tick_s))
    steps = (shown - shown[0]) / frame_ticks
    last_steps = (stop - int(shown[-1])) / frame_ticks
    return last_steps < 2 and bool(np.abs(steps - np.arange(len(shown))).max() <= float(_CONSTANT))
