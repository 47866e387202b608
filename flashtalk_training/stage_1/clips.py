"""A bank of drawn clips, encoded once, from which the transformer is trained.

A clip is as long as a chunk of the model; the first frames and latents of it, which depend on
nothing after them, serve as a shorter one.

Axis legend: N clips, P faces, F pixel frames, T latent frames, h w latent cells, S hidden layers,
M audio features.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import torch
from torch import Generator, Tensor

from flashtalk_core.config.avatar import AvatarConfig
from flashtalk_core.geometry import num_latent_frames
from flashtalk_core.models.encoders.audio import AudioEncoder
from flashtalk_core.models.vae.model import VideoVAE

from ..chunk_lengths import check_lengths
from ..drawn_faces.damage import damage_at_random
from ..drawn_faces.faces import (
    FaceIdentity,
    FaceMotion,
    render,
    rest_motion,
    sample_identity,
    sample_motion,
)
from ..drawn_faces.motion import MotionCurves, curves_motion, sample_curves
from ..recipe import DiTRecipe
from ..speech.prompts import Mood
from .audio_windows import AudioBank, disturb, draw_windows
from .clip_audio import ClipAudio
from .movement_codes import CodeLayout, movement_codes

RENDER_BATCH = 32
"""Clips rendered at a time; the clips of a bank are a multiple."""


@dataclass(frozen=True)
class ClipBatch:
    """Samples of one training step."""

    latents: Tensor
    """Normalised latents of clips, ``(B, 16, T, h, w)`` float32."""
    images: Tensor
    """Encoded [image, zeros], ``(B, 16, T, h, w)`` float32."""
    portraits: Tensor
    """``(B, 3, H, W)`` float32 in ``[-1, 1]``."""
    damaged: Tensor
    """Motion latents encoded from damaged frames, ``(B, 16, m, h, w)`` float32."""
    windows: Tensor
    """Audio features, ``(B, F, 5, S, M)`` float32."""
    prompts: Tensor
    """Index of each clip's wording, ``(B,)`` int64."""
    codes: Tensor
    """Movement codes for two motion latents and for one, ``(B, 2, N)`` float32; N is 0 without."""


