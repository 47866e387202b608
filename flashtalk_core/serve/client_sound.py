"""Sound as a client sends it, made into what its session takes.

Axis legend: C channels, n samples.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Protocol

import numpy as np

from ..live.audio.framer import AudioFormat
from ..media.audio.resampling import StreamResampler
from ..media.audio.source import Block
from .limits import MAX_MESSAGE_BYTES
from .protocol import RefusedError, samples_of

TURN_S = 60.0
"""How long an utterance that is posted waits for the one before it: as long as sound may wait."""


class Listener(Protocol):
    """A session that hears; see :class:`.session.ServedSession`."""

    @property
    def last_utterance(self) -> int:
        """Number of the utterance that began last; 0 before the first."""
        ...

    @property
    def turn(self) -> asyncio.Lock:
        """Held by who speaks a whole utterance."""
        ...

    def push(self, samples: Block, utterance: int | None = None) -> bool:
        """Append sound; return whether it will be spoken."""
        ...

    def end(self) -> None:
        """End the utterance."""
        ...

    def clear(self) -> None:
        """Stop speaking."""
        ...


class ClientSound:
    """Sound of one client; resampled and mixed down where the session has another format."""

    def __init__(
        self, session: Listener, sound: AudioFormat, rate_hz: int, channels: int = 1
    ) -> None:
        """Speak in a session.

        Args:
            session: Whose sound it becomes.
            sound: Of the session.
            rate_hz: Of what is sent.
            channels: Of what is sent, interleaved.
        """
        self.session = session
        self.rate_hz, self.channels = rate_hz, channels
        self._sound = sound
        self._resampler: StreamResampler | None = None

    def push(self, data: bytes, utterance: int | None = None) -> bool:
        """Append sound, s16le; see :meth:`.session.ServedSession.push`.

        Returns:
            Whether it will be spoken.

        Raises:
            InvalidInputError: If it is no whole number of samples, or too much of it waits.
        """
        block = samples_of(data, self.channels)
        if self.channels != self._sound.channels:
            mono = block.mean(axis=0, keepdims=True, dtype=np.float32)
            block = np.repeat(mono, self._sound.channels, axis=0)
        if self.rate_hz != self._sound.rate_hz:
            block = self._resampled(block)
        return self._push(block, utterance)

    def end(self, utterance: int | None = None) -> None:
        """End the utterance."""
        resampler, self._resampler = self._resampler, None
        try:
            if resampler is not None:
                self._push(resampler.finish(), utterance)
        finally:
            self.session.end()

    def clear(self) -> None:
        """Stop speaking; what the resampler holds of it is forgotten as well."""
        self._resampler = None
        self.session.clear()

    def _resampled(self, block: Block) -> Block:
        sound = self._sound
        if self._resampler is None:
            self._resampler = StreamResampler(self.rate_hz, sound.rate_hz, sound.channels)
        return self._resampler.process(block)

    def _push(self, block: Block, utterance: int | None) -> bool:
        return not block.shape[1] or self.session.push(block, utterance)


async def say(sound: ClientSound, data: AsyncIterator[bytes]) -> tuple[int | None, float]:
    """Speak one utterance, taken as it arrives; what came is spoken, also if the client leaves.

    Of several for one session each waits until the one before it has come.

    Args:
        sound: Of the client.
        data: The sound, s16le, cut anywhere.

    Returns:
        The number of the utterance, ``None`` of no sound, and the seconds that were taken: less
        than came where a clear or somebody else ended it.

    Raises:
        RefusedError: If another one goes on for too long.
    """
    turn = sound.session.turn
    try:
        async with asyncio.timeout(TURN_S):
            await turn.acquire()
    except TimeoutError:
        raise RefusedError(
            "busy", f"an utterance that is posted has not ended in {TURN_S:g} s; try again later", 5
        ) from None
    try:
        return await _say(sound, data)
    finally:
        turn.release()


async def _say(sound: ClientSound, data: AsyncIterator[bytes]) -> tuple[int | None, float]:
    session = sound.session
    session.end()
    before = session.last_utterance
    frame_bytes = 2 * sound.channels
    rest, number, num_bytes = b"", None, 0
    try:
        async for part in data:
            taken = rest + part
            whole = len(taken) - len(taken) % frame_bytes
            rest = taken[whole:]
            for start in range(0, whole, MAX_MESSAGE_BYTES):
                piece = taken[start : min(whole, start + MAX_MESSAGE_BYTES)]
                num_bytes += len(piece) * sound.push(piece, number)
                last = session.last_utterance
                number = number or (last if last != before else None)
    finally:
        sound.end(number)
    last = session.last_utterance
    number = number or (last if last != before else None)
    return number, num_bytes / frame_bytes / sound.rate_hz
