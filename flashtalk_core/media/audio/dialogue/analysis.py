"""What the model hears: the analysis signal of one speaker, or of each of two.

Axis legend: K speakers, n samples.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

import numpy as np
from numpy.typing import NDArray

from ..info import AudioInfo
from ..probe import AnalysisStream
from ..source import SampleReader


class VoiceStreams:
    """Analysis signals of several speakers, read together; a :class:`SampleReader`."""

    def __init__(self, streams: Sequence[SampleReader]) -> None:
        self._streams = streams

    def read(self, start_sample: int, stop_sample: int) -> NDArray[np.float32]:
        """Return ``[start, stop)`` of each, ``(K, n)``; see :meth:`AnalysisStream.read`."""
        return np.stack([each.read(start_sample, stop_sample) for each in self._streams])


@contextmanager
def open_analysis(voices: Sequence[AudioInfo], rate_hz: int) -> Iterator[SampleReader]:
    """Open what the model hears of one speaker or of several.

    Args:
        voices: Audio of each.
        rate_hz: Analysis rate.
    """
    with ExitStack() as stack:
        streams = [stack.enter_context(AnalysisStream(each, rate_hz)) for each in voices]
        yield streams[0] if len(streams) == 1 else VoiceStreams(streams)
