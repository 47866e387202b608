"""A small encoder of frames: images, each with the one before it.

Axis legend: B batch, C channels, T latent frames, F frames, N frames of all clips, H W pixels,
h w latent cells.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ...geometry import TEMPORAL_STRIDE
from .cache import CausalCache
from .light_decoder import PastBlock

_STRIDES = (2, 2, 1)
"""Frames that become one at each level, each of which halves height and width."""


class _TimePool(nn.Module):
    """Every ``factor`` frames become one."""

    def __init__(self, dim: int, factor: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(dim * factor, dim, 1, bias=False)
        self.factor = factor

    def forward(self, x: Tensor) -> Tensor:
        """Return ``(N / factor, C, H, W)``."""
        pooled: Tensor = self.conv(x.unflatten(0, (-1, self.factor)).flatten(1, 2))
        return pooled


class LightEncoder(nn.Sequential):
    """An encoder in the layout of TAEHV, of any width.

    Its frames are 0 to 1. Source of the layout and of the names of the parameters:
    madebyollin/taehv, ``TAEHV.encoder``.
    """

    def __init__(self, width: int, num_blocks: int, z_dim: int) -> None:
        layers: list[nn.Module] = [nn.Conv2d(3, width, 3, padding=1), nn.ReLU()]
        for stride in _STRIDES:
            layers.append(_TimePool(width, stride))
            layers.append(nn.Conv2d(width, width, 3, stride=2, padding=1, bias=False))
            layers += [PastBlock(width) for _ in range(num_blocks)]
        layers.append(nn.Conv2d(width, z_dim, 3, padding=1))
        super().__init__(*layers)
        for name, layer in self.named_modules():
            if isinstance(layer, PastBlock):
                layer.layer_name = f"light encoder.{name}"

    def forward(self, video: Tensor, cache: CausalCache | None = None) -> Tensor:
        """Encode ``(B, 3, 4 * T, H, W)`` in ``[-1, 1]`` to ``(B, z_dim, T, h, w)``.

        Args:
            video: Of a whole clip, or the next frames of one; four become one latent frame.
            cache: What earlier calls left, of a clip in several calls.
        """
        batch = video.shape[0]
        x = ((video + 1) / 2).transpose(1, 2).flatten(0, 1)
        x = x.contiguous(memory_format=torch.channels_last)
        for layer in self:
            x = layer(x, batch, cache) if isinstance(layer, PastBlock) else layer(x)
        return x.unflatten(0, (batch, -1)).transpose(1, 2)


def fill_last_latent(video: Tensor) -> Tensor:
    """Repeat the last frame of ``(B, 3, F, H, W)`` until F is a multiple of four.

    So the encoder was trained: a clip of 5 frames is 4 and then one, which counts four times. The
    decoder's first latent frame stands for one frame all the same.
    """
    missing = -video.shape[2] % TEMPORAL_STRIDE
    return torch.cat([video, video[:, :, -1:].expand(-1, -1, missing, -1, -1)], dim=2)
