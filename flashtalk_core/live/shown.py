"""What leaves the clock of a session.

Axis legend: C channels, n samples, H W pixels.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from ..media.audio.source import Block
from .audio.utterance import Played


@dataclass(frozen=True, eq=False)
class Shown:
    """A frame as it leaves the clock."""

    frame: int
    """Its number, from 0; it is due ``frame`` / 25 s after the session's start."""
    picture: Tensor
    """``(H, W, 3)`` uint8."""
    sound: Block
    """Samples of its 40 ms, ``(C, n)``."""
    utterance: int | None
    """Whose sound it is; ``None`` in silence."""
    is_held: bool
    """Whether the picture is the last one again, since this frame's was not there."""
    played: tuple[Played, ...] = ()
    """Utterances that ended or were cleared since the frame before."""
