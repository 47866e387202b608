"""A portrait that talks: the chunk source made of the real networks.

Axis legend: F pixel frames, W window, S hidden layers, A audio features, H W pixels.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..config import ChunkConfig, SamplingConfig
from ..geometry import ChunkSpan
from ..media.audio.source import SampleReader
from ..media.audio.windows import window_features
from ..media.image.portrait import to_pictures
from ..models.encoders.audio import AudioEncoder
from .chunk import BeforeStep, ChunkModel, generate_chunk
from .reference_track import ReferenceTrack
from .session import ChunkFrames
from .state import SessionState


@dataclass(frozen=True)
class TalkingAvatar:
    """Hears a window of sound, then denoises and decodes the chunk in its middle."""

    model: ChunkModel
    references: ReferenceTrack
    sound: SampleReader
    sampling: SamplingConfig
    audio_window: int
    """Audio frames around each video frame."""
    fingerprint: str
    before_step: BeforeStep | None = None

    @property
    def chunk(self) -> ChunkConfig:
        """Arithmetic of a chunk."""
        return self.model.chunk

    def generate(self, span: ChunkSpan, state: SessionState) -> ChunkFrames:
        """Yield ``(f, H, W, 3)`` uint8 frames of the chunk; see :class:`ChunkSource`."""
        groups = generate_chunk(
            self.model,
            self.references.at(span),
            self.hear(span),
            state,
            self.sampling,
            before_step=self.before_step,
        )
        while True:
            try:
                frames = next(groups)
            except StopIteration as end:
                next_state: SessionState = end.value
                return next_state
            yield to_pictures(frames)

    @torch.no_grad()
    def hear(self, span: ChunkSpan) -> Tensor:
        """Return what the model hears in a chunk, ``(1, F, W, S, A)``."""
        step = self.chunk.samples_per_frame
        samples = self.sound.read(span.window.start * step, span.window.stop * step)
        with self.model.networks.use(AudioEncoder) as encoder:
            weight = next(encoder.parameters())
            features = encoder(torch.from_numpy(samples)[None].to(weight.device), len(span.window))
        heard = span.heard_in_window
        # Gathered up to the window's end, so that the last heard frame keeps what follows it.
        windows = window_features(
            features[0], heard.start, len(span.window), self.audio_window // 2
        )
        return windows[None, : len(heard)]
