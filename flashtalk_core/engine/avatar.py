"""A portrait that talks: the chunk source made of the real networks.

Axis legend: K voices, F pixel frames, W window, S hidden layers, A audio features, H W pixels.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..config.chunk import ChunkConfig
from ..config.sampling import SamplingConfig
from ..geometry import ChunkSpan
from ..media.audio.source import SampleReader
from ..media.audio.windows import window_features
from ..media.pixels import to_images
from ..models.encoders.audio import AudioEncoder
from ..sampling.noise import NoiseAhead
from .chunk import ChunkModel, SpeakerPlaces, generate_chunk
from .events import NO_EVENTS, RenderEvents
from .reference import Reference
from .state import FrameGroup, SessionState


class References(Protocol):
    """The portrait, under the prompt of each chunk."""

    def at(self, span: ChunkSpan) -> Reference:
        """Return the reference of a chunk."""
        ...


@dataclass(frozen=True)
class TalkingAvatar:
    """Encodes a window of audio, then denoises and decodes the chunk in its middle."""

    model: ChunkModel
    references: References
    audio: SampleReader
    sampling: SamplingConfig
    audio_window: int
    """Audio frames around each video frame."""
    fingerprint: str
    events: RenderEvents = NO_EVENTS
    """Gets the steps and stages of each chunk."""
    speakers: SpeakerPlaces | None = None
    """Where two speakers are; ``None`` with one."""
    noise: NoiseAhead = field(default_factory=NoiseAhead)
    """Draws the noise of each chunk."""

    @property
    def chunk(self) -> ChunkConfig:
        """Arithmetic of a chunk."""
        return self.model.chunk

    @property
    def num_voices(self) -> int:
        """Speakers."""
        return 1 if self.speakers is None else 2

    def generate(self, span: ChunkSpan, state: SessionState) -> Iterator[FrameGroup]:
        """Yield ``(f, H, W, 3)`` uint8 frames of the chunk; see :class:`ChunkSource`."""
        reference, windows = self.references.at(span), self.encode_audio(span)
        self.events.stage("audio encoder")
        draw_noise = self.noise.of_chunk(self.sampling.seed, state.chunk_index)
        for group in generate_chunk(
            self.model,
            reference,
            windows,
            state,
            self.sampling,
            events=self.events,
            draw_noise=draw_noise,
        ):
            images = to_images(group.frames)
            self.events.stage("to host")
            yield replace(group, frames=images)

    @torch.no_grad()
    def encode_audio(self, span: ChunkSpan) -> Tensor:
        """Return the audio windows of a chunk, ``(K, F, W, S, A)``.

        K is 1, or two speakers, and with regions silence for what is outside of them.
        """
        step = self.chunk.samples_per_frame
        samples = np.atleast_2d(self.audio.read(span.window.start * step, span.window.stop * step))
        if self.speakers is not None and self.speakers.routing == "regions":
            samples = np.concatenate([samples, np.zeros_like(samples[:1])])
        with self.model.networks.acquire(AudioEncoder) as encoder:
            return torch.cat([self._encode(encoder, voice, span) for voice in samples])

    def _encode(
        self, encoder: AudioEncoder, samples: NDArray[np.float32], span: ChunkSpan
    ) -> Tensor:
        """Return the windows of one voice; one at a time, so that each is as if alone."""
        device = next(encoder.parameters()).device
        features = encoder(torch.from_numpy(samples)[None].to(device), len(span.window))
        audio = span.audio_in_window
        # Gathered up to the window's end, so that the last frame keeps what follows it.
        windows = window_features(
            features[0], audio.start, len(span.window), self.audio_window // 2
        )
        return windows[None, : len(audio)]
