"""How a drawn face moves: sway, blinks, gaze, expression, and the mouth."""

from __future__ import annotations

import math
from typing import NamedTuple, Self

import torch
from torch import Generator, Tensor

FRAME_RATE_HZ = 25
"""Frames a second; frame k shows the moment k / 25 s."""
MOUTH_CHANNELS = ("opening", "width", "round", "closure", "teeth", "tongue")
"""Last axis of a mouth track: all 0 to 1 but ``width``, which is -1 to 1."""
EXPRESSIONS = ("neutral", "smiling", "serious")
"""Expressions by number."""
LIVELINESS = ("still", "calm", "lively")
"""Amounts of movement by number."""

_SMILE = (0.22, 0.90, -0.35)
_BROW = (0.0, 0.25, -0.45)
_SWAY = (0.10, 0.45, 1.0)
_NUM_WAVES = 4
_SLOWEST_HZ, _RANGE_HZ, _POWER = 0.07, 0.63, 1.5
NUM_SWAY_CURVES = 10
"""Curves that a head and its features sway along."""
BLINK_EVERY_S = 3.3
"""Mean time from blink to blink."""


class FaceMotion(NamedTuple):
    """What changes from frame to frame; every field is ``(B, F)`` float32 but ``mouth``."""

    x: Tensor
    """Head to the right, in half-heights of the image."""
    y: Tensor
    """Head down."""
    roll: Tensor
    """Radians, clockwise."""
    scale: Tensor
    """Size of the head, about 1."""
    turn: Tensor
    """Turn to the right, -1 to 1: the features slide over the head."""
    nod: Tensor
    """Nod down, -1 to 1."""
    blink: Tensor
    """0 open to 1 shut."""
    gaze_x: Tensor
    gaze_y: Tensor
    brow: Tensor
    """-1 lowered to 1 raised."""
    smile: Tensor
    """-1 corners down to 1 corners up."""
    mouth: Tensor
    """``(B, F, 6)``, channels :data:`MOUTH_CHANNELS`."""

    def to(self, device: torch.device | str) -> Self:
        """Return the motion on ``device``."""
        return type(self)(*(value.to(device) for value in self))

    def frames(self, index: Tensor | slice | list[int]) -> Self:
        """Return the frames ``index`` of every face."""
        return type(self)(*(value[:, index] for value in self))

    def pick(self, index: Tensor | slice | list[int]) -> Self:
        """Return the faces ``index`` of the batch."""
        return type(self)(*(value[index] for value in self))

    def with_mouth(self, mouth: Tensor) -> Self:
        """Return the motion with another mouth track ``(B, F, 6)``."""
        return self._replace(mouth=mouth)


class MotionCurves(NamedTuple):
    """What movement is drawn from, whatever the mood."""

    sway: Tensor
    """``(10, B, F)`` of about unit deviation, independent of each other."""
    blink: Tensor
    """``(B, F)``, 0 open to 1 shut."""


def sample_motion(
    batch: int,
    frames: int,
    generator: Generator,
    liveliness: Tensor | int = 1,
    expression: Tensor | int = 0,
) -> FaceMotion:
    """Draw smooth natural movement with a closed mouth.

    Args:
        batch: Number of faces B.
        frames: Frames F at 25 a second.
        generator: CPU generator.
        liveliness: Index into :data:`LIVELINESS`, one or ``(B,)``.
        expression: Index into :data:`EXPRESSIONS`, one or ``(B,)``.

    Returns:
        Movement on the CPU; put the mouth in with :meth:`FaceMotion.with_mouth`.
    """
    return curves_motion(sample_curves(batch, frames, generator), liveliness, expression)


def sample_curves(batch: int, frames: int, generator: Generator) -> MotionCurves:
    """Draw the curves that :func:`curves_motion` makes movement of; see :func:`sample_motion`."""
    return MotionCurves(
        _waves(batch, frames, NUM_SWAY_CURVES, generator), _blinks(batch, frames, generator)
    )


