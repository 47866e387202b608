"""One utterance of live sound, and what is reported of it.

Axis legend: C channels, n samples.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from fractions import Fraction

import numpy as np

from ...errors import require
from ...media.audio.source import Block
from .framer import Framer, SoundFrame


@dataclass(frozen=True)
class Played:
    """What left the clock of an utterance; comes exactly once for each."""

    utterance: int
    seconds: Fraction
    interrupted: bool
    """Whether it was cleared before its end."""


@dataclass
class Utterance:
    """Sound from a first sample to an end; frames of it leave in order."""

    number: int
    framer: Framer
    waiting: deque[SoundFrame] = field(default_factory=deque)
    """Frames that have no place yet."""
    num_placed: int = 0
    """Frames that have a place, and have not left the clock."""
    samples_played: int = 0
    is_ended: bool = False
    is_attached: bool = False
    """Whether what arrives gets the next place at once."""

    @property
    def is_placed(self) -> bool:
        """Whether nothing of it waits for a place, and nothing will."""
        return self.is_ended and not self.waiting

    def report(self, rate_hz: int, *, interrupted: bool) -> Played:
        """Return what left of it."""
        return Played(self.number, Fraction(self.samples_played, rate_hz), interrupted)


def check_block(name: object, samples: Block, channels: int) -> None:
    """Raise :class:`InvalidInputError` unless ``samples`` are ``(C, n)`` float32, all finite."""
    shape: tuple[int, ...] = getattr(samples, "shape", ())
    require(
        len(shape) == 2 and shape[0] == channels and samples.dtype == np.float32,
        f"audio {name}: a block of shape {shape}; send (channels, samples) float32, "
        f"{channels} channel(s)",
    )
    require(
        bool(np.isfinite(samples).all()),
        f"audio {name}: NaN or infinite samples; send numbers from -1 to 1",
    )
