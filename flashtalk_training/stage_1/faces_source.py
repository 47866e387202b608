"""Endless drawn clips for the autoencoder, rendered where they are needed.

Axis legend: B clips, F frames, H W pixels.
"""

from __future__ import annotations

import math

import torch
from torch import Generator, Tensor

from ..drawn_faces.faces import FaceIdentity, FaceMotion, render, sample_identity, sample_motion
from ..drawn_faces.motion import FRAME_RATE_HZ

_POOL = 512
_SPOKEN_SHARE = 0.75
"""Share of clips whose mouths speak, where there is speech; the others swing as no speech does."""


def random_mouths(batch: int, frames: int, generator: Generator) -> Tensor:
    """Draw mouths that open and close like syllables, ``(B, F, 6)``; a third stay shut a while."""
    time_s = torch.arange(frames) / FRAME_RATE_HZ
    shape = (batch, 1)
    rate_hz = 2 + 4 * torch.rand(shape, generator=generator)
    phase = 2 * math.pi * torch.rand(shape, generator=generator)
    swell = torch.sin(2 * math.pi * rate_hz * time_s + phase)
    size = 0.3 + 0.8 * torch.rand(shape, generator=generator)
    silent = (torch.rand(shape, generator=generator) < 0.15).float()
    opening = (swell * size + 0.15).clamp(0, 1) * (1 - silent)
    slow = torch.sin(2 * math.pi * rate_hz / 2.7 * time_s + 2.1 * phase)
    width, rounded = slow * 0.9, (-slow).clamp(min=0)
    closure = (opening == 0).float() * (1 - silent)
    teeth = torch.rand(shape, generator=generator).expand_as(opening)
    tongue = torch.rand(shape, generator=generator).expand_as(opening)
    return torch.stack([opening, width, rounded, closure, teeth, tongue], dim=-1)


def spoken_mouths(tracks: Tensor, mouths: Tensor, share: float, generator: Generator) -> Tensor:
    """Replace a share of ``mouths`` ``(B, F, 6)`` by stretches of ``tracks`` ``(N, 6)``."""
    batch, frames = mouths.shape[:2]
    first = torch.randint(len(tracks) - frames + 1, (batch, 1), generator=generator)
    spoken = tracks[first + torch.arange(frames)]
    chosen = torch.rand(batch, 1, 1, generator=generator) < share
    return torch.where(chosen, spoken, mouths)


class FaceSource:
    """Batches of clips of new faces, drawn in pools so that the CPU never holds the GPU up."""

    def __init__(
        self,
        device: torch.device,
        seed: int,
        size_px: tuple[int, int],
        tracks: Tensor | None = None,
    ) -> None:
        """Prepare a source.

        Args:
            device: Where clips are drawn.
            seed: Of faces and movement.
            size_px: Height and width.
            tracks: Mouths of speech, ``(N, 6)`` on the CPU; ``None`` draws all mouths at random.
        """
        self._device = device
        self._tracks = tracks
        self._generator = torch.Generator().manual_seed(seed)
        self._size_px = size_px
        self._render = torch.compile(render, dynamic=False) if device.type == "cuda" else render
        self._pool: tuple[FaceIdentity, FaceMotion] | None = None
        self._used = 0

    @torch.no_grad()
    def draw(self, batch: int, frames: int) -> Tensor:
        """Return new clips, ``(B, 3, F, H, W)`` float32 in ``[-1, 1]``."""
        count = max(_POOL, batch)
        pool_frames = None if self._pool is None else self._pool[1].x.shape[1]
        if pool_frames != frames or self._used + batch > count:
            self._fill(count, frames)
        assert self._pool is not None
        rows = slice(self._used, self._used + batch)
        self._used += batch
        identity, motion = self._pool[0].pick(rows), self._pool[1].pick(rows)
        return self._render(identity, motion, self._size_px).transpose(1, 2) * 2 - 1

    def _fill(self, count: int, frames: int) -> None:
        generator = self._generator
        liveliness = torch.randint(3, (count,), generator=generator)
        expression = torch.randint(3, (count,), generator=generator)
        identity = sample_identity(count, generator)
        motion = sample_motion(count, frames, generator, liveliness, expression)
        mouths = random_mouths(count, frames, generator)
        if self._tracks is not None:
            mouths = spoken_mouths(self._tracks, mouths, _SPOKEN_SHARE, generator)
        motion = motion.with_mouth(mouths)
        self._pool = (identity.to(self._device), motion.to(self._device))
        self._used = 0
