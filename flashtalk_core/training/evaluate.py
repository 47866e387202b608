"""Measures of a trained model on faces, voices and texts it has never seen.

Axis legend: F frames, H W pixels.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import torch
from torch import Generator, Tensor

from ..config import SamplingConfig
from ..weights.load import AvatarModels
from .audio_trainer import correlation
from .data.corpus_file import SAMPLES_PER_FRAME, Corpus
from .data.faces import render, sample_identity, sample_motion
from .data.mouth import measure_drift, measure_mouth_opening
from .faces_source import random_mouths
from .trial import HELD_OUT_FACE_SEED, Trial, held_out_portrait, play
from .vae_trainer import psnr_db

logger = logging.getLogger(__name__)

_SPOKEN = 0.05
"""Mean opening below which a held-out segment counts as silence and is left out."""
_SHUT = 0.1
"""Openings below this are called shut."""
_SETTLING_FRAMES = 10
"""Frames after the end of speech, 0.4 s, from which on a mouth must be shut."""


def held_out_trials(corpus: Corpus, count: int, size_px: tuple[int, int]) -> list[Trial]:
    """Return ``count`` trials of held-out speech, a new face each."""
    trials: list[Trial] = []
    for index in corpus.indices(held_out=True):
        segment = corpus.segment(index)
        if segment.mouth[:, 0].mean() < _SPOKEN:
            continue
        portrait = held_out_portrait(len(trials), size_px)
        trials.append(Trial(portrait, segment.samples, torch.from_numpy(segment.mouth[:, 0])))
        if len(trials) == count:
            break
    return trials


def evaluate_lips(
    models: AvatarModels, trials: list[Trial], sampling: SamplingConfig
) -> dict[str, float]:
    """Compare the mouth measured in the picture with the true track, and with another's.

    Returns:
        Zero-lag correlations: mean and lowest over clips, over all frames together, with
        swapped sound, and the best lag in frames; the share of lip closures that are shut.
    """
    measured = []
    for trial in trials:
        sampling = replace(sampling, seed=sampling.seed + 1)
        measured.append(measure_mouth_opening(play(models, trial, sampling)))
    true = [trial.opening for trial in trials]
    each = torch.stack([correlation(a, b) for a, b in zip(measured, true, strict=True)])
    swapped = torch.stack(
        [
            correlation(*_same_length(a, b))
            for a, b in zip(measured, true[1:] + true[:1], strict=True)
        ]
    )
    all_measured, all_true = torch.cat(measured), torch.cat(true)
    lags = {lag: float(correlation(*_lagged(all_measured, all_true, lag))) for lag in range(-3, 4)}
    closed = all_true < 0.02
    return {
        "clips": len(trials),
        "correlation_mean": float(each.mean()),
        "correlation_lowest": float(each.min()),
        "correlation_pooled": float(correlation(all_measured, all_true)),
        "correlation_swapped_mean": float(swapped.mean()),
        "correlation_swapped_highest": float(swapped.max()),
        "best_lag_frames": max(lags, key=lambda lag: lags[lag]),
        "shut_when_closed": float((all_measured[closed] < _SHUT).float().mean()),
    }


def _same_length(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    length = min(len(a), len(b))
    return a[:length], b[:length]


def _lagged(a: Tensor, b: Tensor, lag: int) -> tuple[Tensor, Tensor]:
    """Pair ``a[k + lag]`` with ``b[k]``."""
    return (a[lag:], b[: len(b) - lag]) if lag >= 0 else (a[:lag], b[-lag:])


@torch.no_grad()
def evaluate_vae(models: AvatarModels, count: int) -> dict[str, float]:
    """Return PSNR on clips of held-out faces as long as a chunk, in dB."""
    config = models.config
    generator = Generator().manual_seed(HELD_OUT_FACE_SEED)
    frames = config.chunk.num_frames
    device = models.vae.conv1.weight.device
    each = []
    for _ in range(count):
        motion = sample_motion(1, frames, generator, 2).with_mouth(
            random_mouths(1, frames, generator)
        )
        video = render(sample_identity(1, generator), motion, config.size_px)
        video = (video.transpose(1, 2) * 2 - 1).to(models.vae.conv1.weight)
        output = torch.cat(list(models.vae.decode_groups(models.vae.encode(video))), dim=2)
        each.append(psnr_db(output, video).to("cpu"))
    psnr = torch.stack(each)
    logger.info("autoencoder measured on %d clips on %s", count, device)
    return {
        "psnr_db": float(psnr.mean()),
        "psnr_first_frame_db": float(psnr[:, 0].mean()),
        "psnr_lowest_clip_db": float(psnr.mean(dim=1).min()),
    }


def evaluate_drift(
    models: AvatarModels, corpus: Corpus, sampling: SamplingConfig, chunks: int, faces: int
) -> list[dict[str, float]]:
    """Chain many chunks of held-out speech and measure colour and structure against the portrait.

    Returns:
        One row for each of some chunks, means over faces.
    """
    new = models.config.chunk.num_new_frames
    total = chunks * new
    speech = _endless_speech(corpus)
    rows: dict[int, list[tuple[float, float]]] = {}
    for face in range(faces):
        samples, opening = speech(total)
        trial = Trial(held_out_portrait(500 + face, models.config.size_px), samples, opening)
        frames = play(models, trial, sampling)
        for chunk in [1, 2, 5, 10, 25, 50, 75, 100, 200, 500]:
            if chunk <= chunks:
                part = frames[(chunk - 1) * new : chunk * new]
                drift = measure_drift(part, trial.portrait)
                value = (float(drift.colour.mean()), float(drift.structure.mean()))
                rows.setdefault(chunk, []).append(value)
    return [
        {"chunk": chunk, "colour_delta_e": float(np.mean([v[0] for v in values])),
         "structure": float(np.mean([v[1] for v in values]))}
        for chunk, values in rows.items()
    ]  # fmt: skip


def _endless_speech(corpus: Corpus) -> Callable[[int], tuple[np.ndarray, Tensor]]:
    def segments() -> Iterator[int]:
        while True:
            yield from corpus.indices(held_out=True)

    source = segments()

    def take(frames: int) -> tuple[np.ndarray, Tensor]:
        parts, length = [], 0
        while length < frames:
            parts.append(corpus.segment(next(source)))
            length += len(parts[-1].mouth)
        samples = np.concatenate([part.samples for part in parts])
        mouth = np.concatenate([part.mouth[:, 0] for part in parts])
        return samples[: frames * SAMPLES_PER_FRAME], torch.from_numpy(mouth[:frames])

    return take


def evaluate_silence(
    models: AvatarModels,
    corpus: Corpus,
    sampling: SamplingConfig,
    seconds: int,
    faces: int,
    trailing_seconds: tuple[int, int] = (6, 10),
) -> dict[str, float]:
    """Measure mouth and face in pure silence, and in silence that follows speech.

    Args:
        models: The model.
        corpus: Its held-out part speaks.
        sampling: How to denoise.
        seconds: Length of the pure silence.
        faces: Number of held-out faces.
        trailing_seconds: Length of the speech, and of the silence that follows it.

    Returns:
        Shares of frames with a shut mouth, largest opening, and drift at the end.
    """
    rate = models.config.chunk.frame_rate_hz
    frames = seconds * rate
    spoken, unspoken = (length * rate for length in trailing_seconds)
    shut, opened, colour, structure, trailing = [], [], [], [], []
    speech = _endless_speech(corpus)
    for face in range(faces):
        portrait = held_out_portrait(700 + face, models.config.size_px)
        quiet = Trial(
            portrait, np.zeros(frames * SAMPLES_PER_FRAME, np.float32), torch.zeros(frames)
        )
        video = play(models, quiet, sampling)
        opening = measure_mouth_opening(video)
        shut.append(float((opening < _SHUT).float().mean()))
        opened.append(float(opening.max()))
        drift = measure_drift(video[-rate:], portrait)
        colour.append(float(drift.colour.mean()))
        structure.append(float(drift.structure.mean()))
        samples, track = speech(spoken)
        samples = np.concatenate([samples, np.zeros(unspoken * SAMPLES_PER_FRAME, np.float32)])
        after = play(
            models,
            Trial(portrait, samples, torch.cat([track, torch.zeros(unspoken)])),
            sampling,
        )
        trailing.append(
            float(
                (measure_mouth_opening(after)[spoken + _SETTLING_FRAMES :] < _SHUT).float().mean()
            )
        )
    return {
        "seconds": seconds,
        "faces": faces,
        "shut_share": float(np.mean(shut)),
        "largest_opening": float(np.max(opened)),
        "colour_delta_e_at_end": float(np.mean(colour)),
        "structure_at_end": float(np.mean(structure)),
        "trailing_shut_share": float(np.mean(trailing)),
    }
