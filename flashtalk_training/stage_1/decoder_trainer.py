"""Training of a small decoder for the latents of an autoencoder that is trained already.

Axis legend: B clips, F frames, T latent frames, H W pixels, h w latent cells.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from flashtalk_core.config.avatar import AvatarConfig
from flashtalk_core.geometry import num_latent_frames
from flashtalk_core.models.vae.light_decoder import LightDecoder
from flashtalk_core.models.vae.model import VideoVAE

from ..recipe import DecoderRecipe
from ..runs.seeds import part_seed
from ..runs.training_run import Moment, TrainingRun
from .faces_source import FaceSource
from .vae_trainer import lay_channels_last, picture_loss, quality, weight_map

_EVAL_SEED = 2**31 + 1
_NUM_HELD_OUT = 8


class DecoderTrainer:
    """Trains the small decoder; every part of a run is one call of :meth:`run`."""

    def __init__(
        self,
        config: AvatarConfig,
        recipe: DecoderRecipe,
        vae: VideoVAE,
        tracks: tuple[Tensor, Tensor],
        folder: Path,
        seed: int,
    ) -> None:
        """Prepare, and resume.

        Args:
            config: The model, whose autoencoder has a small decoder.
            recipe: How to train.
            vae: The trained autoencoder, which stays as it is.
            tracks: Mouths of the speech to train on and of the held-out speech, ``(N, 6)`` each.
            folder: Where states and the curve are kept.
            seed: Of the stage.
        """
        torch.manual_seed(seed)
        self._recipe, self._vae = recipe, vae
        self._device = vae.latent_mean.device
        self._chunk = config.chunk
        self.decoder = LightDecoder(config.vae).to(self._device)
        lay_channels_last(self.decoder)
        self._training = TrainingRun("decoder", self.decoder, recipe.optimiser, folder, seed)
        self._source = FaceSource(
            self._device, part_seed(seed, self._training.step), config.size_px, tracks[0]
        )
        held_out = FaceSource(torch.device("cpu"), _EVAL_SEED, config.size_px, tracks[1])
        self._held_out = held_out.draw(_NUM_HELD_OUT, self._chunk.num_frames).to(self._device)
        self._weights = weight_map(self._chunk.num_frames, *config.size_px, recipe).to(self._device)
        compiles = self._device.type == "cuda"
        self._forward = (
            torch.compile(self._reconstruct, dynamic=False) if compiles else self._reconstruct
        )

    def run(
        self, budget_s: float, part_s: float, now: Callable[[], float] = time.monotonic
    ) -> bool:
        """Train for one part of the budget and return whether the budget is spent."""
        return self._training.run(budget_s, part_s, self._loss, self.measure, now)

    def _autocast(self) -> torch.autocast:
        return torch.autocast(
            self._device.type, torch.bfloat16, enabled=self._device.type == "cuda"
        )

    def _reconstruct(self, video: Tensor, noise: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return frames, and latents of the last ones as decoded and as drawn."""
        motion = self._chunk.num_motion_frames
        with torch.no_grad():
            latent = self._vae.normalise(self._vae.moments_to_mean(self._vae.encoder(video)))
            target = self._latents(video[:, :, -motion:])
        output = self.decoder(latent + noise)
        return output, self._latents(output[:, :, -motion:]), target

    def _latents(self, video: Tensor) -> Tensor:
        return self._vae.normalise(self._vae.moments_to_mean(self._vae.encoder(video)))

    def _loss(self, _moment: Moment) -> Tensor:
        recipe = self._recipe
        video = self._source.draw(recipe.clip_batch, self._chunk.num_frames)
        with self._autocast():
            output, found, target = self._forward(video, self._latent_noise(video))
        terms = picture_loss(output, video, self._weights)
        difference = F.mse_loss(found.float(), target.float())
        return terms.weighed(recipe) + recipe.latent_weight * difference

    def _latent_noise(self, video: Tensor) -> Tensor:
        batch, _, frames, height, width = video.shape
        stride, z_dim = self._vae.config.spatial_stride, self._vae.config.z_dim
        shape = (batch, z_dim, num_latent_frames(frames), height // stride, width // stride)
        return self._recipe.latent_noise * torch.randn(shape, device=video.device)

    @torch.no_grad()
    def measure(self) -> dict[str, float]:
        """Return PSNR on held-out faces, of clips and first frames, and errors of what follows.

        The same of the autoencoder's own decoder are in its curve.
        """
        noise = torch.zeros((), device=self._device)
        with self._autocast():
            output, found, target = self._reconstruct(self._held_out, noise)
        error = F.mse_loss(found.float(), target.float()).item()
        return quality(output, self._held_out) | {"latent_error": error}
