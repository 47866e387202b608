"""A Pipecat service between text to speech and the transport: sound in, pictures and sound out."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any, Literal

from flashtalk_client import LiveAvatar, Played, RefusedError, Start, read_portrait
from pipecat.audio.utils import create_stream_resampler
from pipecat.frames.frames import (
    CancelFrame,
    EndFrame,
    Frame,
    InterruptionFrame,
    SpeechOutputAudioRawFrame,
    StartFrame,
    TTSAudioRawFrame,
    TTSStoppedFrame,
)
from pipecat.processors.frame_processor import FrameDirection, FrameProcessorSetup
from pipecat.services.ai_service import AIService
from pipecat.services.settings import ServiceSettings

from .show import Show

LAST_WORDS_S = 70.0
"""How long the end of a pipeline waits for speech: what the server may have, and some."""
_CLOSE_S = 5.0


class FlashTalkVideoService(AIService):
    """An avatar that speaks what text to speech makes.

    ``TTSAudioRawFrame`` and ``TTSStoppedFrame`` go to the server. What comes back is
    ``SpeechOutputAudioRawFrame`` and ``OutputImageRawFrame``, then the ``TTSStoppedFrame``. Where
    there is no server, speech passes through.
    """

    Settings = ServiceSettings

    def __init__(
        self,
        *,
        url: str = "http://127.0.0.1:8190",
        token: str = "",
        portrait: str | Path | bytes | None = None,
        prompt: str | None = None,
        seed: int | None = None,
        idle: Literal["bank", "still", "draw"] = "bank",
        pictures: Literal["rgb", "jpeg"] = "rgb",
        **kwargs: Any,
    ) -> None:
        """Wish for an avatar; it begins with the pipeline.

        Args:
            url: Of the server.
            token: Of the server; empty where it asks for none.
            portrait: An image file, as path or bytes; ``None`` is the server's own.
            prompt: ``None`` is the server's own.
            seed: ``None`` is the server's own.
            idle: What is shown in silence: stored frames, the portrait, or drawn silence.
            pictures: How the server sends pictures; ``jpeg`` for slow networks.
            **kwargs: Of ``AIService``.

        Raises:
            ValueError: If the portrait cannot be read.
        """
        super().__init__(settings=ServiceSettings(model=None), **kwargs)
        if portrait is not None and not isinstance(portrait, bytes):
            portrait = read_portrait(portrait)
        self._url, self._token = url, token
        self._wishes: dict[str, Any] = {
            "portrait": portrait, "prompt": prompt, "seed": seed, "idle": idle,
            "pictures": pictures,
        }  # fmt: skip
        self._rate = 0
        self._avatar: LiveAvatar | None = None
        self._show = Show(0)
        self._watching: asyncio.Task[None] | None = None
        self._resampler = create_stream_resampler()
        self._stops: dict[int, TTSStoppedFrame] = {}
        """Ends of utterances that were not spoken to their end yet."""
        self._last_over = 0
        self._is_timing = False
        self._is_started = False

    def can_generate_metrics(self) -> bool:
        """Measure the time from the first sound of an utterance to its first frame."""
        return True

    # Life

    async def setup(self, setup: FrameProcessorSetup) -> None:
        """Begin a session on the server."""
        await super().setup(setup)
        self._rate = setup.audio_out_sample_rate
        self._show = Show(self._rate)
        try:
            start = Start(rate=self._rate, **self._wishes)
            self._avatar = await LiveAvatar.connect(self._url, start, token=self._token)
        except (ConnectionError, RefusedError, ValueError) as error:
            await self._lose(error)
            return
        self._watching = self.create_task(self._watch(self._avatar))

    async def stop(self, frame: EndFrame) -> None:
        """Let it finish what it says, then end the session."""
        await super().stop(frame)
        if self._avatar is not None:
            try:
                async with asyncio.timeout(LAST_WORDS_S):
                    await self._avatar.end()
                    await self._avatar.wait_played()
            except TimeoutError:
                pass
        await self._close()

    async def cancel(self, frame: CancelFrame) -> None:
        """End the session."""
        await super().cancel(frame)
        await self._close()

    async def cleanup(self) -> None:
        """End the session, if that was not done."""
        await super().cleanup()
        await self._close()

    # Frames

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        """Take speech, its end and interruptions; pass on all else."""
        await super().process_frame(frame, direction)
        avatar = self._avatar
        if avatar is not None and isinstance(frame, TTSAudioRawFrame):
            await self._say(avatar, frame)
            return
        if avatar is not None and isinstance(frame, TTSStoppedFrame):
            if await self._end(avatar, frame):
                return
        elif avatar is not None and isinstance(frame, InterruptionFrame):
            self._stops.clear()
            self._show.clear(avatar.last_utterance)
            await avatar.clear()
            await self._resampler.reset()
        await self.push_frame(frame, direction)
        self._is_started = self._is_started or isinstance(frame, StartFrame)

    async def _say(self, avatar: LiveAvatar, frame: TTSAudioRawFrame) -> None:
        now_s = time.time()
        before = avatar.last_utterance
        sound = frame.audio
        if frame.sample_rate != self._rate:
            sound = await self._resampler.resample(sound, frame.sample_rate, self._rate)
        if await avatar.push(sound) != before:
            self._is_timing = True
            await self.start_ttfb_metrics(start_time=now_s)

    async def _end(self, avatar: LiveAvatar, frame: TTSStoppedFrame) -> bool:
        """End the utterance; return whether the frame waits until that was spoken."""
        rest = await self._resampler.flush()
        if rest:
            await avatar.push(rest)
        await avatar.end()
        number = avatar.last_utterance
        if number <= self._last_over or number in self._stops:
            return False
        self._stops[number] = frame
        return True

    async def _watch(self, avatar: LiveAvatar) -> None:
        """Push what the server sends."""
        try:
            async for item in avatar:
                for frame in self._show.take(item):
                    await self._push(frame)
                if isinstance(item, Played):
                    self._last_over = max(self._last_over, item.utterance)
                    stop = self._stops.pop(item.utterance, None)
                    if stop is not None:
                        await self.push_frame(stop)
        except (ConnectionError, RefusedError) as error:
            await self._lose(error)

    async def _push(self, frame: Frame) -> None:
        if not self._is_started:
            return
        await self.push_frame(frame)
        if self._is_timing and isinstance(frame, SpeechOutputAudioRawFrame):
            self._is_timing = False
            await self.stop_ttfb_metrics()

    async def _lose(self, error: Exception) -> None:
        """Go on without an avatar."""
        await self.push_error(f"no avatar, speech passes through: {error}", exception=error)
        stops, self._stops = self._stops, {}
        for stop in stops.values():
            await self.push_frame(stop)
        avatar, self._avatar = self._avatar, None
        if avatar is not None:
            await avatar.close()

    async def _close(self) -> None:
        avatar, self._avatar = self._avatar, None
        watching, self._watching = self._watching, None
        if avatar is not None:
            await avatar.close()
        if watching is not None:
            await asyncio.wait({watching}, timeout=_CLOSE_S)  # it gets what was sent before
            await self.cancel_task(watching)