class ClipBank:
    """Clips in GPU memory, replaced in turn by fresh ones."""

    def __init__(
        self,
        config: AvatarConfig,
        recipe: DiTRecipe,
        vae: VideoVAE,
        audio: AudioEncoder,
        audio_inputs: AudioBank,
        moods: list[Mood],
        device: torch.device,
        seed: int,
    ) -> None:
        """Prepare an empty bank.

        Args:
            config: The model.
            recipe: Number of clips, clips a face.
            vae: Trained autoencoder on ``device``.
            audio: Trained audio encoder on ``device``.
            audio_inputs: Speech to move the mouths.
            moods: What each wording asks for.
            device: Where the bank lives.
            seed: Of faces and movement.
        """
        self._config, self._recipe, self._vae, self._audio = config, recipe, vae, audio
        self._audio_inputs, self._moods, self._device = audio_inputs, moods, device
        self._generator = Generator().manual_seed(seed)
        compiles = device.type == "cuda"
        self._render = torch.compile(render, dynamic=False) if compiles else render
        self._encode_whole = (
            torch.compile(self._encode, dynamic=False) if compiles else self._encode
        )
        chunk, latent = config.chunk, self._latent_shape()
        count, faces = recipe.num_clips, recipe.num_clips // recipe.clips_per_face
        empty = partial(torch.zeros, device=device, dtype=torch.float16)
        self._latents = empty(count, *latent)
        self._damaged = empty(
            count, latent[0], num_latent_frames(chunk.num_motion_frames), *latent[2:]
        )
        self._images = empty(faces, *latent)
        self._portraits = empty(faces, 3, *config.size_px)
        self._lengths = recipe.chunk_lengths or (chunk.num_frames,)
        check_lengths(chunk, recipe.chunk_lengths)
        live_lengths = self._lengths if recipe.live_share else ()
        self._heard = ClipAudio(config, count, live_lengths, device)
        self._prompts = torch.zeros(count, dtype=torch.long, device=device)
        # Codes lie elsewhere in noise of another length, and there are fewer.
        self._codes = {
            length: torch.zeros(count, 2, self._num_codes(length), device=device)
            for length in dict.fromkeys((chunk.num_frames, *self._lengths))
        }
        self._next = 0

    def _layout(self, num_frames: int) -> CodeLayout:
        return CodeLayout.of_frames(num_frames, self._config.chunk.num_motion_frames)

    def _num_codes(self, num_frames: int) -> int:
        return self._layout(num_frames).num_codes if self._recipe.coded_movement else 0

    def _latent_shape(self) -> tuple[int, int, int, int]:
        vae = self._config.vae
        stride = vae.spatial_stride
        height, width = self._config.size_px
        frames = num_latent_frames(self._config.chunk.num_frames)
        return vae.z_dim, frames, height // stride, width // stride

    def _encode(self, video: Tensor) -> Tensor:
        with torch.autocast(self._device.type, torch.float16, enabled=self._device.type == "cuda"):
            moments = self._vae.encoder(video)
        return self._vae.normalise(self._vae.moments_to_mean(moments.float()))

    @torch.no_grad()
    def refresh(self, count: int) -> None:
        """Replace the ``count`` oldest clips; ``count`` is a multiple of the rendering batch."""
        for _ in range(0, count, RENDER_BATCH):
            self._refresh_batch()

    def fill(self) -> None:
        """Draw the whole bank."""
        self.refresh(self._recipe.num_clips)

    def _refresh_batch(self) -> None:
        per_face = self._recipe.clips_per_face
        faces = RENDER_BATCH // per_face
        generator, device, chunk = self._generator, self._device, self._heard.drawn
        audio = disturb(draw_windows(self._audio_inputs, RENDER_BATCH, chunk))
        prompts = torch.randint(len(self._moods), (RENDER_BATCH,), generator=generator)
        mood = torch.tensor([self._moods[i] for i in prompts])
        identity = sample_identity(faces, generator).to(device)
        curves = sample_curves(RENDER_BATCH, chunk.num_frames, generator)
        motion = curves_motion(curves, mood[:, 1], mood[:, 0]).to(device)
        start = chunk.audio_lookback_frames - chunk.num_motion_frames
        clip = slice(start, start + chunk.num_frames)
        motion = motion.with_mouth(audio.mouth[:, clip])
        each = FaceIdentity(*(v.repeat_interleave(per_face, dim=0) for v in identity))
        video = self._render(each, motion, self._config.size_px).transpose(1, 2) * 2 - 1
        portrait = self._portrait(identity, faces)
        rows = slice(self._next, self._next + RENDER_BATCH)
        places = slice(rows.start // per_face, rows.stop // per_face)
        self._latents[rows] = self._encode_whole(video).half()
        motion_frames = damage_at_random(video[:, :, : chunk.num_motion_frames])
        self._damaged[rows] = self._encode(motion_frames).half()
        self._images[places] = self._encode_images(portrait, per_face).half()
        self._portraits[places] = portrait.half()
        self._heard.store(rows, self._audio, audio)
        self._prompts[rows] = prompts.to(device)
        if self._recipe.coded_movement:
            self._store_codes(rows, curves)
        self._next = rows.stop % self._recipe.num_clips

    def _store_codes(self, rows: slice, curves: MotionCurves) -> None:
        for length, kept in self._codes.items():
            begun = MotionCurves(curves.sway[..., :length], curves.blink[:, :length])
            both = [
                movement_codes(begun, self._layout(length), single=single)
                for single in (False, True)
            ]
            kept[rows] = torch.stack(both, dim=1).to(self._device)

    def _portrait(self, identity: FaceIdentity, faces: int) -> Tensor:
        """Draw portraits from outside the clips, ``(P, 3, H, W)``: mostly at rest, mouth shut."""
        generator = self._generator
        moving = sample_motion(faces, 1, generator)
        resting = rest_motion(faces)
        is_resting = (torch.rand(faces, generator=generator) < 0.5).float()
        motion = FaceMotion(
            *(
                torch.lerp(a, b, is_resting.view(-1, *(1,) * (a.ndim - 1)))
                for a, b in zip(moving, resting, strict=True)
            )
        ).to(self._device)
        some = torch.randint(self._audio_inputs.mouth.shape[0], (faces, 1), generator=generator)
        is_open = (torch.rand(faces, 1, 1, generator=generator) < 0.25).float()
        mouth = self._audio_inputs.mouth[some.to(self._device)] * is_open.to(self._device)
        return render(identity, motion.with_mouth(mouth), self._config.size_px)[:, 0] * 2 - 1

    def _encode_images(self, portrait: Tensor, per_face: int) -> Tensor:
        """Encode [image, zeros]; padded to the batch of clips so that one graph serves both."""
        frames = self._config.chunk.num_frames
        video = portrait.new_zeros(RENDER_BATCH, 3, frames, *portrait.shape[-2:])
        video[: portrait.shape[0], :, 0] = portrait
        return self._encode_whole(video)[: RENDER_BATCH // per_face]

    def draw(self, batch: int, num_frames: int | None = None, live_share: float = 0.0) -> ClipBatch:
        """Draw random samples.

        Args:
            batch: B.
            num_frames: F, the model's own length or one of the recipe's; ``None`` for the former.
            live_share: Share of samples that hear nothing after their end; without it nothing is
                drawn for it.
        """
        rows = torch.randint(self._latents.shape[0], (batch,), device=self._device)
        faces = rows // self._recipe.clips_per_face
        length = num_frames or self._config.chunk.num_frames
        first = slice(num_latent_frames(length))
        is_live = torch.rand(batch, device=self._device) < live_share if live_share else None
        return ClipBatch(
            latents=self._latents[rows][:, :, first].float(),
            images=self._images[faces][:, :, first].float(),
            portraits=self._portraits[faces].float(),
            damaged=self._damaged[rows].float(),
            windows=self._heard.read(rows, length, is_live),
            prompts=self._prompts[rows],
            codes=self._codes[length][rows],
        )
