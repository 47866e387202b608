"""Whether a model's faces move as its prompt asks, against drawings that do.

Axis legend: B sessions, F frames, H W pixels.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import torch
from torch import Generator, Tensor

from ..config import AvatarConfig, SamplingConfig
from ..weights.load import AvatarModels
from .data.corpus_file import Corpus
from .data.faces import render, sample_motion
from .data.head import EYES_SHUT, measure_head
from .data.motion import LIVELINESS
from .data.prompts import Mood, mood_prompt
from .faces_source import random_mouths
from .long_runs import Cast

Movement = dict[str, dict[str, float]]
"""For each liveliness, ``sway``: root mean square of the head's way from its place in the portrait,
as a share of the picture's height; ``eyes_shut``: share of the frames with shut eyes."""


def evaluate_movement(
    models: AvatarModels, corpus: Corpus, sampling: SamplingConfig, chunks: int, cast: Cast
) -> Movement:
    """Measure how far heads move and how often eyes are shut, by what the prompt asks for.

    Args:
        models: The model.
        corpus: Its held-out part speaks.
        sampling: How to denoise.
        chunks: Length of each run.
        cast: Whose faces.

    Returns:
        Means over faces.
    """
    found: Movement = {}
    for number, liveliness in enumerate(LIVELINESS):
        prompt = mood_prompt(Mood(0, number))
        told = replace(models, config=replace(models.config, prompt=prompt))
        sessions, portraits = cast.talking(told, corpus, sampling)
        found[liveliness] = _measure(sessions.play(chunks), portraits)
    return found


def measure_drawn_movement(config: AvatarConfig, chunks: int, cast: Cast) -> Movement:
    """Measure the same on drawings of these faces that move as the prompts ask."""
    length = config.chunk.num_new_frames
    portraits = cast.portraits(config.size_px)
    return {
        liveliness: _measure(
            _drawn(cast, chunks * length, number, config.size_px).split(length, dim=1), portraits
        )
        for number, liveliness in enumerate(LIVELINESS)
    }


def _measure(chunks: Iterable[Tensor], portraits: Tensor) -> dict[str, float]:
    """Return the measures of chunks ``(B, F, 3, H, W)``."""
    heads = [measure_head(frames, portraits) for frames in chunks]
    x, y, eyes = (
        torch.cat([getattr(head, name) for head in heads], dim=1) for name in ("x", "y", "eyes")
    )
    return {
        "sway": float((x.square() + y.square()).mean(dim=1).sqrt().mean()),
        "eyes_shut": float((eyes < EYES_SHUT).float().mean()),
    }


def _drawn(cast: Cast, frames: int, liveliness: int, size_px: tuple[int, int]) -> Tensor:
    """Draw the cast in movement, ``(B, F, 3, H, W)`` in ``[0, 1]``."""
    generator = Generator().manual_seed(cast.first_face)
    identity = cast.identities()
    motion = sample_motion(cast.faces, frames, generator, liveliness)
    motion = motion.with_mouth(random_mouths(cast.faces, frames, generator))
    each = [
        render(identity.pick([face]), type(motion)(*(v[[face]] for v in motion)), size_px)
        for face in range(cast.faces)
    ]
    return torch.cat(each)
