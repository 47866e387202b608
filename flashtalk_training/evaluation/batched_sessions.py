"""Held-out sessions played in one batch: any number of chunks, constant memory.

Axis legend: B sessions, F frames of a chunk, M motion frames, H W pixels.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from flashtalk_core.config.sampling import SamplingConfig
from flashtalk_core.engine.reference import encode_condition
from flashtalk_core.geometry import ChunkSpan, chunk_span
from flashtalk_core.media.audio.source import SampleReader
from flashtalk_core.models.encoders.text import encode_prompt
from flashtalk_core.models.transformer.step import AudioContext, SessionContext
from flashtalk_core.sampling.noise import ChunkNoise
from flashtalk_core.weights.load import AvatarModels

from ..drawn_faces.styles import TRAINED, Style
from ..losses import guided
from ..runs.capture import Captured
from ..speech.corpus_file import SAMPLES_PER_FRAME, Corpus
from ..stage_2.rollout import ChunkOverlap, Portraits, Roller, correct_colours
from ..stage_2.scenes import chunk_windows
from .eval_clip import held_out_face, held_out_speech

_FIRST_FACE = 500
_NUM_GUIDED = 3
"""Predictions that guidance combines."""


class Sessions:
    """Avatars of one model that talk at once, each with a face, audio and noise of its own."""

    @torch.no_grad()
    def __init__(
        self,
        models: AvatarModels,
        portraits: Tensor,
        audio_inputs: Sequence[SampleReader],
        sampling: SamplingConfig,
        guidance: tuple[float, float] | None = None,
    ) -> None:
        """Prepare sessions.

        Args:
            models: The model.
            portraits: ``(B, 3, H, W)`` in ``[0, 1]``.
            audio_inputs: Mono at 16 kHz, one a session.
            sampling: How to denoise; session i takes seed ``seed + i``.
            guidance: Scales of prompt and audio, which cost three predictions a step; ``None``
                for one.
        """
        config, vae = models.config, models.vae
        self._models, self._sampling, self._guidance = models, sampling, guidance
        self._audio_inputs = audio_inputs
        self._weight = models.dit.patch_embedding.weight
        images = (portraits * 2 - 1).to(next(vae.parameters()))
        self._portraits = Portraits.encode(vae, images, sampling.colour_area)
        self._context = self._project(images)
        self._roller = Roller.around(vae, config, sampling)
        self._listen = Captured(self._analyse)
        self._make = Captured(self._make_chunk)
        self._end = Captured(self._roller.end)

    def _project(self, images: Tensor) -> SessionContext:
        """Project image and prompt, three times over if there is guidance."""
        models, config = self._models, self._models.config
        condition = encode_condition(models.vae, images[:, :, None], config.chunk.num_frames)
        clip = models.clip(images.to(next(models.clip.parameters())))
        prompts = [config.prompt] if self._guidance is None else ["", "", config.prompt]
        text = torch.cat([self._encode(prompt, len(images)) for prompt in prompts])
        condition, text, clip = (value.to(self._weight) for value in (condition, text, clip))
        condition, clip = (
            value.repeat(len(prompts), *(1,) * (value.ndim - 1)) for value in (condition, clip)
        )
        return models.dit.project_session(condition, text, clip)

    def _encode(self, prompt: str, count: int) -> Tensor:
        models, length = self._models, self._models.config.dit.text_len
        text = encode_prompt(models.text_encoder, models.tokenizer, prompt, length)
        return F.pad(text, (0, 0, 0, length - len(text)))[None].expand(count, -1, -1)

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
        for _, frames in self.glance(range(num_chunks), start_frames):
            yield frames[:, 1:]

    @torch.no_grad()
    def glance(
        self, chunks: Sequence[int], start_frames: Tensor | None = None
    ) -> Iterator[tuple[int, Tensor]]:
        """Play up to the last of ``chunks``, counted from 0 and rising, and show these alone.

        Yields:
            A chunk and its new frames after the last frame that was shown before,
            ``(B, 1 + F, 3, H, W)`` in ``[0, 1]``, where the model is.
        """
        chunk, motion, before = self._models.config.chunk, self._portraits.first_motion, None
        if start_frames is not None:
            start_frames = start_frames.to(motion)
            motion, before = self._roller.next_motion(start_frames), start_frames[:, :, -1]
        shown, count = set(chunks), chunk.num_motion_frames
        for index in range(max(shown) + 1):
            windows = self._audio_windows(chunk_span(index, chunk))
            latent = self._make(windows, motion, self._noise(index))
            if index in shown:
                frames = self._roller.show(latent, self._portraits)
                if before is None:
                    before = frames[:, :, count - 1]
                else:
                    frames = self._roller.fade(frames, before)
                together = torch.cat([before[:, :, None], frames[:, :, count:]], dim=2)
                yield index, (together.transpose(1, 2) + 1) / 2
                frames = frames[:, :, -count:]
            else:
                ended = self._end(latent)
                frames = correct_colours(ended, self._portraits, self._roller.colour_strength)
            before = frames[:, :, -1]
            motion = self._roller.next_motion(frames)

    @torch.no_grad()
    def overlaps(self, num_chunks: int) -> Iterator[ChunkOverlap]:
        """Play chunk by chunk and yield each join, one less than there are chunks."""
        motion, before = self._portraits.first_motion, None
        for index in range(num_chunks):
            windows = self._audio_windows(chunk_span(index, self._models.config.chunk))
            latent = self._make(windows, motion, self._noise(index))
            overlap = self._roller.overlap(latent, self._portraits, before)
            if before is not None:
                yield overlap
            before = overlap.frames[:, :, -1]
            motion = self._roller.next_motion(overlap.frames)

    def _make_chunk(self, windows: Tensor, motion: Tensor, noise: Tensor) -> Tensor:
        """Denoise a chunk, drawing the noise ``(draws, B, 16, T, h, w)`` one after the other."""
        inputs = windows.to(self._weight)
        if self._guidance is not None:
            inputs = torch.cat([torch.zeros_like(inputs), inputs, inputs])
        audio = self._models.dit.project_audio(inputs, self._sampling.mouth_strength)
        drawn = iter(noise)
        velocity = partial(self._velocity, audio)
        return self._roller.chunk(velocity, windows, motion.float(), lambda _: next(drawn))

    def _velocity(self, audio: AudioContext, x: Tensor, level: Tensor, windows: Tensor) -> Tensor:  # noqa: ARG002 - projected once for all steps
        if self._guidance is None:
            out: Tensor = self._models.dit(x, 1000 * level, self._context, audio)
            return out
        x, level = torch.cat([x] * _NUM_GUIDED), torch.cat([level] * _NUM_GUIDED)
        nothing, no_text, full = self._models.dit(x, 1000 * level, self._context, audio).chunk(3)
        return guided(nothing, no_text, full, *self._guidance)

    def _noise(self, index: int) -> Tensor:
        """Draw all noise of a chunk, ``(draws, B, 16, T, h, w)``."""
        seeds = range(self._sampling.seed, self._sampling.seed + len(self._audio_inputs))
        sources = [ChunkNoise(seed, index) for seed in seeds]
        draws = self._sampling.steps if self._sampling.rule == "renoise" else 1
        channels, _, *cells = self._portraits.first_motion.shape[1:]
        one = (1, channels, self._roller.num_latents, *cells)
        cpu = torch.device("cpu")
        drawn = [
            torch.cat([source.draw(one, cpu, torch.float32) for source in sources])
            for _ in range(draws)
        ]
        return torch.stack(drawn).to(self._weight.device)

    def _audio_windows(self, span: ChunkSpan) -> Tensor:
        step = self._models.config.chunk.samples_per_frame
        first, last = span.window.start * step, span.window.stop * step
        samples = np.stack([audio.read(first, last) for audio in self._audio_inputs])
        weight = next(self._models.audio_encoder.parameters())
        return self._listen(torch.from_numpy(samples).to(weight.device))

    def _analyse(self, samples: Tensor) -> Tensor:
        config = self._models.config
        features = self._models.audio_encoder(samples, config.chunk.audio_context_frames)
        return chunk_windows(features, config)


@dataclass(frozen=True)
class HeldOutFaces:
    """The held-out faces whose sessions are played."""

    count: int
    """Number of faces, each with speech of its own."""
    first_face: int = _FIRST_FACE
    guidance: tuple[float, float] | None = None
    """Scales of prompt and audio; ``None`` for none."""
    style: Style = TRAINED
    """How they are drawn."""

    def identities(self) -> Any:
        """Return the faces."""
        numbers = range(self.first_face, self.first_face + self.count)
        faces = [held_out_face(number, self.style) for number in numbers]
        return type(faces[0])(*(torch.cat(values) for values in zip(*faces, strict=True)))

    def portraits(self, size_px: tuple[int, int], blink: float = 0.0) -> Tensor:
        """Draw the faces at rest, ``(B, 3, H, W)`` in ``[0, 1]``; their eyes are shut at 1."""
        return self.style.portraits(self.identities(), size_px, blink=blink)

    def talking(
        self, models: AvatarModels, corpus: Corpus, sampling: SamplingConfig
    ) -> tuple[Sessions, Tensor]:
        """Return the sessions and their portraits."""
        portraits = self.portraits(models.config.size_px)
        speech = held_out_speech(corpus)
        step = len(speech.samples) // SAMPLES_PER_FRAME // self.count
        audio_inputs = [speech.at(face * step) for face in range(self.count)]
        sessions = Sessions(models, portraits, audio_inputs, sampling, self.guidance)
        return sessions, portraits.to(models.dit.patch_embedding.weight.device)
