"""Samples that arrive while others read them, as an audio source of unknown length.

Axis legend: C channels, n samples.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from threading import Condition

import numpy as np

from ...errors import InvalidInputError
from ...media.audio.source import Block

_MERGED_SAMPLES = 4096
"""Up to which blocks are made into one."""


class GrowingAudio:
    """The newest samples of a sound that grows: an :class:`AudioSource`, read as it arrives.

    A read waits for samples that are to come. Any thread may call anything; one writes.
    """

    identity = None

    def __init__(
        self,
        name: str,
        rate_hz: int,
        channels: int,
        layout: str = "",
        *,
        max_samples: int,
    ) -> None:
        """Begin with nothing.

        Args:
            name: What errors call it.
            rate_hz: Samples a second.
            channels: C.
            layout: FFmpeg's name of their layout; empty where there is none.
            max_samples: Samples that are held; older ones are dropped, whoever reads them.
        """
        self.name, self.rate_hz, self.channels, self.layout = name, rate_hz, channels, layout
        self._max_samples = max_samples
        self._blocks: deque[Block] = deque()
        self._first = self._stop = 0
        self._is_closed = False
        self._changed = Condition()

    def __str__(self) -> str:
        return self.name

    @property
    def num_samples(self) -> int | None:
        """Samples of the whole audio; ``None`` until it is closed."""
        return self._stop if self._is_closed else None

    def append(self, block: Block) -> None:
        """Take the next samples, ``(C, n)``; they are not to be changed afterwards."""
        with self._changed:
            self._keep(block)
            self._stop += block.shape[1]
            while self._stop - self._first - self._blocks[0].shape[1] >= self._max_samples:
                self._first += self._blocks.popleft().shape[1]
            self._changed.notify_all()

    def _keep(self, block: Block) -> None:
        """Add to what is held; of small blocks one is made, since each array has a head as well."""
        last = self._blocks[-1] if self._blocks else None
        if last is not None and last.shape[1] + block.shape[1] <= _MERGED_SAMPLES:
            self._blocks[-1] = np.concatenate([last, block], axis=1)
        else:
            self._blocks.append(block)

    def close(self) -> None:
        """Say that nothing follows."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()

    def has_sample(self, index: int) -> bool:
        """Wait until it is known whether there is a sample ``index``, and return it."""
        with self._changed:
            self._changed.wait_for(lambda: self._is_closed or index < self._stop)
            return index < self._stop

    def blocks(self) -> Iterator[Block]:
        """Yield all samples, ``(C, n)``, as they arrive.

        Raises:
            InvalidInputError: If the next ones were dropped already.
        """
        position = 0
        while self.has_sample(position):
            block = self._after(position)
            position += block.shape[1]
            yield block

    def _after(self, position: int) -> Block:
        with self._changed:
            if position < self._first:
                raise InvalidInputError(
                    f"audio {self}: sample {position} is asked for, and the newest "
                    f"{self._max_samples} before {self._stop} are held; read it while it arrives"
                )
            start = self._first
            for block in self._blocks:
                if position < start + block.shape[1]:
                    return block[:, position - start :]
                start += block.shape[1]
        raise AssertionError("has_sample found it")
