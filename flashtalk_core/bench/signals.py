"""Audio files made for measurements."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

RATE_HZ = 16_000
_BLOCK_SAMPLES = 1 << 16
_CLICK_LEVEL = 0.9
_SYLLABLES_PER_S = 4


def write_clicks(path: Path, num_samples: int, click_samples: Sequence[int]) -> None:
    """Write silence with single loud samples, as FLAC in constant memory.

    Args:
        path: File to write, in ``.flac``.
        num_samples: Length at :data:`RATE_HZ`.
        click_samples: Where the clicks are.
    """
    with FlacWriter(path) as writer:
        for start in range(0, num_samples, _BLOCK_SAMPLES):
            block = np.zeros(min(_BLOCK_SAMPLES, num_samples - start), np.float32)
            inside = [at - start for at in click_samples if 0 <= at - start < len(block)]
            block[inside] = _CLICK_LEVEL
            writer.write(block)


def write_babble(path: Path, duration_s: float, seed: int = 0) -> None:
    """Write noise in syllables that the models take for speech, as FLAC in constant memory."""
    generator = np.random.default_rng(seed)
    left = round(duration_s * RATE_HZ)
    with FlacWriter(path) as writer:
        while left > 0:
            syllable = _syllable(generator)[:left]
            writer.write(syllable)
            left -= len(syllable)


def _syllable(generator: np.random.Generator) -> NDArray[np.float32]:
    length = RATE_HZ // _SYLLABLES_PER_S
    envelope = np.hanning(length) * generator.uniform(0.0, 0.2)
    return (generator.standard_normal(length) * envelope).clip(-1, 1).astype(np.float32)


class FlacWriter:
    """Mono 16-bit FLAC, written block by block."""

    def __init__(self, path: Path, rate_hz: int = RATE_HZ) -> None:
        """Begin the file."""
        import av

        self._container = av.open(str(path), "w", format="flac")
        self._stream = self._container.add_stream("flac", rate=rate_hz, layout="mono")
        self._rate_hz = rate_hz
        self._stream.codec_context.format = "s16"
        self._position = 0

    def write(self, samples: NDArray[np.float32]) -> None:
        """Append ``(n,)`` floats, full scale at 1."""
        from av import AudioFrame

        whole = np.round(samples * 32767).astype(np.int16)
        frame = AudioFrame.from_ndarray(whole[None], format="s16", layout="mono")
        frame.sample_rate, frame.pts = self._rate_hz, self._position
        frame.time_base = Fraction(1, self._rate_hz)
        self._position += len(samples)
        self._container.mux(self._stream.encode(frame))

    def __enter__(self) -> FlacWriter:
        return self

    def __exit__(self, *exception: object) -> None:
        self._container.mux(self._stream.encode(None))
        self._container.close()
