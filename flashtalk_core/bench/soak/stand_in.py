"""Stand-ins for the networks and for recordings, which cost little and go on for ever.

Axis legend: F frames, H W pixels; C channels, n samples.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from numpy.typing import NDArray

from ...config.chunk import ChunkConfig
from ...engine.events import RenderEvents
from ...engine.plan import RenderPlan
from ...engine.state import ChunkSource, FrameGroup, SessionState
from ...geometry import ChunkSpan
from ...media.audio.source import SampleReader

_BLOCK_SAMPLES = 1 << 16
_CLICK_LEVEL = 0.9
_SPEECH_LEVEL = 0.05
_NOISE_EVERY = 16
"""Of so many blocks one is noise and the others are silent, which an encoder has less work with."""
CLICK_BEFORE_END_S = 0.5
"""Where the click is that shows how well audio and video end together."""


class GeneratedSound:
    """Noise and pauses of any length, made when they are read, with a click before the end."""

    layout = ""
    channels = 1

    def __init__(self, num_samples: int, rate_hz: int, *, is_growing: bool = False) -> None:
        """Make a sound.

        Args:
            num_samples: Its length.
            rate_hz: Samples a second.
            is_growing: Whether nobody knows the length before the end.
        """
        self.rate_hz = rate_hz
        self.name = "generated sound"
        self._total = num_samples
        self._is_known = not is_growing
        self._is_growing = is_growing
        generator = np.random.default_rng(0)
        noise = generator.standard_normal((1, _BLOCK_SAMPLES)) * _SPEECH_LEVEL
        self._noise = noise.astype(np.float32)
        self._silence = np.zeros_like(self._noise)
        self.click_sample = num_samples - round(CLICK_BEFORE_END_S * rate_hz)

    def __str__(self) -> str:
        return self.name

    @property
    def num_samples(self) -> int | None:
        """Its length, as far as it is known."""
        return self._total if self._is_known else None

    @property
    def identity(self) -> str | None:
        """What distinguishes it; nothing does while it grows."""
        return None if self._is_growing else f"generated {self._total} {self.rate_hz}"

    def has_sample(self, index: int) -> bool:
        """Return whether there is a sample ``index``; it is there at once."""
        if index >= self._total:
            self._is_known = True
        return index < self._total

    def blocks(self) -> Iterator[NDArray[np.float32]]:
        """Yield all samples, ``(1, n)`` float32."""
        for start in range(0, self._total, _BLOCK_SAMPLES):
            is_noise = start // _BLOCK_SAMPLES % _NOISE_EVERY == 0
            block = (self._noise if is_noise else self._silence)[:, : self._total - start]
            at = self.click_sample - start
            if 0 <= at < block.shape[1]:
                block = block.copy()
                block[0, at] = _CLICK_LEVEL
            yield block
        self._is_known = True


class CheapFrames:
    """A chunk source that reads the analysed audio and returns frames from a short stock."""

    def __init__(
        self,
        size_px: tuple[int, int],
        audio: SampleReader | None,
        fingerprint: str,
        *,
        is_noise: bool = False,
    ) -> None:
        """Draw the stock.

        Args:
            size_px: Height and width of the frames.
            audio: Read up to the end of each chunk; ``None`` reads nothing.
            fingerprint: Of the session.
            is_noise: Whether frames are noise, which takes much room in a video.
        """
        self.chunk = ChunkConfig()
        self.fingerprint = fingerprint
        self._audio = audio
        shape = (self.chunk.num_new_frames, *size_px, 3)
        generator = torch.Generator().manual_seed(0)
        if is_noise:
            self._stock = torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)
        else:
            grey = torch.arange(shape[0]) * 8 % 256
            self._stock = grey.to(torch.uint8)[:, None, None, None].expand(shape).contiguous()
        self._motion = torch.zeros(1, 3, self.chunk.num_motion_frames, *size_px)

    def generate(self, span: ChunkSpan, state: SessionState) -> Iterator[FrameGroup]:
        """Yield a chunk in one group, ``(F, H, W, 3)`` uint8; see :class:`.ChunkSource`."""
        if self._audio is not None:
            per_frame = self.chunk.samples_per_frame
            first, stop = span.shown.start, span.shown.stop
            self._audio.read(first * per_frame, stop * per_frame)
        after = SessionState(state.chunk_index + 1, self._motion, state.fingerprint)
        yield FrameGroup(self._stock, after)


class CheapEngine:
    """Renders any plan with :class:`CheapFrames`."""

    @contextmanager
    def open(
        self, plan: RenderPlan, audio: SampleReader, events: RenderEvents
    ) -> Iterator[ChunkSource]:
        """Return the source; see :class:`.Engine`."""
        del events
        yield CheapFrames(plan.request.size_px, audio, plan.fingerprint())
