"""How fast a render is."""

from __future__ import annotations


def measure_pace(num_frames: int, elapsed_s: float) -> float:
    """Return the frames a second of a render so far.

    Args:
        num_frames: Frames rendered.
        elapsed_s: Seconds since the first chunk began.
    """
    return num_frames / max(elapsed_s, 1e-3)
