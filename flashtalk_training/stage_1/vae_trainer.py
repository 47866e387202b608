"""Training of the tiny video autoencoder: images first, then whole clips.

Axis legend: B clips, F frames, T latent frames, H W pixels, h w latent cells.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from flashtalk_core.config.avatar import AvatarConfig
from flashtalk_core.geometry import num_latent_frames
from flashtalk_core.models.vae.model import VideoVAE

from ..drawn_faces.mouth import measure_mouth_opening
from ..recipe import PictureRecipe, VAERecipe
from ..runs.seeds import part_seed
from ..runs.training_run import Moment, TrainingRun
from .audio_trainer import correlation
from .faces_source import FaceSource

_EVAL_SEED = 2**31 + 1
_NUM_HELD_OUT = 8
_MOUTH_ROWS, _MOUTH_COLUMNS = (0.55, 0.85), (0.25, 0.75)


@dataclass(frozen=True)
class PictureTerms:
    """Parts of the loss of decoded clips, scalars."""

    pixels: Tensor
    edges: Tensor
    opening: Tensor

    def weighed(self, recipe: PictureRecipe) -> Tensor:
        """Return their sum as the recipe weighs them."""
        return self.pixels + recipe.edge_weight * self.edges + recipe.opening_weight * self.opening


def weight_map(frames: int, height: int, width: int, recipe: PictureRecipe) -> Tensor:
    """Return weights of mean one, ``(1, 1, F, H, W)``: first frame and mouth region count more."""
    weights = torch.ones(1, 1, frames, height, width)
    rows = slice(int(_MOUTH_ROWS[0] * height), int(_MOUTH_ROWS[1] * height))
    columns = slice(int(_MOUTH_COLUMNS[0] * width), int(_MOUTH_COLUMNS[1] * width))
    weights[..., rows, columns] = recipe.mouth_weight
    weights[:, :, 0] *= recipe.first_frame_weight
    return weights / weights.mean()


def picture_loss(output: Tensor, video: Tensor, weights: Tensor) -> PictureTerms:
    """Compare a reconstruction.

    Args:
        output: Decoded, ``(B, 3, F, H, W)``.
        video: Target in ``[-1, 1]``, same shape.
        weights: ``(1, 1, F, H, W)`` of mean one.

    Returns:
        Squared error, absolute error of neighbours' differences, and absolute error of the
        mouth's measured opening, each a mean.
    """
    error = (output - video).float()
    across = (error[..., 1:] - error[..., :-1]).abs() * weights[..., 1:]
    down = (error[..., 1:, :] - error[..., :-1, :]).abs() * weights[..., 1:, :]
    opened, target = mouth_openings(output), mouth_openings(video)
    return PictureTerms(
        (error.square() * weights).mean(),
        across.mean() + down.mean(),
        (opened - target).abs().mean(),
    )


def divergence(moments: Tensor) -> Tensor:
    """Return the KL divergence of ``(B, 32, T, h, w)`` moments to a unit normal, a mean."""
    mean, log_variance = moments.float().chunk(2, dim=1)
    log_variance = log_variance.clamp(-20, 10)
    return 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).mean()


def mouth_openings(video: Tensor) -> Tensor:
    """Return the measured opening of mouths in ``(B, 3, F, H, W)``, ``(B, F)``."""
    return measure_mouth_opening((video.float().transpose(1, 2) + 1) / 2)


def quality(output: Tensor, video: Tensor) -> dict[str, float]:
    """Return PSNR of decoded clips and of their first frames, and the mouths' correlation."""
    values = psnr_db(output, video)
    opened = correlation(mouth_openings(output), mouth_openings(video))
    return {
        "psnr_db": values.mean().item(),
        "psnr_first_db": values[0].item(),
        "opening_correlation": opened.item(),
    }


def lay_channels_last(model: nn.Module) -> None:
    """Lay convolution weights out channels last, in which small convolutions are faster."""
    for parameter in model.parameters():
        if parameter.ndim == 5:
            parameter.data = parameter.data.contiguous(memory_format=torch.channels_last_3d)
        elif parameter.ndim == 4:
            parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)


def psnr_db(output: Tensor, video: Tensor) -> Tensor:
    """Return the peak signal-to-noise ratio over everything but axis 2, ``(F,)`` in dB."""
    error = (output.float().clamp(-1, 1) - video.float()).square().mean(dim=(0, 1, 3, 4)) / 4
    return -10 * torch.log10(error)


class VAETrainer:
    """Trains the autoencoder; every part of a run is one call of :meth:`run`."""

    def __init__(
        self,
        config: AvatarConfig,
        recipe: VAERecipe,
        tracks: tuple[Tensor, Tensor],
        device: torch.device,
        folder: Path,
        seed: int,
    ) -> None:
        """Prepare, and resume.

        Args:
            config: The model.
            recipe: How to train.
            tracks: Mouths of the speech to train on and of the held-out speech, ``(N, 6)`` each.
            device: Where to train.
            folder: Where states and the curve are kept.
            seed: Of the stage.
        """
        torch.manual_seed(seed)
        self._recipe, self._device = recipe, device
        self._frames = config.chunk.num_frames
        self.model = VideoVAE(config.vae).to(device)
        lay_channels_last(self.model)
        self._training = TrainingRun("vae", self.model, recipe.optimiser, folder, seed)
        self._source = FaceSource(
            device, part_seed(seed, self._training.step), config.size_px, tracks[0]
        )
        held_out = FaceSource(torch.device("cpu"), _EVAL_SEED, config.size_px, tracks[1])
        self._held_out = held_out.draw(_NUM_HELD_OUT, self._frames).to(device)
        self._weights = {
            frames: weight_map(frames, *config.size_px, recipe).to(device)
            for frames in (1, self._frames)
        }
        compiles = device.type == "cuda"
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

    def _reconstruct(self, video: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        moments = self.model.conv1(self.model.encoder(video))
        mean, log_variance = moments.chunk(2, dim=1)
        z = mean + noise * (0.5 * log_variance.clamp(-20, 10)).exp()
        return self.model.decoder(self.model.conv2(z)), moments

    def _latent_noise(self, video: Tensor) -> Tensor:
        batch, _, frames, height, width = video.shape
        stride, z_dim = self.model.config.spatial_stride, self.model.config.z_dim
        shape = (batch, z_dim, num_latent_frames(frames), height // stride, width // stride)
        return torch.randn(shape, device=video.device)

    def _loss(self, moment: Moment) -> Tensor:
        recipe = self._recipe
        is_clip = moment.progress >= recipe.image_share
        frames = self._frames if is_clip else 1
        video = self._source.draw(recipe.clip_batch if is_clip else recipe.image_batch, frames)
        with self._autocast():
            output, moments = self._forward(video, self._latent_noise(video))
        terms = picture_loss(output, video, self._weights[frames])
        return terms.weighed(recipe) + recipe.kl_weight * divergence(moments)

    @torch.no_grad()
    def measure(self) -> dict[str, float]:
        """Return PSNR on held-out faces, of clips and of their first frames, and the mouths'."""
        with self._autocast():
            z = self.model.moments_to_mean(self.model.encoder(self._held_out))
            output = self.model.decoder(self.model.conv2(z))
        return quality(output, self._held_out)
