"""A drawn person who is to be imitated: portrait, sound, and the mouth as it should move."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Generator, Tensor

from ..config import SamplingConfig
from ..engine.avatar import TalkingAvatar
from ..engine.chunk import ChunkModel
from ..engine.reference import encode_portrait
from ..engine.reference_track import ReferenceTrack
from ..engine.residency import Resident
from ..engine.session import run_session
from ..models.text_encoder import encode_prompt
from ..weights.load import AvatarModels
from .data.faces import render, rest_motion, sample_identity

HELD_OUT_FACE_SEED = 7_000_001
"""Faces from this seed on are drawn for no training."""


class ArraySound:
    """Samples in memory, read as :class:`SampleReader`."""

    def __init__(self, samples: NDArray[np.float32]) -> None:
        """Keep ``samples``, mono at the analysis rate."""
        self._samples = samples

    def read(self, start_sample: int, stop_sample: int) -> NDArray[np.float32]:
        """Return ``[start, stop)``, zeros outside."""
        window = np.zeros(stop_sample - start_sample, np.float32)
        first, last = max(0, start_sample), min(len(self._samples), stop_sample)
        if first < last:
            window[first - start_sample : last - start_sample] = self._samples[first:last]
        return window


@dataclass(frozen=True)
class Trial:
    """One face and one sound."""

    portrait: Tensor
    """``(3, H, W)`` float32 in ``[0, 1]``."""
    samples: NDArray[np.float32]
    """Mono at 16 kHz."""
    opening: Tensor
    """True opening of the mouth, ``(F,)``, at 25 a second."""


def held_out_portrait(index: int, size_px: tuple[int, int]) -> Tensor:
    """Draw held-out face ``index`` at rest, ``(3, H, W)`` in ``[0, 1]``."""
    identity = sample_identity(1, Generator().manual_seed(HELD_OUT_FACE_SEED + index))
    return render(identity, rest_motion(1), size_px)[0, 0]


@torch.no_grad()
def play(models: AvatarModels, trial: Trial, sampling: SamplingConfig) -> Tensor:
    """Let the model imitate the trial.

    Args:
        models: The avatar model.
        trial: Face and sound.
        sampling: How to denoise.

    Returns:
        Frames, ``(F, 3, H, W)`` float32 in ``[0, 1]`` on the CPU.
    """
    config = models.config
    picture = trial.portrait * 2 - 1
    context = encode_prompt(
        models.text_encoder, models.tokenizer, config.prompt, config.dit.text_len
    )
    device = models.dit.patch_embedding.weight.device
    tokens = models.clip(picture[None].to(device))
    portrait = encode_portrait(models.vae, tokens, picture, config.chunk.num_frames)
    networks = Resident(models.dit, models.vae, models.audio_encoder)
    avatar = TalkingAvatar(
        model=ChunkModel(networks, config.chunk),
        references=ReferenceTrack(networks, portrait, [context], [0]),
        sound=ArraySound(trial.samples),
        sampling=sampling,
        audio_window=config.dit.audio_window,
        fingerprint="",
    )
    frames = torch.cat(list(run_session(avatar, len(trial.opening))))
    return frames.permute(0, 3, 1, 2).float() / 255