def curves_motion(
    curves: MotionCurves, liveliness: Tensor | int = 1, expression: Tensor | int = 0
) -> FaceMotion:
    """Return movement along curves, as wide as ``liveliness`` asks for; see :func:`sample_motion`.

    Moods are put in here, curves are the same for all.
    """
    sway, (batch, frames) = curves.sway, curves.blink.shape
    mood = torch.as_tensor(expression).expand(batch).cpu()
    amount = torch.tensor(_SWAY)[torch.as_tensor(liveliness).expand(batch).cpu()][:, None]
    return FaceMotion(
        x=0.075 * amount * sway[0],
        y=0.035 * amount * sway[1],
        roll=0.11 * amount * sway[2],
        scale=1.0 + 0.035 * amount * sway[3],
        turn=(0.8 * amount * (0.7 * sway[0] + 0.5 * sway[4])).clamp(-1, 1),
        nod=(0.6 * amount * sway[5]).clamp(-1, 1),
        blink=curves.blink,
        gaze_x=0.4 * amount * sway[6],
        gaze_y=0.25 * amount * sway[7],
        brow=(torch.tensor(_BROW)[mood][:, None] + 0.5 * amount * sway[8]).clamp(-1, 1),
        smile=(torch.tensor(_SMILE)[mood][:, None] + 0.12 * amount * sway[9]).clamp(-1, 1),
        mouth=torch.zeros(batch, frames, len(MOUTH_CHANNELS)),
    )


def rest_motion(batch: int, frames: int = 1, expression: Tensor | int = 0) -> FaceMotion:
    """Return a face that looks straight ahead, eyes open and mouth closed."""
    mood = torch.as_tensor(expression).expand(batch).cpu()
    still = torch.zeros(batch, frames)
    fields = dict.fromkeys(FaceMotion._fields, still)
    fields["scale"] = still + 1.0
    fields["brow"] = still + torch.tensor(_BROW)[mood][:, None]
    fields["smile"] = still + torch.tensor(_SMILE)[mood][:, None]
    fields["mouth"] = torch.zeros(batch, frames, len(MOUTH_CHANNELS))
    return FaceMotion(**fields)


def sway_correlation(delay_s: Tensor) -> Tensor:
    """Return how much a curve of sway is correlated with itself ``delay_s`` later, any shape."""
    evenly = (torch.arange(1000, dtype=delay_s.dtype) + 0.5) / 1000
    return (2 * math.pi * _frequency_hz(evenly) * delay_s[..., None]).cos().mean(dim=-1)


def _frequency_hz(share: Tensor) -> Tensor:
    return _SLOWEST_HZ + _RANGE_HZ * share**_POWER


def _waves(batch: int, frames: int, curves: int, generator: Generator) -> Tensor:
    """Return ``(curves, B, F)`` smooth curves of about unit deviation."""
    shape = (curves, batch, _NUM_WAVES, 1)
    frequency_hz = _frequency_hz(torch.rand(shape, generator=generator))
    phase = 2 * math.pi * torch.rand(shape, generator=generator)
    time_s = torch.arange(frames) / FRAME_RATE_HZ
    waves = torch.sin(2 * math.pi * frequency_hz * time_s + phase)
    return waves.sum(dim=2) * math.sqrt(2 / _NUM_WAVES)


def _blinks(batch: int, frames: int, generator: Generator) -> Tensor:
    """Return ``(B, F)`` blinks of about a fifth of a second, two to five seconds apart."""
    duration_s = frames / FRAME_RATE_HZ
    gaps = 1.6 + 3.4 * torch.rand(batch, int(duration_s / 1.6) + 3, generator=generator)
    moments = gaps.cumsum(dim=1) - 5.0 * torch.rand(batch, 1, generator=generator)
    time_s = torch.arange(frames) / FRAME_RATE_HZ
    distance = (time_s[None, :, None] - moments[:, None, :]).abs().amin(dim=2)
    return (1.9 - distance / 0.085).clamp(0.0, 1.0)
