"""Whether eyes are drawn whole: the worst frame of long sessions against the mean.

Axis legend: B sessions, F frames of a chunk, H W pixels.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from flashtalk_core.config.sampling import SamplingConfig
from flashtalk_core.weights.load import AvatarModels

from ..drawn_faces.eyes import EyeStates, draw_eye_states, measure_eye_error
from ..drawn_faces.head import find_heads
from ..drawn_faces.motion import LIVELINESS
from ..speech.corpus_file import Corpus
from ..speech.prompts import Mood, mood_prompt
from ..stage_2.rollout import Portraits, Roller
from .batched_sessions import HeldOutFaces
from .movement import draw_moving

_LIVELY = LIVELINESS.index("lively")
"""The mood in which eyes smear most."""
_DRAWN_CHUNKS = 20
"""Length of the drawings, if a run is not shorter."""

EyeErrors = dict[str, float]
"""``mean`` and ``worst`` of the error over all frames, ``worst_over_mean``, and ``worst_chunk``,
counted from 1."""


def evaluate_eyes(
    models: AvatarModels,
    corpus: Corpus,
    sampling: SamplingConfig,
    chunks: int,
    held_out: HeldOutFaces,
) -> dict[str, EyeErrors]:
    """Measure how far the eyes of lively faces are from any that would be drawn.

    Args:
        models: The model.
        corpus: Its held-out part speaks.
        sampling: How to denoise.
        chunks: How many.
        held_out: Whose faces.

    Returns:
        Errors of the ``model``; of lively drawings whose chunks went through the ``autoencoder``,
        as a faultless transformer would show them; and of these as they were ``drawn``.
    """
    prompted = replace(models, config=replace(models.config, prompt=mood_prompt(Mood(0, _LIVELY))))
    sessions, portraits = held_out.talking(prompted, corpus, sampling)
    identities = held_out.identities().to(portraits.device)
    states = draw_eye_states(held_out.style, identities, models.config.size_px)
    made = [chunk_error(frames, portraits, states) for frames in sessions.play(chunks)]
    few = min(chunks, _DRAWN_CHUNKS)
    drawn, shown = zip(
        *(
            tuple(chunk_error(frames, portraits, states) for frames in pair)
            for pair in _drawings(models, sampling, held_out, portraits, few)
        ),
        strict=True,
    )
    return {
        "model": summarise(made),
        "autoencoder": summarise(shown),
        "drawn": summarise(drawn),
    }


@torch.no_grad()
def _drawings(
    models: AvatarModels,
    sampling: SamplingConfig,
    held_out: HeldOutFaces,
    portraits: Tensor,
    chunks: int,
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield chunks of lively drawings, and what the autoencoder and the match of colours show."""
    config, weight = models.config, next(models.vae.parameters())
    roller = Roller.around(models.vae, config, sampling)
    encoded = Portraits.encode(models.vae, portraits.to(weight) * 2 - 1, sampling.colour_area)
    length = config.chunk.num_frames
    for frames in draw_moving(config, held_out, _LIVELY, weight.device, length, chunks):
        latent = roller.encode(frames.transpose(1, 2) * 2 - 1)
        yield frames, (roller.show(latent, encoded).transpose(1, 2) + 1) / 2


def chunk_error(frames: Tensor, portraits: Tensor, states: EyeStates) -> Tensor:
    """Return mean and largest error of a chunk ``(B, F, 3, H, W)`` in ``[0, 1]``, ``(2,)``."""
    error = measure_eye_error(frames, find_heads(frames, portraits), states)
    return torch.stack([error.mean(), error.max()])


def summarise(chunks: Sequence[Tensor]) -> EyeErrors:
    """Return the errors of all chunks, each as :func:`chunk_error` gives them."""
    means, peaks = torch.stack(list(chunks)).unbind(dim=1)
    mean, worst = float(means.mean()), float(peaks.max())
    return {
        "mean": mean,
        "worst": worst,
        "worst_over_mean": worst / mean,
        "worst_chunk": int(peaks.argmax()) + 1,
    }
