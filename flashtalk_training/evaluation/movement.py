"""Whether a model's faces move as its prompt asks, and how drawings that do are measured.

Axis legend: B sessions, F frames, H W pixels.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import torch
from torch import Generator, Tensor

from flashtalk_core.config.avatar import AvatarConfig
from flashtalk_core.config.sampling import SamplingConfig
from flashtalk_core.weights.load import AvatarModels

from ..drawn_faces.head import find_heads, measure_open_eyes
from ..drawn_faces.motion import LIVELINESS, sample_motion
from ..speech.corpus_file import Corpus
from ..speech.prompts import Mood, mood_prompt
from ..stage_1.faces_source import random_mouths
from ..stage_2.rollout import Portraits, Roller
from .batched_sessions import HeldOutFaces
from .drift import compare

_CHUNKS = 8
"""Length of a run, 9 s of the tiny model."""

Movement = dict[str, dict[str, float]]
"""For each liveliness, ``sway``: root mean square of the head's distance from its position in the
portrait, as a share of the image's height; ``eyes_shut``: share of the frames with shut eyes."""


def evaluate_movement(
    models: AvatarModels, corpus: Corpus, sampling: SamplingConfig, held_out: HeldOutFaces
) -> Movement:
    """Measure how far heads move and how often eyes are shut, by what the prompt asks for.

    Args:
        models: The model.
        corpus: Its held-out part speaks.
        sampling: How to denoise.
        held_out: Whose faces.

    Returns:
        Means over faces.
    """
    found: Movement = {}
    for number, liveliness in enumerate(LIVELINESS):
        prompt = mood_prompt(Mood(0, number))
        prompted = replace(models, config=replace(models.config, prompt=prompt))
        sessions, portraits = held_out.talking(prompted, corpus, sampling)
        shut = held_out.portraits(prompted.config.size_px, blink=1.0).to(portraits)
        found[liveliness] = _measure(sessions.play(_CHUNKS), portraits, shut)
    return found


def measure_drawn_movement(
    config: AvatarConfig, held_out: HeldOutFaces, device: torch.device
) -> Movement:
    """Measure the same on drawings of these faces that move as the prompts ask."""
    portraits, shut = (held_out.portraits(config.size_px, blink).to(device) for blink in (0.0, 1.0))
    length = config.chunk.num_new_frames
    return {
        liveliness: _measure(
            draw_moving(config, held_out, number, device, length, _CHUNKS), portraits, shut
        )
        for number, liveliness in enumerate(LIVELINESS)
    }


@torch.no_grad()
def measure_drawn_drift(
    models: AvatarModels, sampling: SamplingConfig, held_out: HeldOutFaces
) -> dict[str, dict[str, float]]:
    """Measure by how much drawings leave their portrait, though nothing has drifted.

    Args:
        models: Its autoencoder is used; its chunks are the length of a clip.
        sampling: How strongly colours are matched.
        held_out: Whose faces.

    Returns:
        For each liveliness the measures of drift, means over faces and chunks: as drawn and, with
        ``_shown``, after the autoencoder and the match of colours, as a session would show them.
    """
    vae, config, found = models.vae, models.config, {}
    weight = next(vae.parameters())
    portraits = held_out.portraits(config.size_px).to(weight.device)
    roller = Roller.around(vae, config, sampling)
    encoded = Portraits.encode(vae, portraits.to(weight) * 2 - 1, sampling.colour_area)
    for number, liveliness in enumerate(LIVELINESS):
        rows: dict[str, list[Tensor]] = {}
        for frames in draw_moving(
            config, held_out, number, weight.device, config.chunk.num_frames, _CHUNKS
        ):
            latent = roller.encode(frames.transpose(1, 2) * 2 - 1)
            shown = (roller.show(latent, encoded).transpose(1, 2) + 1) / 2
            for end, images in (("", frames), ("_shown", shown)):
                for name, values in compare(images, portraits).items():
                    rows.setdefault(name + end, []).append(values)
        found[liveliness] = {name: float(torch.stack(row).mean()) for name, row in rows.items()}
    return found


def _measure(chunks: Iterator[Tensor], portraits: Tensor, shut: Tensor) -> dict[str, float]:
    """Return the measures of chunks ``(B, F, 3, H, W)``."""
    distances, eyes = [], []
    for frames in chunks:
        heads = find_heads(frames, portraits)
        distances.append(heads.x.square() + heads.y.square())
        eyes.append(measure_open_eyes(frames, heads, portraits, shut) < 0)
    return {
        "sway": float(torch.cat(distances, dim=1).mean(dim=1).sqrt().mean()),
        "eyes_shut": float(torch.cat(eyes, dim=1).float().mean()),
    }


def draw_moving(
    config: AvatarConfig,
    held_out: HeldOutFaces,
    liveliness: int,
    device: torch.device,
    length: int,
    chunks: int,
) -> Iterator[Tensor]:
    """Draw the faces in movement, talking, in ``chunks`` of ``length`` frames each.

    Yields:
        ``(B, length, 3, H, W)`` in ``[0, 1]``, each going on from the one before.
    """
    generator = Generator().manual_seed(held_out.first_face)
    motion = sample_motion(held_out.count, chunks * length, generator, liveliness)
    mouths = random_mouths(held_out.count, chunks * length, generator)
    motion = motion.with_mouth(mouths).to(device)
    identity = held_out.identities().to(device)
    for first in range(0, chunks * length, length):
        part = motion.frames(slice(first, first + length))
        yield held_out.style.render(identity, part, config.size_px)
