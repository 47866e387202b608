"""Movement that sound does not tell, coded in the noise that a clip is denoised from.

Nothing that the transformer is given says when a head sways or eyes blink. Trained with noise of
its own for every clip, it learns their average in the first of few steps: it holds heads and keeps
eyes open. Here the noise of a clip is drawn together with its movement. A few of the noise's sums
are replaced by numbers that follow from the clip's curves and are unit normal and independent, as
the sums are: sampling draws plain noise as ever, and its sums then say how to move.

Codes of a curve of sway are what its values at the end of either half of the chunk add to what the
motion frames tell. That of a blink says whether one starts in a latent frame, and in which frame of
it.

Axis legend: B clips, N codes of a clip, T latent frames, m motion latents, h w latent cells.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from flashtalk_core.geometry import num_latent_frames

from ..drawn_faces.motion import (
    BLINK_EVERY_S,
    FRAME_RATE_HZ,
    NUM_SWAY_CURVES,
    MotionCurves,
    sway_correlation,
)

_STRIDE = 4
"""Frames of a latent frame; the first has one."""
_BLINK_SHARE = _STRIDE / (BLINK_EVERY_S * FRAME_RATE_HZ)
"""Share of the latent frames in which a blink starts."""
_BLINK_CHANNEL = NUM_SWAY_CURVES


class CodeLayout(NamedTuple):
    """Where codes lie in the noise of a chunk."""

    num_latents: int
    """T."""
    num_motion: int
    """m; their noise is never seen and has no codes."""

    @classmethod
    def of_frames(cls, num_frames: int, num_motion_frames: int) -> CodeLayout:
        """Return the layout of chunks of so many frames, motion frames included."""
        return cls(num_latent_frames(num_frames), num_latent_frames(num_motion_frames))

    @property
    def num_codes(self) -> int:
        """N."""
        return len(self._halves()) * NUM_SWAY_CURVES + self.num_latents - self.num_motion

    def _halves(self) -> list[slice]:
        """Return both halves of the new latents; a single latent is a whole."""
        start, end = self.num_motion, self.num_latents
        middle = (start + end) // 2
        return [
            slice(first, last) for first, last in ((start, middle), (middle, end)) if last > first
        ]

    def key_frames(self) -> tuple[int, ...]:
        """Return the last frame of each half."""
        return tuple(_STRIDE * (half.stop - 1) for half in self._halves())

    def places(self) -> list[tuple[slice, slice]]:
        """Return channels and latents of each group of codes, one code a channel."""
        sway = slice(0, NUM_SWAY_CURVES)
        blink = slice(_BLINK_CHANNEL, _BLINK_CHANNEL + 1)
        latents = range(self.num_motion, self.num_latents)
        halves = [(sway, half) for half in self._halves()]
        return halves + [(blink, slice(latent, latent + 1)) for latent in latents]


def movement_codes(curves: MotionCurves, layout: CodeLayout, *, single: bool) -> Tensor:
    """Return the codes of clips, unit normal over clips, ``(B, N)`` float32.

    Args:
        curves: Of whole clips; on the CPU.
        layout: Of their noise.
        single: Whether the model is shown one motion latent alone, so that it knows where a head
            is but not where it goes.

    Draws from torch's generator: a code without a blink is any number that has none.
    """
    last_motion = _STRIDE * (layout.num_motion - 1)
    known = (0,) if single or not last_motion else (0, last_motion)
    sway = _innovations(curves.sway, known, layout.key_frames())
    return torch.cat([*sway.unbind(-1), _blink_codes(curves.blink, layout)], dim=1)


def _innovations(sway: Tensor, known: tuple[int, ...], keys: tuple[int, ...]) -> Tensor:
    """Return what values at ``keys`` add to those at ``known``, ``(B, 10, keys)``."""
    frames = torch.tensor([*known, *keys], dtype=torch.float64)
    covariance = sway_correlation((frames[:, None] - frames).abs() / FRAME_RATE_HZ)
    whitening = torch.linalg.inv(torch.linalg.cholesky(covariance)).to(sway)
    white = sway[..., frames.long()] @ whitening.T
    return white[..., len(known) :].transpose(0, 1)


def _blink_codes(blink: Tensor, layout: CodeLayout) -> Tensor:
    """Return ``(B, T - m)``: the highest of normal values where a blink starts."""
    starts = (blink[:, 1:] > 0) & (blink[:, :-1] == 0)
    starts = starts.unflatten(1, (-1, _STRIDE))[:, layout.num_motion - 1 :]
    frame = starts.float().argmax(dim=-1)
    chance = torch.rand(frame.shape)
    none = chance * (1 - _BLINK_SHARE)
    some = 1 - _BLINK_SHARE * (1 - (frame + chance) / _STRIDE)
    return torch.special.ndtri(torch.where(starts.any(dim=-1), some, none).clamp(1e-6, 1 - 1e-6))


def with_codes(noise: Tensor, codes: Tensor, layout: CodeLayout) -> Tensor:
    """Return noise whose sums are the codes.

    Args:
        noise: Unit normal, ``(B, 16, T, h, w)`` float32.
        codes: ``(B, N)``; if unit normal, so is the result.
        layout: Of the noise.
    """
    coded, missing = noise.clone(), codes - read_codes(noise, layout)
    for (channels, latents), values in zip(layout.places(), _grouped(missing, layout), strict=True):
        part = coded[:, channels, latents]
        part += _pattern(part) * values[..., None, None, None]
    return coded


def read_codes(noise: Tensor, layout: CodeLayout) -> Tensor:
    """Return the codes ``(B, N)`` of noise ``(B, 16, T, h, w)``, unit normal if it is."""
    parts = [noise[:, channels, latents] for channels, latents in layout.places()]
    return torch.cat([(part * _pattern(part)).sum(dim=(2, 3, 4)) for part in parts], dim=1)


def _grouped(codes: Tensor, layout: CodeLayout) -> tuple[Tensor, ...]:
    sizes = [channels.stop - channels.start for channels, _ in layout.places()]
    return codes.split(sizes, dim=1)


def _pattern(part: Tensor) -> Tensor:
    """Return a chequered ``(t, h, w)`` of norm 1, of which images have next to nothing."""
    frames, height, width = part.shape[2:]
    rows, columns = (torch.arange(n, device=part.device) for n in (height, width))
    sign = 1 - 2 * ((rows[:, None] + columns) % 2)
    return (sign.to(part) / (frames * height * width) ** 0.5).expand(frames, -1, -1)
