"""Pictures and sound on their way from the clock to an encoder.

Axis legend: C channels, n samples, H W pixels.
"""

from __future__ import annotations

from collections import deque

import torch
from torch import Tensor

from ..media.audio.info import AudioInfo
from ..media.audio.resampling import StreamResampler
from ..media.video.audio_track import AAC_FRAME_SAMPLES
from .audio.framer import AudioFormat
from .audio.growing import GrowingAudio
from .shown import Shown

_KEPT_S = 10


class HeldPictures:
    """Holds each picture until the sound that is encoded with it is there.

    That are whole frames of AAC, so an encoder that got a picture at once would wait for the sound
    of later ones.
    """

    def __init__(self, name: str, sound: AudioFormat, rate_hz: int | None = None) -> None:
        """Begin with the next frame.

        Args:
            name: Of the sound, for errors.
            sound: Of the session.
            rate_hz: Of the sound that is encoded, a rate of AAC; ``None`` is the session's.
        """
        self._sound = sound
        self._rate_hz = rate_hz or sound.rate_hz
        self._resampler = StreamResampler(sound.rate_hz, self._rate_hz, sound.channels)
        self._audio = GrowingAudio(
            name, self._rate_hz, sound.channels, sound.layout, max_samples=_KEPT_S * self._rate_hz
        )
        self._num_samples = 0
        self._pictures: deque[Tensor] = deque()
        self._num_given = 0

    @property
    def audio(self) -> AudioInfo:
        """What the encoder reads along with the pictures."""
        return AudioInfo.growing(self._audio)

    def add(self, shown: Shown) -> Tensor | None:
        """Take a frame; return the pictures ``(F, H, W, 3)`` to encode now, ``None`` if none is."""
        samples = self._resampler.process(shown.sound)
        if samples.shape[1]:
            self._audio.append(samples)
            self._num_samples += samples.shape[1]
        self._pictures.append(shown.picture)
        whole = self._num_samples // AAC_FRAME_SAMPLES * AAC_FRAME_SAMPLES
        return self._give(whole * self._sound.frame_rate_hz // self._rate_hz - self._num_given)

    def finish(self) -> Tensor | None:
        """End the sound, and return the pictures that are left, ``None`` if none is."""
        num_frames = self._num_given + len(self._pictures)
        total = num_frames * self._rate_hz // self._sound.frame_rate_hz
        rest = self._resampler.finish()[:, : total - self._num_samples]
        if rest.shape[1]:
            self._audio.append(rest)
        self._audio.close()
        return self._give(len(self._pictures))

    def _give(self, num_pictures: int) -> Tensor | None:
        taken = [self._pictures.popleft() for _ in range(num_pictures)]
        self._num_given += len(taken)
        return torch.stack(taken) if taken else None
