"""Faces, prompts and speech that sessions of Stage 2 are made of; no clip is needed.

Axis legend: N faces, B sessions, P wordings, L text tokens, F video frames, T latent frames, H W
pixels, h w latent cells, W window, S hidden layers, A audio features.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import torch
from torch import Generator, Tensor

from flashtalk_core.config.avatar import AvatarConfig
from flashtalk_core.config.chunk import ChunkConfig
from flashtalk_core.engine.reference import encode_condition
from flashtalk_core.geometry import num_latent_frames
from flashtalk_core.media.audio.windows import window_features
from flashtalk_core.models.encoders.audio import AudioEncoder
from flashtalk_core.models.vae.model import VideoVAE

from ..drawn_faces.faces import render, rest_motion, sample_identity
from ..drawn_faces.static_cells import static_cells
from ..runs.capture import Captured
from ..stage_1.audio_windows import AudioBank, disturb, draw_windows
from ..stage_1.dit_trainer import PromptTokens, Stage1Model
from .rollout import Portraits, encode_clip

_ENCODED_AT_ONCE = 16


@dataclass(frozen=True)
class Conditions:
    """The inputs of a transformer other than noise level and audio."""

    condition: Tensor
    """Mask and encoded image, ``(B, 20, T, h, w)``."""
    clip: Tensor
    """Image tokens, ``(B, clip_tokens, clip_dim)``."""
    text: Tensor
    """Encoded prompts, zeros on padding, ``(B, L, text_dim)``."""
    no_text: Tensor
    """The encoded empty prompt, same shape."""


class Conditioning(NamedTuple):
    """Who talks in what mood: what stays the same in a session."""

    faces: Tensor
    """Rows of the bank, ``(B,)`` int64."""
    prompts: Tensor
    """Wordings, ``(B,)`` int64."""


@dataclass(frozen=True)
class SceneBatch:
    """Sessions to roll out."""

    conditioning: Conditioning
    portraits: Portraits
    conditions: Conditions
    windows: list[Tensor]
    """Audio windows of each chunk in turn, ``(B, F, W, S, A)``."""
    openings: list[Tensor]
    """True opening of the mouth in each chunk in turn, ``(B, F)``."""


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
        audio_inputs: AudioBank,
        seed: int,
    ) -> None:
        """Draw and encode.

        Args:
            config: The model.
            num_faces: N.
            vae: Trained autoencoder; its device is where the bank lives.
            audio: Trained audio encoder.
            towers: Its text and image towers are used, frozen.
            tokens: All wordings.
            audio_inputs: Speech to talk.
            seed: Of the faces.
        """
        self._config, self._audio, self._audio_inputs = config, audio, audio_inputs
        self._listen: dict[ChunkConfig, Captured] = {}
        device = vae.conv1.weight.device
        identity = sample_identity(num_faces, Generator().manual_seed(seed)).to(device)
        motion = rest_motion(num_faces).to(device)
        images = render(identity, motion, config.size_px)[:, 0] * 2 - 1
        self._vae, self._images, self._identity = vae, images, identity
        parts = images.split(_ENCODED_AT_ONCE)
        self._condition = torch.cat(
            [encode_condition(vae, part[:, :, None], config.chunk.num_frames) for part in parts]
        )
        self._clip = torch.cat([towers.clip(part) for part in parts])
        self._portraits = Portraits.encode(vae, images, config.sampling.colour_area)
        self._text = towers.text(tokens.ids, tokens.mask) * tokens.mask[..., None]

    def still(self, faces: Tensor) -> Tensor:
        """Return latents of clips that are the portrait throughout, ``(B, 16, T, h, w)``."""
        return self._stills[faces]

    def images(self, faces: Tensor) -> Tensor:
        """Return the portraits, ``(B, 3, H, W)`` in ``[0, 1]``."""
        return (self._images[faces] + 1) / 2

    def static(self, faces: Tensor) -> Tensor:
        """Return weights of the cells that nothing moves through, ``(B, h, h)`` in ``[0, 1]``."""
        return self._static[faces]

    @cached_property
    @torch.no_grad()
    def _static(self) -> Tensor:
        cells = self._portraits.first_motion.shape[-1]
        return static_cells(self._identity, self._config.size_px, cells)

    @cached_property
    @torch.no_grad()
    def _stills(self) -> Tensor:
        """Of all faces; few recipes ask for them."""
        frames, parts = self._config.chunk.num_frames, self._images.split(_ENCODED_AT_ONCE)
        clips = (part[:, :, None].expand(-1, -1, frames, -1, -1) for part in parts)
        return torch.cat([encode_clip(self._vae, clip) for clip in clips])

    @torch.no_grad()
    def draw(
        self,
        batch: int,
        num_chunks: int,
        max_chunks: int,
        conditioning: Conditioning | None = None,
        chunk: ChunkConfig | None = None,
    ) -> SceneBatch:
        """Draw sessions of ``num_chunks``; draws are the same whatever ``num_chunks`` is.

        Args:
            batch: B.
            num_chunks: Chunks whose audio windows are returned, K.
            max_chunks: Largest K that is ever asked for.
            conditioning: Who talks; ``None`` draws it.
            chunk: Arithmetic of the chunks, at most as long as the model's; ``None`` for its own.
        """
        chunk = chunk or self._config.chunk
        device = self._condition.device
        faces = torch.randint(len(self._condition), (batch,), device=device)
        prompts = torch.randint(len(self._text) - 1, (batch,), device=device)
        faces, prompts = conditioning = conditioning or Conditioning(faces, prompts)
        conditions = Conditions(
            self._condition[faces][:, :, : num_latent_frames(chunk.num_frames)],
            self._clip[faces],
            self._text[prompts],
            self._text[-1:].expand(batch, -1, -1),
        )
        windows, openings = self._draw_audio(batch, num_chunks, max_chunks, chunk)
        portraits = self._portraits.pick(faces)
        return SceneBatch(conditioning, portraits, conditions, windows, openings)

    def _draw_audio(
        self, batch: int, num_chunks: int, max_chunks: int, chunk: ChunkConfig
    ) -> tuple[list[Tensor], list[Tensor]]:
        length = chunk.audio_context_frames
        longer = length + (max_chunks - 1) * chunk.num_new_frames
        speech = disturb(
            draw_windows(
                self._audio_inputs, batch, dataclasses.replace(chunk, audio_context_frames=longer)
            )
        )
        step = chunk.samples_per_frame
        shown = chunk.audio_lookback_frames - chunk.num_motion_frames
        windows, openings, listen = [], [], self._listener(chunk)
        for first in range(0, num_chunks * chunk.num_new_frames, chunk.num_new_frames):
            windows.append(listen(speech.samples[:, first * step : (first + length) * step]))
            start = first + shown
            openings.append(speech.mouth[:, start : start + chunk.num_frames, 0])
        return windows, openings

    def _listener(self, chunk: ChunkConfig) -> Captured:
        """Return what analyses a chunk's window; other chunks are other frames of it."""
        if chunk not in self._listen:
            config = dataclasses.replace(self._config, chunk=chunk)

            def analyse(samples: Tensor) -> Tensor:
                return chunk_windows(self._audio(samples, chunk.audio_context_frames), config)

            self._listen[chunk] = Captured(analyse)
        return self._listen[chunk]


def chunk_windows(features: Tensor, config: AvatarConfig) -> Tensor:
    """Cut the audio windows of a chunk's frames out of its analysed window.

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
