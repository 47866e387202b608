"""Lips in step: the mouth in a finished video against the true track of its speech.

Axis legend: F frames, H W pixels.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from flashtalk_core.errors import InvalidInputError
from flashtalk_core.files.input_path import check_input
from flashtalk_core.json_text import parse_json
from flashtalk_core.media.container import open_container

from ..drawn_faces.mouth import measure_mouth_opening

MAX_LAG_FRAMES = 10
"""Lags that are tried, in either direction."""
MAX_PASSING_LAG_FRAMES = 1
"""Lag of lips that still are in step, in either direction."""
_BATCH_FRAMES = 64

_WHOLE = "whole"


@dataclass(frozen=True)
class LipMeasure:
    """Agreement over a stretch of the video."""

    stretch: str
    num_frames: int
    correlation: float
    """Of measured and true opening, frame by frame."""
    peak_lag_frames: int
    """How much later than the truth the measured opening fits best."""


def read_track(path: Path) -> NDArray[np.float64]:
    """Return the opening, 25 values a second, of a track as ``speech.track.json`` has it."""
    path = check_input(path, "track")
    try:
        rows = parse_json(path.read_bytes())["mouth"]
        track = np.asarray([row[0] for row in rows], np.float64)
        if track.ndim != 1 or not np.isfinite(track).all():
            raise ValueError("no finite numbers")
    except (ValueError, KeyError, TypeError, IndexError, OverflowError) as error:
        raise InvalidInputError(
            f"track {path}: no mouth track; need JSON with rows of numbers under 'mouth'"
        ) from error
    return track


def measure_openings(path: Path) -> NDArray[np.float64]:
    """Measure the mouth in every frame of a video."""
    parts = [measure_mouth_opening(frames) for frames in _batches(check_input(path, "video"))]
    if not parts:
        raise InvalidInputError(f"video {path}: it holds no frames; use a rendered video")
    return torch.cat(parts).double().numpy()


def compare_lips(
    measured: NDArray[np.float64], true: NDArray[np.float64], stretch_frames: int = 1500
) -> list[LipMeasure]:
    """Compare openings over the whole video, its first and its last stretch.

    Args:
        measured: Opening in each frame, ``(F,)``.
        true: Opening as spoken; the longer of the two is cut to the length of the other.
        stretch_frames: Length of a stretch, a minute by default.
    """
    length = min(len(measured), len(true))
    measured, true = measured[:length], true[:length]
    stretches = {
        _WHOLE: slice(None),
        "first minute": slice(0, stretch_frames),
        "last minute": slice(max(0, length - stretch_frames), None),
    }
    return [_compare(name, measured[part], true[part]) for name, part in stretches.items()]


def is_in_step(results: Sequence[LipMeasure]) -> bool:
    """Return whether the lips of the first and of the last minute are in step."""
    ends = [result for result in results if result.stretch != _WHOLE]
    return all(abs(result.peak_lag_frames) <= MAX_PASSING_LAG_FRAMES for result in ends)


def _compare(name: str, measured: NDArray[np.float64], true: NDArray[np.float64]) -> LipMeasure:
    reach = min(MAX_LAG_FRAMES, len(true) // 4)
    lags = range(-reach, reach + 1)
    by_lag = {lag: _correlation(*_shifted(measured, true, lag)) for lag in lags}
    peak = max(lags, key=lambda lag: by_lag[lag])
    return LipMeasure(name, len(true), by_lag[0], peak)


def _shifted(
    measured: NDArray[np.float64], true: NDArray[np.float64], lag: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Pair ``measured[k + lag]`` with ``true[k]``."""
    if lag >= 0:
        return measured[lag:], true[: len(true) - lag]
    return measured[:lag], true[-lag:]


def _correlation(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """Return Pearson's correlation; 0 where one of them never changes."""
    a, b = a - a.mean(), b - b.mean()
    size = float(np.sqrt((a * a).sum() * (b * b).sum()))
    return float((a * b).sum()) / size if size else 0.0


def _batches(path: Path) -> Iterator[Tensor]:
    """Yield frames as ``(f, 3, H, W)`` in ``[0, 1]``."""
    with open_container(path) as container:
        if not container.streams.video:
            return
        batch = []
        for frame in container.decode(video=0):
            batch.append(torch.from_numpy(frame.to_ndarray(format="rgb24")))
            if len(batch) == _BATCH_FRAMES:
                yield _as_images(batch)
                batch = []
        if batch:
            yield _as_images(batch)


def _as_images(frames: list[Tensor]) -> Tensor:
    return torch.stack(frames).permute(0, 3, 1, 2).float() / 255
