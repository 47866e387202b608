"""Pictures and sound of a FlashTalk session, as LiveKit's ``AvatarRunner`` takes them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from typing import TypeAlias

from flashtalk_client import Frame, Hold, Item, LiveAvatar, Played, RefusedError, Speaking
from livekit import rtc
from livekit.agents.voice.avatar import AudioSegmentEnd, VideoGenerator

from .log import logger

_TAKE_S = 0.5
"""How long the room's source of sound, which holds 100 ms, may take for a frame."""

Output: TypeAlias = rtc.VideoFrame | rtc.AudioFrame | AudioSegmentEnd


class FlashTalkGenerator(VideoGenerator):
    """A ``VideoGenerator`` whose networks are on a server; a segment of audio is an utterance."""

    def __init__(self, avatar: LiveAvatar, rate: int) -> None:
        """Take a session that nobody else uses.

        Args:
            avatar: Sends ``rgb`` or ``jpeg``.
            rate: Of its sound, which has one channel.
        """
        self._avatar, self._rate = avatar, rate
        self._speaking = 0
        """Utterance whose frames come; kept in silence."""
        self._cleared = 0
        """Utterances up to this one were cleared: the runner has reported them already."""
        self._hold = Hold()  # the room's source of sound needs some in hand
        self._is_taken = asyncio.Event()
        """Whether the runner has counted the sound that was yielded last."""
        self._is_taken.set()
        self._is_lost = False
        self._unspoken: asyncio.Queue[AudioSegmentEnd] = asyncio.Queue()

    async def push_audio(self, frame: rtc.AudioFrame | AudioSegmentEnd) -> None:
        """Send sound, or the end of a segment."""
        if self._is_lost:
            if isinstance(frame, AudioSegmentEnd):
                self._unspoken.put_nowait(frame)
        elif isinstance(frame, AudioSegmentEnd):
            await self._avatar.end()
        else:
            with suppress(ConnectionError):  # it was closed meanwhile
                await self._avatar.push(bytes(frame.data))

    async def clear_buffer(self) -> None:
        """Stop speaking at once: sound that was not yielded never is.

        The runner, which waits for this, reports the segment and counts from 0 again. Sound that
        it was just given must be counted before that: it would be the start of the next segment.
        """
        self._cleared = self._avatar.last_utterance
        if not self._is_lost:
            await self._avatar.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(_TAKE_S):
                await self._is_taken.wait()

    async def __aiter__(self) -> AsyncIterator[Output]:
        """Yield each frame's sound, if it speaks, then its picture; an end after the last one."""
        try:
            async for item in self._avatar:
                for shown in self._hold.take(item):
                    for output in self._take(shown):
                        if isinstance(output, rtc.AudioFrame):
                            self._is_taken.clear()
                        yield output
                        self._is_taken.set()
        except (ConnectionError, RefusedError):
            logger.exception("the avatar is gone; the agent goes on without its picture and voice")
        self._is_lost = True
        await self._avatar.close()
        # An agent waits for the end of what it says: let it not wait for ever.
        yield AudioSegmentEnd()
        while True:
            yield await self._unspoken.get()

    def _take(self, item: Item) -> Iterator[Output]:
        if isinstance(item, Frame):
            yield from self._show(item)
        elif isinstance(item, Speaking):
            self._speaking = item.utterance
        elif isinstance(item, Played) and item.utterance > self._cleared:
            yield AudioSegmentEnd()

    def _show(self, frame: Frame) -> Iterator[Output]:
        if frame.is_speech and self._speaking > self._cleared:
            num_samples = len(frame.sound) // (2 * frame.channels)
            yield rtc.AudioFrame(frame.sound, self._rate, frame.channels, num_samples)
        picture = frame.rgb()
        yield rtc.VideoFrame(frame.width, frame.height, rtc.VideoBufferType.RGB24, picture)
