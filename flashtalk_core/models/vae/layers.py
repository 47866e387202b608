"""Causal layers: they read earlier frames but never later ones.

Each runs on a whole clip (``cache`` is ``None``) or on successive groups of its frames with one
cache; the results are the same.

Axis legend: B batch, C channels, F frames at this level, H W pixels at this level.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..half_precision import HALF, convolve
from .cache import CausalCache


class RMSNorm(nn.Module):
    """Norm over channels with a learned scale, for video ``(B, C, F, H, W)`` or images."""

    def __init__(self, dim: int, num_axes: int = 3) -> None:
        super().__init__()
        self.scale = dim**0.5
        self.gamma = nn.Parameter(torch.ones(dim, *(1,) * num_axes))

    def forward(self, x: Tensor) -> Tensor:
        """Normalise ``x``; same shape and dtype."""
        if x.device.type == "cpu" and x.dtype not in HALF:
            # PyTorch's norm over an axis is seven times slower there.
            squares = x.square().sum(dim=1, keepdim=True)
            return x / squares.clamp(min=1e-24).sqrt() * (self.scale * self.gamma)
        # The usual 1e-12 is zero in float16, and an all-zero pixel would become NaN.
        eps = max(1e-12, torch.finfo(x.dtype).tiny)
        return F.normalize(x, dim=1, eps=eps) * self.scale * self.gamma


class CausalConv3d(nn.Conv3d):
    """Convolution over time and space that pads time with the frames before only."""

    def __init__(self, in_dim: int, out_dim: int, kernel: tuple[int, int, int]) -> None:
        super().__init__(in_dim, out_dim, kernel, padding=(0, kernel[1] // 2, kernel[2] // 2))
        self.lookback = kernel[0] - 1
        self.layer_name = ""
        self.padded_weight: Tensor | None
        # A copy with padded channels for kernels that need them, moved with the weights.
        self.register_buffer("padded_weight", None, persistent=False)

    def forward(self, x: Tensor, cache: CausalCache | None = None) -> Tensor:
        """Convolve ``(B, C, F, H, W)``; frames before the clip count as zeros."""
        if not self.lookback:
            return super().forward(x)
        past = self.read_past(cache)
        if past is None:
            x = F.pad(x, (0, 0, 0, 0, self.lookback, 0))
        else:
            x = torch.cat([past, x], dim=2)
        self.remember(x, cache)
        num_zeros = self.lookback if past is None else 0
        return self.convolve(x, self.weight, self.bias, num_zeros)

    def read_past(self, cache: CausalCache | None) -> Tensor | None:
        """Return the ``lookback`` frames before the next ones; ``None`` stands for zeros."""
        return None if cache is None else cache.read(self.layer_name)

    def remember(self, x: Tensor, cache: CausalCache | None) -> None:
        """Store the last frames of ``(B, C, F, H, W)`` for the next call."""
        if cache is not None:
            cache.write(self.layer_name, x[:, :, -self.lookback :])

    def convolve(
        self, x: Tensor, weight: Tensor, bias: Tensor | None, num_zeros: int = 0
    ) -> Tensor:
        """Convolve with these weights.

        Args:
            x: ``(B, C, lookback + F, H, W)``, past in front.
            weight: As the layer's own.
            bias: As the layer's own.
            num_zeros: Frames in front of which it is known that they are zeros.
        """
        if x.device.type == "cpu":
            return convolve(self._convolve_by_taps, x, weight, bias, num_zeros=num_zeros)
        return F.conv3d(x, weight, bias, padding=self.padding)

    def _convolve_by_taps(
        self, x: Tensor, weight: Tensor, bias: Tensor | None, num_zeros: int
    ) -> Tensor:
        """Convolve as a sum of 2-D convolutions, one for each tap in time.

        PyTorch's 3-D convolution on a CPU is three to ten times slower than this.
        """
        images = x.transpose(1, 2)
        num_frames = images.shape[1] - self.lookback
        is_last = x.is_contiguous(memory_format=torch.channels_last_3d)
        layout = torch.channels_last if is_last else torch.contiguous_format
        # Frames in front that a tap adds nothing to; first come those that reach all frames.
        skipped = [min(max(0, num_zeros - tap), num_frames) for tap in range(self.lookback + 1)]
        out = None
        for tap in sorted(range(self.lookback + 1), key=skipped.__getitem__):
            part = F.conv2d(
                images[:, tap + skipped[tap] : tap + num_frames].flatten(0, 1),
                weight[:, :, tap].contiguous(memory_format=layout),
                bias if out is None and not num_zeros else None,
                padding=self.padding[1:],
            ).unflatten(0, (x.shape[0], -1))
            if out is None:
                # Rounded as where zeros are convolved: fused layers do, and are compared.
                out = part + bias.view(-1, 1, 1) if num_zeros and bias is not None else part
            else:
                out[:, skipped[tap] :] += part
        assert out is not None
        return out.transpose(1, 2)


class ResidualBlock(nn.Module):
    """Two normalised convolutions with a shortcut."""

    def __init__(self, in_dim: int, out_dim: int) -> None:
        super().__init__()
        self.residual = nn.Sequential(
            RMSNorm(in_dim),
            nn.SiLU(),
            CausalConv3d(in_dim, out_dim, (3, 3, 3)),
            RMSNorm(out_dim),
            nn.SiLU(),
            nn.Identity(),  # dropout in the authors' code; preserves the parameter names
            CausalConv3d(out_dim, out_dim, (3, 3, 3)),
        )
        self.shortcut = (
            CausalConv3d(in_dim, out_dim, (1, 1, 1)) if in_dim != out_dim else nn.Identity()
        )

    def forward(self, x: Tensor, cache: CausalCache | None = None) -> Tensor:
        """Run on ``(B, C, F, H, W)``."""
        return self.shortcut(x) + run_sequence(self.residual, x, cache)


class SpatialAttention(nn.Module):
    """Single-head self-attention within each frame."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.norm = RMSNorm(dim, num_axes=2)
        self.to_qkv = nn.Conv2d(dim, 3 * dim, 1)
        self.proj = nn.Conv2d(dim, dim, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Attend within each frame of ``(B, C, F, H, W)``."""
        return self.attend(x, *self.project(x))

    def project(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return queries, keys and values of ``(B, C, F, H, W)``, each ``(B * F, 1, H * W, C)``."""
        images = x.transpose(1, 2).flatten(0, 1)
        qkv = self.to_qkv(self.norm(images)).flatten(2).transpose(1, 2)[:, None]
        queries, keys, values = qkv.contiguous().chunk(3, dim=-1)
        return queries, keys, values

    def attend(self, x: Tensor, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        """Add to ``x`` what its own queries find among keys and values, maybe of more pixels."""
        batch, channels, num_frames, height, width = x.shape
        out = F.scaled_dot_product_attention(queries, keys, values)
        out = out[:, 0].transpose(1, 2).reshape(batch * num_frames, channels, height, width)
        return x + self.proj(out).unflatten(0, (batch, -1)).transpose(1, 2)


class SpatialResample(nn.Module):
    """Halving or doubling of height and width, and of time if ``temporal``."""

    layer_name = ""
    resample: nn.Sequential

    def _per_frame(self, x: Tensor) -> Tensor:
        """Run the 2-D layers on every frame of ``(B, C, F, H, W)``."""
        out = self.resample(x.transpose(1, 2).flatten(0, 1))
        return out.unflatten(0, (x.shape[0], -1)).transpose(1, 2)


class Downsample(SpatialResample):
    """Half the height and width; with ``temporal``, every later pair of frames becomes one."""

    def __init__(self, dim: int, temporal: bool) -> None:
        super().__init__()
        self.resample = nn.Sequential(nn.ZeroPad2d((0, 1, 0, 1)), nn.Conv2d(dim, dim, 3, stride=2))
        self.time_conv = nn.Conv3d(dim, dim, (3, 1, 1), stride=(2, 1, 1)) if temporal else None

    def forward(self, x: Tensor, cache: CausalCache | None = None) -> Tensor:
        """Reduce ``(B, C, F, H, W)``; the first frame of a clip stays a frame of its own."""
        x = self._per_frame(x)
        if self.time_conv is None:
            return x
        past = None if cache is None else cache.read(self.layer_name)
        if cache is not None:
            cache.write(self.layer_name, x[:, :, -1:])
        if past is not None:
            return self.time_conv(torch.cat([past, x], dim=2))
        if x.shape[2] == 1:
            return x
        return torch.cat([x[:, :, :1], self.time_conv(x)], dim=2)


class Upsample(SpatialResample):
    """Twice the height and width; with ``temporal``, every later frame becomes two."""

    def __init__(self, dim: int, temporal: bool) -> None:
        super().__init__()
        self.resample = nn.Sequential(
            nn.Upsample(scale_factor=2.0, mode="nearest-exact"),
            nn.Conv2d(dim, dim // 2, 3, padding=1),
        )
        self.time_conv = CausalConv3d(dim, 2 * dim, (3, 1, 1)) if temporal else None

    def forward(self, x: Tensor, cache: CausalCache | None = None) -> Tensor:
        """Enlarge ``(B, C, F, H, W)``; the first frame of a clip stays a frame of its own."""
        return self._per_frame(self.enlarge_time(x, cache))

    def enlarge_time(self, x: Tensor, cache: CausalCache | None) -> Tensor:
        """Return twice the frames, height and width as they were; see :meth:`forward`."""
        if self.time_conv is None:
            return x
        is_start = cache is None or cache.read(self.layer_name) is None
        first, later = (x[:, :, :1], x[:, :, 1:]) if is_start else (x[:, :, :0], x)
        if cache is not None and is_start:
            cache.write(self.layer_name, x.new_zeros(()))
        if later.shape[2]:
            later = _interleave(self.time_conv(later, cache))
        return torch.cat([first, later], dim=2) if is_start else later


def _interleave(pairs: Tensor) -> Tensor:
    """Lay ``(B, 2 * C, F, H, W)`` out as ``(B, C, 2 * F, H, W)``, channels last if they were."""
    if not pairs.is_contiguous(memory_format=torch.channels_last_3d):
        return pairs.unflatten(1, (2, -1)).permute(0, 2, 3, 1, 4, 5).flatten(2, 3)
    pixels = pairs.permute(0, 2, 3, 4, 1).unflatten(-1, (2, -1))
    return pixels.permute(0, 1, 4, 2, 3, 5).flatten(1, 2).permute(0, 4, 1, 2, 3)


class SequenceRunner(Protocol):
    """Runs layers in order, passing the cache to the causal ones."""

    def __call__(self, layers: Iterable[nn.Module], x: Tensor, cache: CausalCache | None) -> Tensor:
        """Return what :func:`run_sequence` returns."""
        ...


def run_sequence(layers: Iterable[nn.Module], x: Tensor, cache: CausalCache | None) -> Tensor:
    """Run ``layers`` in order, passing the cache to the causal ones."""
    for layer in layers:
        looks_back = isinstance(layer, CausalConv3d | ResidualBlock | Downsample | Upsample)
        x = layer(x, cache) if looks_back else layer(x)
    return x


def split_units(layers: Iterable[nn.Module]) -> list[list[nn.Module]]:
    """Return layers in parts that can run apart: a head as a whole, others one by one."""
    layers = list(layers)
    return [layers] if isinstance(layers[0], RMSNorm) else [[each] for each in layers]


def name_causal_layers(model: nn.Module) -> None:
    """Give every causal layer the name it uses in a :class:`CausalCache`."""
    for name, layer in model.named_modules():
        if isinstance(layer, CausalConv3d | Downsample | Upsample):
            layer.layer_name = name
