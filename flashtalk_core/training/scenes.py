"""Faces, prompts and speech that sessions of Stage 2 are made of; no clip is needed.

Axis legend: N faces, B sessions, P wordings, L text tokens, F video frames, T latent frames, H W
pixels, h w latent cells, W window, S hidden layers, A audio features.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from ..config import AvatarConfig
from ..engine.reference import encode_condition
from ..media.audio_windows import window_features
from ..models.audio_encoder import AudioEncoder
from ..models.vae.model import VideoVAE
from .data.faces import render, rest_motion, sample_identity
from .dit_trainer import PromptTokens, Stage1Model
from .rollout import Portraits
from .sound_windows import SoundBank, disturb, draw_windows

_ENCODED_AT_ONCE = 16


@dataclass(frozen=True)
class Conditions:
    """What a transformer is told beside noise level and sound."""

    condition: Tensor
    """Mask and encoded picture, ``(B, 20, T, h, w)``."""
    clip: Tensor
    """Picture tokens, ``(B, clip_tokens, clip_dim)``."""
    text: Tensor
    """Encoded prompts, zeros on padding, ``(B, L, text_dim)``."""
    no_text: Tensor
    """The encoded empty prompt, same shape."""


@dataclass(frozen=True)
class SceneBatch:
    """Sessions to roll out."""

    portraits: Portraits
    conditions: Conditions
    windows: list[Tensor]
    """Audio windows of each chunk in turn, ``(B, F, W, S, A)``."""


class SceneBank:
    """Faces and prompts, encoded once; sessions are drawn from torch's generator."""

    @torch.no_grad()
    def __init__(
        self,
        config: AvatarConfig,
        num_faces: int,
        vae: VideoVAE,
        audio: AudioEncoder,
        towers: Stage1Model,
        tokens: PromptTokens,
        sounds: SoundBank,
        seed: int,
    ) -> None:
        """Draw and encode.

        Args:
            config: The model.
            num_faces: N.
            vae: Trained autoencoder; its device is where the bank lives.
            audio: Trained sound encoder.
            towers: Its text and picture towers are used, frozen.
            tokens: All wordings.
            sounds: Speech to talk.
            seed: Of the faces.
        """
        self._config, self._audio, self._sounds = config, audio, sounds
        device = vae.conv1.weight.device
        identity = sample_identity(num_faces, Generator().manual_seed(seed))
        pictures = render(identity, rest_motion(num_faces), config.size_px)[:, 0] * 2 - 1
        parts = [part.to(device) for part in pictures.split(_ENCODED_AT_ONCE)]
        self._condition = torch.cat(
            [encode_condition(vae, part[:, :, None], config.chunk.num_frames) for part in parts]
        )
        self._clip = torch.cat([towers.clip(part) for part in parts])
        self._portraits = Portraits.encode(vae, pictures.to(device))
        self._text = towers.text(tokens.ids, tokens.mask) * tokens.mask[..., None]

    @torch.no_grad()
    def draw(self, batch: int, num_chunks: int, max_chunks: int) -> SceneBatch:
        """Draw sessions of ``num_chunks``; draws are the same whatever ``num_chunks`` is."""
        device = self._condition.device
        rows = torch.randint(len(self._condition), (batch,), device=device)
        prompts = torch.randint(len(self._text) - 1, (batch,), device=device)
        conditions = Conditions(
            self._condition[rows],
            self._clip[rows],
            self._text[prompts],
            self._text[-1:].expand(batch, -1, -1),
        )
        windows = self._hear(batch, num_chunks, max_chunks)
        return SceneBatch(self._portraits.pick(rows), conditions, windows)

    def _hear(self, batch: int, num_chunks: int, max_chunks: int) -> list[Tensor]:
        chunk = self._config.chunk
        length = chunk.audio_context_frames
        longer = length + (max_chunks - 1) * chunk.num_new_frames
        speech = disturb(
            draw_windows(
                self._sounds, batch, dataclasses.replace(chunk, audio_context_frames=longer)
            )
        ).samples
        step = chunk.samples_per_frame
        windows = []
        for first in range(0, num_chunks * chunk.num_new_frames, chunk.num_new_frames):
            samples = speech[:, first * step : (first + length) * step]
            features = self._audio(samples, length)
            windows.append(heard_windows(features, self._config))
        return windows


def heard_windows(features: Tensor, config: AvatarConfig) -> Tensor:
    """Cut what a chunk hears out of its analysed window.

    Args:
        features: ``(B, audio_context_frames, S, A)``.
        config: The model.

    Returns:
        ``(B, F, W, S, A)``.
    """
    chunk = config.chunk
    start = chunk.audio_lookback_frames - chunk.num_motion_frames
    radius = config.dit.audio_window // 2
    cut = [window_features(each, start, len(each), radius) for each in features]
    return torch.stack([each[: chunk.num_frames] for each in cut])
