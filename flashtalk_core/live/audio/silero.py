"""Speech by the network silero-vad, an optional package, beside the gate's level."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import numpy as np
import torch

from ...errors import InvalidInputError
from ...media.audio.resampling import StreamResampler
from ...media.audio.source import Block
from ...packages import missing_package

_RATE_HZ = 16_000
_WINDOW_SAMPLES = 512
"""What the network judges at once, 32 ms."""


class SileroDetector:
    """A ``SpeechDetector``: the newest 32 ms of sound are more likely speech than not."""

    def __init__(self, rate_hz: int, threshold: float = 0.5) -> None:
        """Load the network, which is part of its package.

        Args:
            rate_hz: Samples a second of what is judged.
            threshold: Probability from which it is speech.

        Raises:
            InvalidInputError: If silero-vad is not installed.
        """
        threads = torch.get_num_threads()
        try:
            from silero_vad import load_silero_vad
        except ImportError as error:
            raise InvalidInputError(
                f"speech detector 'silero': {missing_package('silero-vad')}, or go by level alone",
                subject="gate",
            ) from error
        finally:
            torch.set_num_threads(threads)  # its import sets one thread for the whole process
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of torch, about its own format
            self._network = load_silero_vad()
        self._threshold = threshold
        self._resampler = StreamResampler(rate_hz, _RATE_HZ, 1)
        self._pending = np.zeros(0, np.float32)
        self._is_speech = False

    @torch.inference_mode()  # as ComfyUI loads it; what is made in it is changed in it alone
    def is_speech(self, block: Block) -> bool:
        """Return whether the newest window up to the end of ``(C, n)`` is speech."""
        mono = self._resampler.process(block.mean(axis=0, keepdims=True))
        self._pending = np.concatenate([self._pending, mono[0]])
        while len(self._pending) >= _WINDOW_SAMPLES:
            window, self._pending = np.split(self._pending, [_WINDOW_SAMPLES])
            likely = float(self._network(torch.from_numpy(window), _RATE_HZ))
            self._is_speech = likely >= self._threshold
        return self._is_speech


def find_silero() -> Callable[[int], SileroDetector]:
    """Return what makes detectors for a rate, Hz; that none can be made is told at once.

    Raises:
        InvalidInputError: If silero-vad is not installed.
    """
    SileroDetector(_RATE_HZ)
    return SileroDetector
