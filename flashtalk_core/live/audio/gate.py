"""Silence where a microphone hears no speech.

The model moves the mouth to any sound, however quiet, since its audio encoder normalises. What
is below the gate becomes zeros, with which the mouth stays shut.

Axis legend: C channels, n samples.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from ...errors import require
from ...media.audio.source import Block
from .framer import FADE_S

_BLOCK_S = 0.02
_QUIETEST_DB = -120.0


@dataclass(frozen=True, kw_only=True)
class GateConfig:
    """When a gate opens and closes; blocks are 20 ms."""

    threshold_db: float = -50.0
    """Least level of speech, dBFS of a block's root mean square."""
    above_floor_db: float = 10.0
    """How far speech is above the quietest block of :attr:`floor_s`."""
    floor_s: float = 3.0
    """Seconds over which the noise is measured."""
    open_blocks: int = 6
    """Loud blocks in a row that open it; a keystroke is two or three."""
    preroll_blocks: int = 6
    """Blocks before those that pass as well; no delay, since a chunk is gathered first."""
    hang_blocks: int = 15
    """Quiet blocks after which it closes."""

    def __post_init__(self) -> None:
        require(
            -100 <= self.threshold_db <= 0,
            f"gate threshold {self.threshold_db} dBFS: use -100 to 0",
            subject="gate",
        )


class SpeechDetector(Protocol):
    """Judges blocks, beside their level."""

    def is_speech(self, block: Block) -> bool:
        """Return whether a block ``(C, n)`` of 20 ms, one after the other, may be speech."""
        ...


class Gate:
    """Passes speech with what was shortly before and after it, and drops the rest."""

    def __init__(
        self, rate_hz: int, config: GateConfig | None = None, detector: SpeechDetector | None = None
    ) -> None:
        """Begin shut.

        Args:
            rate_hz: Samples a second.
            config: When it opens and closes; ``None`` is the defaults.
            detector: Has to agree that a loud block is speech; ``None`` goes by level alone.
        """
        self._config = config or GateConfig()
        self._detector = detector
        self._block = round(_BLOCK_S * rate_hz)
        self._fade = np.linspace(0, 1, round(FADE_S * rate_hz), dtype=np.float32)
        self._rest: Block | None = None
        c = self._config
        self._levels: deque[float] = deque(maxlen=max(1, round(c.floor_s / _BLOCK_S)))
        self._before: deque[Block] = deque(maxlen=c.open_blocks + c.preroll_blocks)
        self._num_loud = self._num_quiet = 0
        self.is_open = False
        self.num_openings = 0

    def process(self, samples: Block) -> Iterator[Block | None]:
        """Feed ``(C, n)``; yield what passes, and ``None`` each time the gate closes."""
        if self._rest is not None:
            samples = np.concatenate([self._rest, samples], axis=1)
        whole = samples.shape[1] // self._block * self._block
        self._rest = samples[:, whole:]
        for start in range(0, whole, self._block):
            yield from self._judge(samples[:, start : start + self._block])

    @property
    def threshold_db(self) -> float:
        """Level above which a block is loud now, dBFS."""
        floor = min(self._levels, default=_QUIETEST_DB)
        return max(self._config.threshold_db, floor + self._config.above_floor_db)

    def _judge(self, block: Block) -> Iterator[Block | None]:
        level = level_db(block)
        self._levels.append(level)
        is_loud = level > self.threshold_db
        if self._detector is not None:
            is_loud = self._detector.is_speech(block) and is_loud
        if self.is_open:
            yield from self._pass(block, is_loud=is_loud)
            return
        self._num_loud = self._num_loud + 1 if is_loud else 0
        self._before.append(block)
        if self._num_loud >= self._config.open_blocks:
            self.is_open = True
            self.num_openings += 1
            self._num_loud = self._num_quiet = 0
            passed = np.concatenate(list(self._before), axis=1)
            passed[:, : len(self._fade)] *= self._fade
            yield passed

    def _pass(self, block: Block, *, is_loud: bool) -> Iterator[Block | None]:
        self._num_quiet = 0 if is_loud else self._num_quiet + 1
        if self._num_quiet < self._config.hang_blocks:
            yield block
            return
        block = block.copy()
        block[:, -len(self._fade) :] *= self._fade[::-1]
        self.is_open = False
        self._before.clear()
        yield block
        yield None


def level_db(block: Block) -> float:
    """Return the root mean square of a block ``(C, n)`` in dBFS, at least -120."""
    power = float(np.mean(np.square(block, dtype=np.float64)))
    return max(_QUIETEST_DB, 10 * float(np.log10(power)) if power else _QUIETEST_DB)
