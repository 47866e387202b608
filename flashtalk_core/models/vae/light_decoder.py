"""A small decoder of the autoencoder's latents: images, each with the one before it.

Axis legend: B batch, C channels, T latent frames, F frames at this level, N frames of all clips,
H W pixels, h w latent cells.
"""

from __future__ import annotations

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...config.networks import VAEConfig
from ...geometry import TEMPORAL_STRIDE
from .cache import CausalCache

_START = "light decoder"
"""Name of the cache's note that a clip has begun."""


class _Clamp(nn.Module):
    """Latents bent to lie between -3 and 3."""

    def forward(self, x: Tensor) -> Tensor:
        """Return numbers of the same shape."""
        return torch.tanh(x / 3) * 3


class _Conv(nn.Conv2d):
    """A convolution of images whose channels lie last, as its weights do then."""

    def __init__(self, in_dim: int, out_dim: int, bias: bool = True) -> None:
        super().__init__(in_dim, out_dim, 3, padding=1, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        """Convolve ``(N, C, H, W)``."""
        # A third less time on a CPU; nothing to do where they were laid out once.
        weight = self.weight.contiguous(memory_format=torch.channels_last)
        return self._conv_forward(x, weight, self.bias)  # what guards half precision


class PastBlock(nn.Module):
    """Three convolutions over a frame and the frame before it, with a shortcut."""

    layer_name = ""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.conv = nn.Sequential(
            _Conv(2 * dim, dim),
            nn.ReLU(inplace=True),
            _Conv(dim, dim),
            nn.ReLU(inplace=True),
            _Conv(dim, dim),
        )

    def forward(self, x: Tensor, batch: int, cache: CausalCache | None) -> Tensor:
        """Run on the ``(N, C, H, W)`` frames of ``batch`` clips; before a clip are zeros."""
        past = None if cache is None else cache.read(self.layer_name)
        # Clips stay images, whose channels lie last in memory.
        clips, before = x.chunk(batch), []
        for index, clip in enumerate(clips):
            first = torch.zeros_like(clip[:1]) if past is None else past[index : index + 1]
            before += [first, clip[:-1]]
        if cache is not None:
            cache.put(self.layer_name, torch.cat([clip[-1:] for clip in clips]))
        return F.relu_(self.conv(torch.cat([x, torch.cat(before)], dim=1)) + x)


class _TimeGrow(nn.Module):
    """Every frame becomes ``factor`` frames."""

    def __init__(self, dim: int, factor: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(dim, dim * factor, 1, bias=False)
        self.factor = factor

    def forward(self, x: Tensor) -> Tensor:
        """Return ``(factor * N, C, H, W)``."""
        # Channels stay last in memory, as the next convolution takes them.
        pixels = self.conv(x).permute(0, 2, 3, 1).unflatten(-1, (self.factor, -1))
        return pixels.permute(0, 3, 1, 2, 4).flatten(0, 1).permute(0, 3, 1, 2)


class LightDecoder(nn.Sequential):
    """A decoder in the layout of TAEHV (``taew2_1`` and others), of any width.

    Its latents are normalised ones, its frames 0 to 1. Source of the layout and of the names of
    the parameters: madebyollin/taehv, ``TAEHV.decoder``.
    """

    def __init__(self, config: VAEConfig) -> None:
        widths = config.light_widths
        layers: list[nn.Module] = [_Clamp(), _Conv(config.z_dim, widths[0]), nn.ReLU()]
        for level, (width, next_width) in enumerate(pairwise(widths)):
            layers += [PastBlock(width) for _ in range(config.light_blocks)]
            grows = 2 ** (level + 1) * config.light_patch <= config.spatial_stride
            layers.append(nn.Upsample(scale_factor=2.0 if grows else 1.0))
            layers.append(_TimeGrow(width, 2 if level else 1))
            layers.append(_Conv(width, next_width, bias=False))
        layers += [nn.ReLU(), _Conv(widths[-1], 3 * config.light_patch**2)]
        super().__init__(*layers)
        self._patch = config.light_patch
        for name, layer in self.named_modules():
            if isinstance(layer, PastBlock):
                layer.layer_name = f"light.{name}"

    def forward(self, latent: Tensor, cache: CausalCache | None = None) -> Tensor:
        """Decode ``(B, z_dim, T, h, w)``, normalised, to ``(B, 3, F, H, W)``, not clamped.

        Args:
            latent: Of a whole clip, or the next latent frames of one.
            cache: What earlier calls left, of a clip in several calls.
        """
        batch = latent.shape[0]
        is_start = cache is None or cache.read(_START) is None
        if cache is not None and is_start:
            cache.write(_START, latent.new_zeros(()))
        x = latent.transpose(1, 2).flatten(0, 1).contiguous(memory_format=torch.channels_last)
        for layer in self:
            x = layer(x, batch, cache) if isinstance(layer, PastBlock) else layer(x)
        if self._patch > 1:
            x = F.pixel_shuffle(x, self._patch)
        frames = x.unflatten(0, (batch, -1)).transpose(1, 2)
        # The first latent frame stands for one frame.
        return 2 * (frames[:, :, TEMPORAL_STRIDE - 1 :] if is_start else frames) - 1
