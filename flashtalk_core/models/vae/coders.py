"""Encoder and decoder stacks of the causal video autoencoder.

Axis legend: B batch, C channels, F pixel frames, T latent frames, H W pixels, h w latent cells.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

from ...config.networks import VAEConfig
from .cache import CausalCache
from .layers import (
    CausalConv3d,
    Downsample,
    ResidualBlock,
    RMSNorm,
    SequenceRunner,
    SpatialAttention,
    Upsample,
    run_sequence,
)


def _middle(dim: int) -> nn.Sequential:
    return nn.Sequential(ResidualBlock(dim, dim), SpatialAttention(dim), ResidualBlock(dim, dim))


def _head(in_dim: int, out_dim: int) -> nn.Sequential:
    return nn.Sequential(RMSNorm(in_dim), nn.SiLU(), CausalConv3d(in_dim, out_dim, (3, 3, 3)))


class Encoder(nn.Module):
    """Video to latent statistics."""

    def __init__(self, config: VAEConfig) -> None:
        super().__init__()
        dims = [config.dim * mult for mult in (1, *config.dim_mult)]
        self.conv1 = CausalConv3d(3, dims[0], (3, 3, 3))
        layers: list[nn.Module] = []
        for level, (in_dim, out_dim) in enumerate(pairwise(dims)):
            for block in range(config.num_res_blocks):
                layers.append(ResidualBlock(out_dim if block else in_dim, out_dim))
            if level < len(config.temporal_downsample):
                layers.append(Downsample(out_dim, config.temporal_downsample[level]))
        self.downsamples = nn.Sequential(*layers)
        self.middle = _middle(dims[-1])
        self.head = _head(dims[-1], 2 * config.z_dim)

    def forward(
        self, x: Tensor, cache: CausalCache | None = None, run: SequenceRunner = run_sequence
    ) -> Tensor:
        """Encode ``(B, 3, F, H, W)`` to ``(B, 2 * z_dim, T, h, w)``, its layers by ``run``."""
        if x.device.type == "cpu":
            # A third less time there.
            x = x.contiguous(memory_format=torch.channels_last_3d)
        for stage in ((self.conv1,), self.downsamples, self.middle, self.head):
            x = run(stage, x, cache)
        return x


class Decoder(nn.Module):
    """Latents to video."""

    def __init__(self, config: VAEConfig) -> None:
        super().__init__()
        mults = config.dim_mult[::-1]
        dims = [config.dim * mult for mult in (mults[0], *mults)]
        temporal_upsample = config.temporal_downsample[::-1]
        self.conv1 = CausalConv3d(config.z_dim, dims[0], (3, 3, 3))
        self.middle = _middle(dims[0])
        layers: list[nn.Module] = []
        for level, (in_dim, out_dim) in enumerate(pairwise(dims)):
            # The upsampling before each later level has halved the channels already.
            start_dim = in_dim // 2 if level else in_dim
            for block in range(config.num_res_blocks + 1):
                layers.append(ResidualBlock(out_dim if block else start_dim, out_dim))
            if level < len(temporal_upsample):
                layers.append(Upsample(out_dim, temporal_upsample[level]))
        self.upsamples = nn.Sequential(*layers)
        self.head = _head(dims[-1], 3)

    def forward(
        self, z: Tensor, cache: CausalCache | None = None, run: SequenceRunner = run_sequence
    ) -> Tensor:
        """Decode ``(B, z_dim, T, h, w)`` to ``(B, 3, F, H, W)``, not clamped, by ``run``."""
        for stage in ((self.conv1,), self.middle, self.upsamples, self.head):
            z = run(stage, z, cache)
        return z
