"""Speech of any length: a recording again and again, with a click before its end."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ...files.whole_file import replacing
from ...media.audio.decoding.reader import AudioReader
from ..signals import FlacWriter
from .stand_in import CLICK_BEFORE_END_S

_CLICK_LEVEL = 0.95
_MOST_LEVEL = 0.8


def write_speech(path: Path, recording: Path, duration_s: float) -> float:
    """Write a recording over and over, unless a file is there: that of an interrupted run.

    Args:
        path: File to write, ``.flac``.
        recording: What is repeated; its first channel counts.
        duration_s: Length of the file.

    Returns:
        Where the click is, seconds.
    """
    with AudioReader(recording) as reader:
        rate_hz = reader.rate_hz
        samples = np.concatenate([block[0] for block in reader.blocks()])
    samples = (samples / max(np.abs(samples).max(), 1e-6) * _MOST_LEVEL).astype(np.float32)
    total = round(duration_s * rate_hz)
    click = total - round(CLICK_BEFORE_END_S * rate_hz)
    if not path.is_file():
        with replacing(path) as aside, FlacWriter(aside, rate_hz) as writer:
            for start in range(0, total, len(samples)):
                block = samples[: total - start].copy()
                if 0 <= click - start < len(block):
                    block[click - start] = _CLICK_LEVEL
                writer.write(block)
    return click / rate_hz
