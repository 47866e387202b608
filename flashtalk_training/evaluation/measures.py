"""Measures of a trained model on faces, voices and texts it has never seen.

Axis legend: F frames, H W pixels.
"""

from __future__ import annotations

import logging
from dataclasses import replace

import numpy as np
import torch
from torch import Generator, Tensor

from flashtalk_core.config.sampling import SamplingConfig
from flashtalk_core.weights.load import AvatarModels

from ..drawn_faces.drift import measure_drift
from ..drawn_faces.motion import rest_motion, sample_motion
from ..drawn_faces.mouth import measure_mouth_opening, measure_mouth_shape
from ..drawn_faces.styles import TRAINED, Style
from ..speech.corpus_file import SAMPLES_PER_FRAME, Corpus
from ..stage_1.audio_trainer import correlation
from ..stage_1.faces_source import random_mouths
from ..stage_1.vae_trainer import psnr_db
from .batched_sessions import HeldOutFaces, Sessions
from .closures import SHUT, measure_closures
from .eval_clip import (
    HELD_OUT_FACE_SEED,
    ArrayAudio,
    EvalClip,
    held_out_face,
    held_out_speech,
)

logger = logging.getLogger(__name__)

_TOGETHER = 25
"""Sessions played in one batch on a GPU. Elsewhere each is alone, and ends with its clip; noise is
the same."""
_DRAWN_TOGETHER = 16
"""Frames drawn in one batch."""
_FIRST_SILENT_FACE = 700
_SETTLING_FRAMES = 10
"""Frames after the end of speech, 0.4 s, from which on a mouth must be shut."""


def evaluate_lips(
    models: AvatarModels,
    clips: list[EvalClip],
    sampling: SamplingConfig,
    guidance: tuple[float, float] | None = None,
) -> dict[str, float]:
    """Compare the mouth measured in the image with the true track, and with another's.

    Returns:
        Zero-lag correlations: mean and lowest over clips, over all frames together, with
        swapped audio, and the best lag in frames; the share of frames without any opening that are
        shut; the closures of :func:`measure_closures`; the mean error of the mouth's height and
        width against a drawing of the true one.
    """
    shapes = _measured_shapes(models, clips, sampling, guidance)
    measured = [shape[:, 0] for shape in shapes]
    drawn = [drawn_shape(clip, models.config.size_px) for clip in clips]
    true = [clip.opening for clip in clips]
    each = torch.stack([correlation(a, b) for a, b in zip(measured, true, strict=True)])
    swapped = torch.stack(
        [
            correlation(*_same_length(a, b))
            for a, b in zip(measured, true[1:] + true[:1], strict=True)
        ]
    )
    all_measured, all_true, all_drawn = torch.cat(measured), torch.cat(true), torch.cat(drawn)
    said = torch.cat([torch.from_numpy(clip.phonemes[: len(clip.opening)]) for clip in clips])
    lags = {lag: float(correlation(*_lagged(all_measured, all_true, lag))) for lag in range(-3, 4)}
    closed = all_true < 0.02
    return {
        "clips": len(clips),
        "correlation_mean": float(each.mean()),
        "correlation_lowest": float(each.min()),
        "correlation_pooled": float(correlation(all_measured, all_true)),
        "correlation_swapped_mean": float(swapped.mean()),
        "correlation_swapped_highest": float(swapped.max()),
        "best_lag_frames": max(lags, key=lambda lag: lags[lag]),
        "shut_when_closed": float((all_measured[closed] < SHUT).float().mean()),
        **measure_closures(all_measured, all_drawn[:, 0], said),
        "shape_error": float((torch.cat(shapes) - all_drawn).abs().mean()),
    }


def drawn_shape(clip: EvalClip, size_px: tuple[int, int]) -> Tensor:
    """Return height and width of the true mouth on the face at rest, ``(F, 2)``."""
    face = held_out_face(clip.face, clip.style)
    # A few frames at a time stay in a processor's cache, which is several times as fast.
    return torch.cat(
        [
            measure_mouth_shape(
                clip.style.render(face, rest_motion(1, len(mouth)).with_mouth(mouth[None]), size_px)
            )[0]
            for mouth in clip.mouth.split(_DRAWN_TOGETHER)
        ]
    )


