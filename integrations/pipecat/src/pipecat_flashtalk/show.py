"""Frames of a FlashTalk session as Pipecat's."""

from __future__ import annotations

from collections.abc import Iterator

from flashtalk_client import Frame, Hold, Item, Speaking
from pipecat.frames.frames import (
    OutputAudioRawFrame,
    OutputImageRawFrame,
    SpeechOutputAudioRawFrame,
)

TAIL_FRAMES = 12
"""Frames of silence whose sound is passed on after speech: an output transport says that the bot
has stopped after 0.35 s of it, and after 3 s where no sound comes at all."""


class Show:
    """Decides which sound is passed on; pictures that follow sound wait for it in the transport."""

    def __init__(self, rate: int) -> None:
        """Begin in silence; ``rate`` of the sound, Hz."""
        self._rate = rate
        self._hold = Hold()  # a transport plays silence where a frame comes late
        self._speaking = 0
        self._cleared = 0
        self._num_tail = 0

    def clear(self, last: int) -> None:
        """Pass on no more sound of utterances up to ``last``."""
        self._cleared = last
        self._num_tail = 0

    def take(self, item: Item) -> Iterator[OutputAudioRawFrame | OutputImageRawFrame]:
        """Yield what is to be pushed now."""
        for shown in self._hold.take(item):
            if isinstance(shown, Speaking):
                self._speaking = shown.utterance
            elif isinstance(shown, Frame):
                yield from self._frames(shown)

    def _frames(self, frame: Frame) -> Iterator[OutputAudioRawFrame | OutputImageRawFrame]:
        size = frame.width, frame.height
        image = OutputImageRawFrame(image=frame.rgb(), size=size, format="RGB")
        if self._has_sound(frame):
            image.sync_with_audio = True
            yield SpeechOutputAudioRawFrame(
                audio=frame.sound, sample_rate=self._rate, num_channels=frame.channels
            )
        yield image

    def _has_sound(self, frame: Frame) -> bool:
        if frame.is_speech:
            is_heard = self._speaking > self._cleared
            self._num_tail = TAIL_FRAMES if is_heard else 0
            return is_heard
        self._num_tail = max(-1, self._num_tail - 1)
        return self._num_tail >= 0
