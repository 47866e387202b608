"""Whether a model's faces move as its prompt asks, against drawings that do.

Axis legend: B sessions, F frames, H W pixels.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import torch
from torch import Generator, Tensor

from ..config import AvatarConfig, SamplingConfig
from ..weights.load import AvatarModels
from .data.corpus_file import Corpus
from .data.faces import render, sample_motion
from .data.head import find_heads, measure_open_eyes
from .data.motion import LIVELINESS
from .data.prompts import Mood, mood_prompt
from .faces_source import random_mouths
from .long_runs import Cast

_CHUNKS = 8
"""Length of a run, 9 s of the tiny model."""

Movement = dict[str, dict[str, float]]
"""For each liveliness, ``sway``: root mean square of the head's way from its place in the portrait,
as a share of the picture's height; ``eyes_shut``: share of the frames with shut eyes."""


def evaluate_movement(
    models: AvatarModels, corpus: Corpus, sampling: SamplingConfig, cast: Cast
) -> Movement:
    """Measure how far heads move and how often eyes are shut, by what the prompt asks for.

    Args:
        models: The model.
        corpus: Its held-out part speaks.
        sampling: How to denoise.
        cast: Whose faces.

    Returns:
        Means over faces.
    """
    found: Movement = {}
    for number, liveliness in enumerate(LIVELINESS):
        prompt = mood_prompt(Mood(0, number))
        told = replace(models, config=replace(models.config, prompt=prompt))
        sessions, portraits = cast.talking(told, corpus, sampling)
        shut = cast.portraits(told.config.size_px, blink=1.0).to(portraits)
        found[liveliness] = _measure(sessions.play(_CHUNKS), portraits, shut)
    return found


def measure_drawn_movement(config: AvatarConfig, cast: Cast, device: torch.device) -> Movement:
    """Measure the same on drawings of these faces that move as the prompts ask."""
    portraits, shut = (cast.portraits(config.size_px, blink).to(device) for blink in (0.0, 1.0))
    return {
        liveliness: _measure(_drawn(config, cast, number, device), portraits, shut)
        for number, liveliness in enumerate(LIVELINESS)
    }


def _measure(chunks: Iterator[Tensor], portraits: Tensor, shut: Tensor) -> dict[str, float]:
    """Return the measures of chunks ``(B, F, 3, H, W)``."""
    ways, eyes = [], []
    for frames in chunks:
        heads = find_heads(frames, portraits)
        ways.append(heads.x.square() + heads.y.square())
        eyes.append(measure_open_eyes(frames, heads, portraits, shut) < 0)
    return {
        "sway": float(torch.cat(ways, dim=1).mean(dim=1).sqrt().mean()),
        "eyes_shut": float(torch.cat(eyes, dim=1).float().mean()),
    }


def _drawn(
    config: AvatarConfig, cast: Cast, liveliness: int, device: torch.device
) -> Iterator[Tensor]:
    """Draw the cast in movement, as long as a run, chunk by chunk."""
    length = config.chunk.num_new_frames
    generator = Generator().manual_seed(cast.first_face)
    motion = sample_motion(cast.faces, _CHUNKS * length, generator, liveliness)
    motion = motion.with_mouth(random_mouths(cast.faces, _CHUNKS * length, generator)).to(device)
    identity = cast.identities().to(device)
    for first in range(0, _CHUNKS * length, length):
        yield render(identity, motion.frames(slice(first, first + length)), config.size_px)
