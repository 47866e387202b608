"""Sound as a client sends it, made into what its session takes.

Axis legend: C channels, n samples.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Any, Protocol

import numpy as np

from ..errors import InvalidInputError, require
from ..excerpt import excerpt
from ..live.audio.framer import AudioFormat
from ..live.audio.sound import MAX_WAITING_S
from ..media.audio.resampling import StreamResampler
from ..media.audio.source import Block
from .limits import MAX_MESSAGE_BYTES
from .protocol import RefusedError, Start, parse_start, samples_of

_ROOM_S = MAX_WAITING_S - 1.0
_POLL_S = 0.1
_FILES = {
    b"RIFF": "a WAV", b"OggS": "an Ogg", b"fLaC": "a FLAC", b"ID3\x03": "an MP3",
    b"ID3\x04": "an MP3", b"\x1aE\xdf\xa3": "a WebM",
}  # fmt: skip
"""What files begin with that would be heard as noise."""
TURN_S = 60.0
"""How long an utterance that is posted waits for the one before it: as long as sound may wait."""


class Listener(Protocol):
    """A session that hears; see :class:`.session.ServedSession`."""

    @property
    def last_utterance(self) -> int:
        """Number of the utterance that began last; 0 before the first."""
        ...

    @property
    def waiting_s(self) -> float:
        """Sound that has not left, seconds; at most :data:`MAX_WAITING_S`."""
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
        self._is_begun = False
        """Whether something of the utterance came."""
        self._resampler: StreamResampler | None = None

    def push(self, data: bytes, utterance: int | None = None) -> bool:
        """Append sound, s16le; see :meth:`.session.ServedSession.push`.

        Returns:
            Whether it will be spoken.

        Raises:
            InvalidInputError: If it is no whole number of samples, too much of it waits, or the
                utterance begins as a file does.
        """
        if data and not self._is_begun:
            check_samples(data, self.rate_hz, self.channels)
        self._is_begun = self._is_begun or bool(data)
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
        self._is_begun = False
        try:
            if resampler is not None:
                self._push(resampler.finish(), utterance)
        finally:
            self.session.end()

    def clear(self) -> None:
        """Stop speaking; what the resampler holds of it is forgotten as well."""
        self._resampler = None
        self._is_begun = False
        self.session.clear()

    def _resampled(self, block: Block) -> Block:
        sound = self._sound
        if self._resampler is None:
            self._resampler = StreamResampler(self.rate_hz, sound.rate_hz, sound.channels)
        return self._resampler.process(block)

    def _push(self, block: Block, utterance: int | None) -> bool:
        return not block.shape[1] or self.session.push(block, utterance)


def format_of(query: Mapping[str, str], start: Start) -> tuple[int, int]:
    """Return rate and channels of a body; what a request does not say is the session's.

    Args:
        query: Of its address.
        start: Of the session.

    Raises:
        InvalidInputError: If there cannot be such sound.
    """
    fields: dict[str, Any] = {}
    for name in ("rate", "channels"):
        text = query.get(name, "")
        try:
            fields[name] = int(text) if text else getattr(start, name)
        except ValueError:
            raise InvalidInputError(f"{name} {excerpt(text, 40)!r}: use a whole number") from None
    found = parse_start(fields)
    return found.rate, found.channels


def check_samples(data: bytes, rate_hz: int, channels: int) -> None:
    """Check that sound is no file.

    Raises:
        InvalidInputError: If it begins as one does.
    """
    kind = _FILES.get(data[:4])
    how = "leave out its header (tail -c +45)" if kind == "a WAV" else "decode it (ffmpeg -f s16le)"
    require(
        kind is None,
        f"sound that begins as {kind} file: send samples alone, s16le, {channels} channel(s) of "
        f"{rate_hz} Hz; {how}",
    )


async def say(sound: ClientSound, data: AsyncIterator[bytes]) -> tuple[int | None, float]:
    """Speak one utterance, taken as it arrives; what came is spoken, also if the client leaves.

    Where as much waits as may, the rest is taken as it is played. Of several for one session each
    waits until the one before it has come.

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
                await _wait_for_room(session, len(piece) / frame_bytes / sound.rate_hz)
                num_bytes += len(piece) * sound.push(piece, number)
                last = session.last_utterance
                number = number or (last if last != before else None)
    finally:
        sound.end(number)
    last = session.last_utterance
    number = number or (last if last != before else None)
    return number, num_bytes / frame_bytes / sound.rate_hz


async def _wait_for_room(session: Listener, seconds: float) -> None:
    """Wait until so much more may wait; where the session is over, nothing waits any more."""
    while session.waiting_s + seconds > _ROOM_S:
        await asyncio.sleep(_POLL_S)