def _measured_shapes(
    models: AvatarModels,
    clips: list[EvalClip],
    sampling: SamplingConfig,
    guidance: tuple[float, float] | None,
) -> list[Tensor]:
    """Play the clips in batches; return the mouth's height and width in every frame, (F, 2)."""
    measured: list[Tensor] = []
    new = models.config.chunk.num_new_frames
    together = _TOGETHER if models.dit.patch_embedding.weight.is_cuda else 1
    for first in range(0, len(clips), together):
        group = clips[first : first + together]
        sessions = Sessions(
            models,
            torch.stack([clip.portrait for clip in group]),
            [ArrayAudio(clip.samples) for clip in group],
            replace(sampling, seed=sampling.seed + 1 + first),
            guidance,
        )
        num_chunks = -(-max(len(clip.opening) for clip in group) // new)
        shapes = [measure_mouth_shape(frames).cpu() for frames in sessions.play(num_chunks)]
        tracks = torch.cat(shapes, dim=1)
        measured += [track[: len(clip.opening)] for track, clip in zip(tracks, group, strict=True)]
    return measured


def _same_length(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    length = min(len(a), len(b))
    return a[:length], b[:length]


def _lagged(a: Tensor, b: Tensor, lag: int) -> tuple[Tensor, Tensor]:
    """Pair ``a[k + lag]`` with ``b[k]``."""
    return (a[lag:], b[: len(b) - lag]) if lag >= 0 else (a[:lag], b[-lag:])


@torch.no_grad()
def evaluate_vae(models: AvatarModels, count: int, style: Style = TRAINED) -> dict[str, float]:
    """Return PSNR on clips of held-out faces of ``style`` as long as a chunk, in dB."""
    config = models.config
    generator = Generator().manual_seed(HELD_OUT_FACE_SEED)
    frames = config.chunk.num_frames
    device = models.vae.conv1.weight.device
    each = []
    for _ in range(count):
        motion = sample_motion(1, frames, generator, 2).with_mouth(
            random_mouths(1, frames, generator)
        )
        video = style.render(style.sample(1, generator), motion, config.size_px)
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


def evaluate_silence(
    models: AvatarModels,
    corpus: Corpus,
    sampling: SamplingConfig,
    seconds: int,
    faces: int,
    trailing_seconds: tuple[int, int] = (6, 10),
    style: Style = TRAINED,
) -> dict[str, float]:
    """Measure mouth and face in pure silence, and in silence that follows speech.

    Args:
        models: The model.
        corpus: Its held-out part speaks.
        sampling: How to denoise.
        seconds: Length of the pure silence.
        faces: Number of held-out faces.
        trailing_seconds: Length of the speech, and of the silence that follows it.
        style: How the faces are drawn.

    Returns:
        Shares of frames with a shut mouth, largest opening, and drift at the end.
    """
    chunk = models.config.chunk
    rate = chunk.frame_rate_hz
    frames, (spoken, unspoken) = seconds * rate, (length * rate for length in trailing_seconds)
    held_out = HeldOutFaces(faces, _FIRST_SILENT_FACE, style=style)
    portraits = held_out.portraits(models.config.size_px)
    nothing = ArrayAudio(np.zeros(0, np.float32))
    quiet = Sessions(models, portraits, [nothing] * faces, sampling)
    openings, last = [], torch.empty(0)
    for last in quiet.play(-(-frames // chunk.num_new_frames)):
        openings.append(measure_mouth_opening(last).cpu())
    opening = torch.cat(openings, dim=1)[:, :frames]
    drift = measure_drift(last.cpu(), portraits[:, None])
    speech = held_out_speech(corpus)
    audio_inputs = [
        ArrayAudio(speech.at(face * spoken).read(0, spoken * SAMPLES_PER_FRAME))
        for face in range(faces)
    ]
    after = torch.cat(
        [
            measure_mouth_opening(frames).cpu()
            for frames in Sessions(models, portraits, audio_inputs, sampling).play(
                -(-(spoken + unspoken) // chunk.num_new_frames)
            )
        ],
        dim=1,
    )[:, spoken + _SETTLING_FRAMES : spoken + unspoken]
    return {
        "seconds": seconds,
        "faces": faces,
        "shut_share": float((opening < SHUT).float().mean()),
        "largest_opening": float(opening.max()),
        "colour_delta_e_at_end": float(drift.colour.mean()),
        "structure_at_end": float(drift.structure.mean()),
        "trailing_shut_share": float((after < SHUT).float().mean()),
    }
