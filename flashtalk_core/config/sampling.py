"""How one chunk is denoised, and what is done to its frames and audio."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ..errors import require

StepRule = Literal["renoise", "euler"]
ColourArea = Literal["frame", "no-mouth"]
"""Pixels whose colours are measured: all of a frame, or those around the place of mouths."""
MOST_JOIN_FRAMES = 25
"""A second: what is faded out for longer is seen as a ghost."""


@dataclass(frozen=True, kw_only=True)
class SamplingConfig:
    """How one chunk is denoised and what is done to its frames and audio."""

    steps: int = 4
    """Denoising steps, 1 to 100."""
    shift: float = 5.0
    """Timestep shift towards high noise; 1 leaves the schedule linear."""
    rule: StepRule = "renoise"
    """``renoise`` for the authors' weights, ``euler`` for weights trained with it."""
    seed: int = 9999
    """Seed of the noise; chunk ``k`` draws from ``(seed, k)``."""
    colour_strength: float = 1.0
    """Blend of the colour match towards the portrait, 0 to 1."""
    colour_area: ColourArea = "frame"
    """Pixels whose colours are matched: ``frame`` as the authors do, ``no-mouth`` leaves out where
    mouths are."""
    join_frames: int = 0
    """New frames over which the jump at a chunk's join is faded out, 0 to 25; 0 leaves frames as
    they are decoded, as the authors do. Chunks with few new frames take fewer."""
    mouth_strength: float = 1.0
    """Factor on the audio tokens, 0 to 3; 1 is as trained."""

    def __post_init__(self) -> None:
        require(
            1 <= self.steps <= 100,
            f"steps {self.steps}: use 1 to 100 (4 for distilled weights)",
            subject="steps",
        )
        require(
            0 < self.shift <= 100,
            f"shift {self.shift}: use a number above 0, up to 100",
            subject="shift",
        )
        require(
            self.rule in ("renoise", "euler"),
            f"rule {self.rule!r}: use 'renoise' or 'euler'",
            subject="rule",
        )
        require(
            0 <= self.seed < 2**63,
            f"seed {self.seed}: use a whole number from 0 to 2**63 - 1",
            subject="seed",
        )
        require(
            0 <= self.colour_strength <= 1,
            f"colour strength {self.colour_strength}: use 0 (off) to 1 (full)",
            subject="colour_strength",
        )
        require(
            self.colour_area in ("frame", "no-mouth"),
            f"colour area {self.colour_area!r}: use 'frame' or 'no-mouth'",
            subject="colour_area",
        )
        require(
            0 <= self.join_frames <= MOST_JOIN_FRAMES,
            f"join frames {self.join_frames}: use 0 (off) to {MOST_JOIN_FRAMES}",
            subject="join_frames",
        )
        require(
            0 <= self.mouth_strength <= 3,
            f"mouth strength {self.mouth_strength}: use 0 to 3 (1 is as trained)",
            subject="mouth_strength",
        )
