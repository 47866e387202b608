"""Two speakers in one image by regions: each token hears the audio of the mask it is in.

Axis legend: L tokens that are held here, C width, N heads, D head dim, T latent frames, A audio
tokens a frame, K classes (speaker 1, speaker 2, background), R tokens of a latent frame, r those
of a class that are held here, H W pixels.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from .layout import Grid, TokenLayout

Hear = Callable[[Tensor, tuple[Tensor, Tensor]], Tensor]
"""Attends from tokens ``(T * r, C)``, frame by frame, to keys and values ``(T, A, N, D)``; returns
the tokens' shape."""


@dataclass(frozen=True)
class SpeakerRegions:
    """Which tokens of each latent frame are in which mask."""

    positions: tuple[Tensor, ...]
    """For each class, those among the tokens of a frame that are held here, ``(r,)`` int64."""


def token_masks(masks: Tensor, grid: Grid) -> Tensor:
    """Reduce reference masks at pixel size ``(K, H, W)`` to ``(K, R)`` float zeros and ones."""
    small = F.interpolate(masks[None].float(), size=grid[1:], mode="nearest")[0]
    return (small > 0).flatten(1).float()


def find_regions(
    masks: Tensor, grid: Grid, layout: TokenLayout, device: torch.device
) -> SpeakerRegions:
    """Return which tokens are in which mask.

    Args:
        masks: ``(K, H, W)``, on the CPU, so that a GPU need not be waited for.
        grid: Tokens along time, height and width.
        layout: Which of them are held here.
        device: Where they are.
    """
    classes = token_masks(masks, grid).argmax(dim=0).repeat(grid[0])
    held = layout.scatter(classes[None], grid)[0]
    frame = held[: len(held) // grid[0]]
    return SpeakerRegions(
        tuple((frame == number).nonzero()[:, 0].to(device) for number in range(len(masks)))
    )


def hear_regions(
    hear: Hear, x: Tensor, audio: tuple[Tensor, Tensor], regions: SpeakerRegions
) -> Tensor:
    """Attend from each token to the audio of its class.

    Args:
        hear: Attends to the audio of one class.
        x: Tokens of one video, frame by frame, ``(L, C)``.
        audio: Keys and values, ``(K * T, A, N, D)`` each, class by class.
        regions: Which tokens are in which class.

    Returns:
        ``(L, C)``.
    """
    num_classes = len(regions.positions)
    num_frames = audio[0].shape[0] // num_classes
    frames = x.unflatten(0, (num_frames, len(x) // num_frames))
    out = torch.empty_like(frames)
    pairs = zip(audio[0].chunk(num_classes), audio[1].chunk(num_classes), strict=True)
    for where, heard in zip(regions.positions, pairs, strict=True):
        if len(where):
            part = frames[:, where]
            out[:, where] = hear(part.flatten(0, 1), heard).view_as(part)
    return out.flatten(0, 1)
