"""How a render keeps up with the clock."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Pace:
    """Speed of a render so far."""

    frames_per_s: float
    over_real_time: float
    """Speed over that of watching; 1 and more keeps up."""


def measure_pace(num_frames: int, elapsed_s: float, frame_rate_hz: int) -> Pace:
    """Return the speed of a render.

    Args:
        num_frames: Frames rendered.
        elapsed_s: Seconds since the first chunk began.
        frame_rate_hz: Frames a second of the video.
    """
    frames_per_s = num_frames / max(elapsed_s, 1e-3)
    return Pace(frames_per_s, frames_per_s / frame_rate_hz)
