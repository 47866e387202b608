"""Why a chunk's join shows: the change across it, told apart by cause.

The last frame before a join is shown once, and drawn again as the last motion frame of the next
chunk, hidden. So the change to the first new frame is made of two: from the shown frame to the same
one drawn again, which the autoencoder and the match of colours cost, and from there on, which is
one frame's movement if the transformer goes on smoothly.

Axis legend: B sessions, F frames of a chunk, M motion frames, H W pixels.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from flashtalk_core.config.sampling import SamplingConfig
from flashtalk_core.weights.load import AvatarModels

from ..drawn_faces.motion import LIVELINESS
from ..speech.corpus_file import Corpus
from ..stage_2.rollout import ChunkOverlap, Portraits, Roller
from .batched_sessions import HeldOutFaces
from .movement import draw_moving

_CALM = LIVELINESS.index("calm")

Joins = dict[str, float]
"""Changes at joins over the mean change from frame to frame elsewhere: ``join``, all of it, and its
two parts: ``redrawn``, from the last frame to the same one drawn again, and ``onward``, from there
to the first new frame; ``redrawn_unmatched`` and ``onward_unmatched`` are the parts before the
chunk's colours are matched. ``latents`` is the change from one latent frame to the next within a
chunk, where no join is. ``movement`` is the mean change itself, a share of the range. Parts may add
up to more than the whole, in which they may cancel each other."""
_STRIDE = 4
"""Frames of a latent frame."""


def evaluate_joins(
    models: AvatarModels,
    corpus: Corpus,
    sampling: SamplingConfig,
    chunks: int,
    held_out: HeldOutFaces,
) -> dict[str, Joins]:
    """Measure the joins of a model, and of drawings that no transformer has touched.

    Args:
        models: The model.
        corpus: Its held-out part speaks.
        sampling: How to denoise.
        chunks: How many, at least 2.
        held_out: Whose faces.

    Returns:
        Means over faces and joins: of the ``model``, and of calm drawings whose chunks went through
        the ``autoencoder``, each with true motion frames, as a faultless transformer would give.
    """
    sessions, _ = held_out.talking(models, corpus, sampling)
    device = models.dit.patch_embedding.weight.device
    return {
        "model": _measure(sessions.overlaps(chunks)),
        "autoencoder": _measure(_drawn(models, sampling, chunks, held_out, device)),
    }


@torch.no_grad()
def _drawn(
    models: AvatarModels,
    sampling: SamplingConfig,
    chunks: int,
    held_out: HeldOutFaces,
    device: torch.device,
) -> Iterator[ChunkOverlap]:
    """Send drawings through the autoencoder chunk by chunk, which overlap as a session's do."""
    chunk, weight = models.config.chunk, next(models.vae.parameters())
    roller = Roller.around(models.vae, models.config, sampling)
    portraits = held_out.portraits(models.config.size_px).to(weight)
    encoded = Portraits.encode(models.vae, portraits * 2 - 1, sampling.colour_area)
    video = torch.cat(
        list(draw_moving(models.config, held_out, _CALM, device, chunk.num_new_frames, chunks + 1)),
        dim=1,
    )
    video, before = video.transpose(1, 2) * 2 - 1, None
    for first in range(0, chunks * chunk.num_new_frames, chunk.num_new_frames):
        frames = video[:, :, first : first + chunk.num_frames]
        overlap = roller.overlap(roller.encode(frames), encoded, before)
        if before is not None:
            yield overlap
        before = overlap.frames[:, :, -1]


def _measure(overlaps: Iterator[ChunkOverlap]) -> Joins:
    """Average over joins and sessions; the ratio is that of the means."""
    rows = torch.stack([torch.stack(_changes(overlap)) for overlap in overlaps]).mean(dim=(0, 2))
    names = ("join", "redrawn", "onward", "redrawn_unmatched", "onward_unmatched", "latents")
    *values, movement = rows.tolist()
    found = {name: value / movement for name, value in zip(names, values, strict=True)}
    return {**found, "movement": movement / 2}


def _changes(overlap: ChunkOverlap) -> list[Tensor]:
    """Return the changes of :data:`Joins` and the mean movement, ``(B,)`` each, in ``[0, 2]``."""
    before, count, new = overlap.before, overlap.num_motion, overlap.shown
    (last, first), (last_raw, first_raw) = (
        (frames[:, :, count - 1], frames[:, :, count])
        for frames in (overlap.frames, overlap.unmatched)
    )
    pairs = [(new[:, :, 0], before), (last, before), (first, last)]
    pairs += [(last_raw, before), (first_raw, last_raw)]
    changes = [(one - other).abs().mean(dim=(1, 2, 3)) for one, other in pairs]
    within = (new[:, :, 1:] - new[:, :, :-1]).abs().mean(dim=(1, 3, 4))
    return [*changes, within[:, _STRIDE - 1 :: _STRIDE].mean(dim=1), within.mean(dim=1)]
