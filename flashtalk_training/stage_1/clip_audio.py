"""Audio features of the clips of a bank, as a file's chunks hear them and as live ones do.

A file is analysed in a window that reaches beyond a chunk's end, a live session in one that ends
with the chunk. So a live chunk of each length has features of its own, while in a file those of a
short chunk are the first ones of a long chunk.

Axis legend: N clips, B samples, F pixel frames, S hidden layers, M audio features.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor

from flashtalk_core.config.avatar import AvatarConfig
from flashtalk_core.config.chunk import ChunkConfig
from flashtalk_core.live.chunks import live_chunk
from flashtalk_core.models.encoders.audio import AudioEncoder

from .audio_windows import Windows

_CONTEXT = 2
"""Audio frames on either side of a frame of the clip."""


class ClipAudio:
    """Features of N clips in half precision."""

    def __init__(
        self,
        config: AvatarConfig,
        count: int,
        live_lengths: Sequence[int],
        device: torch.device,
    ) -> None:
        """Allocate.

        Args:
            config: The model.
            count: N.
            live_lengths: Frames of the live chunks that are kept, motion frames included.
            device: Where features live.
        """
        self._file = config.chunk
        self._live = {length: live_chunk(config.chunk, length) for length in live_lengths}
        dit = config.dit
        empty = partial(torch.zeros, device=device, dtype=torch.float16)
        self._features = {
            chunk: empty(
                count, chunk.num_frames + 2 * _CONTEXT, dit.audio_blocks, dit.audio_channels
            )
            for chunk in (self._file, *self._live.values())
        }

    @property
    def drawn(self) -> ChunkConfig:
        """Arithmetic of windows that hold those of all chunks, around the same first frame."""
        lookback = max(chunk.audio_lookback_frames for chunk in self._features)
        longer = lookback - self._file.audio_lookback_frames
        return replace(
            self._file,
            audio_lookback_frames=lookback,
            audio_context_frames=self._file.audio_context_frames + longer,
        )

    def store(self, rows: slice, encoder: AudioEncoder, windows: Windows) -> None:
        """Analyse windows drawn as :attr:`drawn` says, and keep them as ``rows``."""
        step, lookback = self._file.samples_per_frame, self.drawn.audio_lookback_frames
        for chunk, kept in self._features.items():
            first, length = lookback - chunk.audio_lookback_frames, chunk.audio_context_frames
            samples = windows.samples[:, first * step : (first + length) * step]
            features = encoder(samples, length)
            start = chunk.audio_lookback_frames - chunk.num_motion_frames
            frames = torch.arange(
                start - _CONTEXT, start + chunk.num_frames + _CONTEXT, device=features.device
            )
            # Nothing follows the last frame of a live window, which is repeated as when rendering.
            kept[rows] = features[:, frames.clamp(max=length - 1)].half()

    def read(self, rows: Tensor, num_frames: int, is_live: Tensor | None) -> Tensor:
        """Return the audio windows of chunks, ``(B, F, 5, S, M)`` float32.

        Args:
            rows: Clips, ``(B,)`` int64.
            num_frames: F, at most that of a clip.
            is_live: Whether each of them hears nothing after its end, ``(B,)`` bool; ``None`` for
                none of them.
        """
        around = torch.arange(2 * _CONTEXT + 1, device=rows.device)
        places = torch.arange(num_frames, device=rows.device)[:, None] + around
        of_file = self._features[self._file][rows][:, places].float()
        if is_live is None:
            return of_file
        live = self._features[self._live[num_frames]][rows][:, places].float()
        return torch.where(is_live.view(-1, 1, 1, 1, 1), live, of_file)
