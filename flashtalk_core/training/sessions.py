"""Held-out sessions played side by side: one batch, any number of chunks, constant memory.

Axis legend: B sessions, F frames of a chunk, M motion frames, H W pixels.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

import numpy as np
import torch
from torch import Tensor

from ..config import SamplingConfig
from ..engine.avatar import SampleReader
from ..engine.reference import encode_condition
from ..geometry import ChunkSpan, chunk_span, num_latent_frames
from ..models.dit import AudioContext
from ..models.text_encoder import encode_prompt
from ..sampling.noise import ChunkNoise
from ..sampling.schedule import noise_levels
from ..weights.load import AvatarModels
from .rollout import DrawNoise, Portraits, Roller, decode_clip, encode_clip
from .scenes import heard_windows


class Sessions:
    """Avatars of one model that talk at once, each with a face, a sound and noise of its own."""

    @torch.no_grad()
    def __init__(
        self,
        models: AvatarModels,
        portraits: Tensor,
        sounds: Sequence[SampleReader],
        sampling: SamplingConfig,
    ) -> None:
        """Prepare sessions.

        Args:
            models: The model.
            portraits: ``(B, 3, H, W)`` in ``[0, 1]``.
            sounds: Mono at 16 kHz, one a session.
            sampling: How to denoise; session i takes seed ``seed + i``.
        """
        config, vae = models.config, models.vae
        self._models, self._sampling = models, sampling
        self._sounds = sounds
        self._weight = models.dit.patch_embedding.weight
        pictures = (portraits * 2 - 1).to(next(vae.parameters()))
        self._portraits = Portraits.encode(vae, pictures)
        condition = encode_condition(vae, pictures[:, :, None], config.chunk.num_frames)
        text = encode_prompt(
            models.text_encoder, models.tokenizer, config.prompt, config.dit.text_len
        )
        text = text[None].expand(len(pictures), -1, -1)
        clip = models.clip(pictures.to(next(models.clip.parameters())))
        self._context = models.dit.project_session(
            condition.to(self._weight), text.to(self._weight), clip.to(self._weight)
        )
        self._roller = Roller(
            encode=lambda video: encode_clip(vae, video.to(pictures)),
            decode=lambda latent: decode_clip(vae, latent.to(pictures)),
            levels=tuple(noise_levels(sampling.steps, sampling.shift).tolist()),
            rule=sampling.rule,
            num_latents=num_latent_frames(config.chunk.num_frames),
            num_motion_frames=config.chunk.num_motion_frames,
            colour_strength=sampling.colour_strength,
        )

    @torch.no_grad()
    def play(self, num_chunks: int, start_frames: Tensor | None = None) -> Iterator[Tensor]:
        """Play chunk by chunk.

        Args:
            num_chunks: How many.
            start_frames: Frames to go on from, ``(B, 3, M, H, W)`` in ``[-1, 1]``; ``None``
                starts from the portraits.

        Yields:
            New frames of a chunk, ``(B, F, 3, H, W)`` in ``[0, 1]``, where the model is.
        """
        chunk, motion = self._models.config.chunk, self._portraits.first_motion
        if start_frames is not None:
            motion = self._roller.next_motion(start_frames.to(motion))
        for index in range(num_chunks):
            windows = self._hear(chunk_span(index, chunk)).to(self._weight)
            audio = self._models.dit.project_audio(windows, self._sampling.mouth_strength)
            velocity = partial(self._velocity, audio)
            latent = self._roller.chunk(velocity, windows, motion.float(), self._noise(index))
            frames = self._roller.show(latent, self._portraits)
            motion = self._roller.next_motion(frames)
            yield (frames[:, :, chunk.num_motion_frames :].transpose(1, 2) + 1) / 2

    def _velocity(self, audio: AudioContext, x: Tensor, level: Tensor, windows: Tensor) -> Tensor:  # noqa: ARG002 - projected once for all steps
        out: Tensor = self._models.dit(x, 1000 * level, self._context, audio)
        return out

    def _noise(self, index: int) -> DrawNoise:
        seeds = range(self._sampling.seed, self._sampling.seed + len(self._sounds))
        sources = [ChunkNoise(seed, index) for seed in seeds]

        def draw(shape: tuple[int, ...]) -> Tensor:
            one, device = (1, *shape[1:]), self._weight.device
            drawn = [noise.draw(one, torch.device("cpu"), torch.float32) for noise in sources]
            return torch.cat(drawn).to(device)

        return draw

    def _hear(self, span: ChunkSpan) -> Tensor:
        step = self._models.config.chunk.samples_per_frame
        first, last = span.window.start * step, span.window.stop * step
        samples = np.stack([sound.read(first, last) for sound in self._sounds])
        weight = next(self._models.audio_encoder.parameters())
        features = self._models.audio_encoder(
            torch.from_numpy(samples).to(weight.device), len(span.window)
        )
        return heard_windows(features, self._models.config)
