"""Streaming conversion to another rate."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ...errors import InvalidInputError
from ...packages import missing_package
from .source import Block

if TYPE_CHECKING:
    from soxr import ResampleStream


class StreamResampler:
    """One continuous resampler; block borders leave no trace and its delay is compensated.

    Output sample ``n`` stands for the time ``n / out_rate_hz``.
    """

    def __init__(self, in_rate_hz: int, out_rate_hz: int, channels: int) -> None:
        self._channels = channels
        self._stream: ResampleStream | None = None
        if in_rate_hz != out_rate_hz:
            self._stream = _open_stream(in_rate_hz, out_rate_hz, channels)

    def process(self, block: Block) -> Block:
        """Feed ``(C, n)`` and return what is ready, ``(C, m)``."""
        return self._run(block, last=False)

    def finish(self) -> Block:
        """Return the rest, ``(C, m)``."""
        return self._run(np.zeros((self._channels, 0), np.float32), last=True)

    def _run(self, block: Block, *, last: bool) -> Block:
        if self._stream is None:
            return block
        interleaved = np.ascontiguousarray(block.T)
        out = self._stream.resample_chunk(interleaved, last=last)
        return np.asarray(out.reshape(-1, self._channels).T, np.float32)


def _open_stream(in_rate_hz: int, out_rate_hz: int, channels: int) -> ResampleStream:
    try:
        from soxr import ResampleStream
    except ImportError as error:
        raise InvalidInputError(
            f"audio at {in_rate_hz} Hz cannot be resampled to {out_rate_hz} Hz: "
            f"{missing_package('soxr')}"
        ) from error
    return ResampleStream(in_rate_hz, out_rate_hz, channels, dtype="float32", quality="HQ")
