"""A drawn person who is to be imitated: portrait, sound, and the mouth as it should move."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Generator, Tensor

from ..drawn_faces.faces import FaceIdentity, render, rest_motion, sample_identity

HELD_OUT_FACE_SEED = 7_000_001
"""Faces from this seed on are drawn for no training."""


class ArraySound:
    """Samples in memory, read as :class:`SampleReader`."""

    def __init__(self, samples: NDArray[np.float32]) -> None:
        """Keep ``samples``, mono at the analysis rate."""
        self._samples = samples

    def read(self, start_sample: int, stop_sample: int) -> NDArray[np.float32]:
        """Return ``[start, stop)``, zeros outside."""
        window = np.zeros(stop_sample - start_sample, np.float32)
        first, last = max(0, start_sample), min(len(self._samples), stop_sample)
        if first < last:
            window[first - start_sample : last - start_sample] = self._samples[first:last]
        return window


@dataclass(frozen=True)
class Trial:
    """One face and one sound."""

    portrait: Tensor
    """``(3, H, W)`` float32 in ``[0, 1]``."""
    samples: NDArray[np.float32]
    """Mono at 16 kHz."""
    mouth: Tensor
    """True mouth, ``(F, 6)``, at 25 a second."""
    face: int = 0
    """Which held-out face the portrait is."""

    @property
    def opening(self) -> Tensor:
        """Its opening, ``(F,)``."""
        return self.mouth[:, 0]


def held_out_portrait(index: int, size_px: tuple[int, int]) -> Tensor:
    """Draw held-out face ``index`` at rest, ``(3, H, W)`` in ``[0, 1]``."""
    return render(held_out_face(index), rest_motion(1), size_px)[0, 0]


def held_out_face(index: int) -> FaceIdentity:
    """Return held-out face ``index``, a batch of one."""
    return sample_identity(1, Generator().manual_seed(HELD_OUT_FACE_SEED + index))
