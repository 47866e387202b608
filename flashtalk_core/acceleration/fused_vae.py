"""The autoencoder's layers with channels last: norms, sums and biases fused, no copies to join.

Axis legend: B batch, C channels, F frames at this level, H W pixels at this level.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..models.half_precision import convolve
from ..models.vae.cache import CausalCache
from ..models.vae.layers import CausalConv3d, ResidualBlock, RMSNorm, Upsample, run_sequence
from ..models.vae.model import VideoVAE
from .vae_ops import RowKernels, as_rows, as_words

MIN_CHANNELS = 8
"""The fewest input channels that a GPU's matrix units can be fed with."""
CHANNEL_MULTIPLE = 64
"""cuDNN's kernels for Hopper take multiples of this many channels; other numbers run on kernels
of the generation before."""


class FusedRunner:
    """Runs the layers of an encoder or a decoder with less traffic to memory.

    Eager execution makes five passes for norm and activation, one to join the past, one for every
    bias and one for every sum. Here norm, activation and the bias before them are one pass that
    writes straight behind the past frames, and a sum takes its bias along. Where a gradient is
    wanted, layers run eagerly.
    """

    def __init__(self, kernels: RowKernels) -> None:
        self._kernels = kernels

    def __call__(self, layers: Iterable[nn.Module], x: Tensor, cache: CausalCache | None) -> Tensor:
        """Run ``layers`` on ``(B, C, F, H, W)``; see :func:`run_sequence`."""
        layers = list(layers)
        if torch.is_grad_enabled():
            return run_sequence(layers, x, cache)
        x = x.contiguous(memory_format=torch.channels_last_3d)
        if isinstance(layers[0], RMSNorm):
            return self._head(layers, x, cache)
        for layer in layers:
            x = self._run_layer(layer, x, cache).contiguous(memory_format=torch.channels_last_3d)
        return x

    def _run_layer(self, layer: nn.Module, x: Tensor, cache: CausalCache | None) -> Tensor:
        if isinstance(layer, ResidualBlock):
            return self._residual(layer, x, cache)
        if isinstance(layer, Upsample):
            return self._enlarge(layer, x, cache)
        if isinstance(layer, CausalConv3d):
            return self._first(layer, x, cache)
        return run_sequence([layer], x, cache)

    def _first(self, conv: CausalConv3d, x: Tensor, cache: CausalCache | None) -> Tensor:
        past = conv.read_past(cache)
        width = _weight(conv).shape[1]
        shape = (x.shape[0], width, conv.lookback + x.shape[2], *x.shape[3:])
        joined = _empty_channels_last(shape, x).zero_()
        if past is not None:
            joined[:, :, : conv.lookback] = past
        joined[:, : conv.in_channels, conv.lookback :] = x
        conv.remember(joined, cache)
        assert conv.bias is not None
        return self._shift(self._convolve(conv, joined)[:, : conv.out_channels], conv.bias)

    def _head(self, layers: list[nn.Module], x: Tensor, cache: CausalCache | None) -> Tensor:
        norm, _, conv = layers
        assert isinstance(norm, RMSNorm)
        assert isinstance(conv, CausalConv3d)
        out = self._convolve(conv, self._activate(norm, conv, x, None, cache))
        assert conv.bias is not None
        return out[:, : conv.out_channels] + conv.bias.view(-1, 1, 1, 1)

    def _residual(self, block: ResidualBlock, x: Tensor, cache: CausalCache | None) -> Tensor:
        first, _, conv1, second, _, _, conv2 = block.residual
        assert isinstance(first, RMSNorm)
        assert isinstance(second, RMSNorm)
        assert isinstance(conv1, CausalConv3d)
        assert isinstance(conv2, CausalConv3d)
        inner = self._convolve(conv1, self._activate(first, conv1, x, None, cache))
        joined = self._activate(second, conv2, inner, conv1.bias, cache)
        del inner
        out, bias = self._convolve(conv2, joined), conv2.bias
        del joined
        assert bias is not None
        if isinstance(block.shortcut, CausalConv3d):
            assert block.shortcut.bias is not None
            x, bias = convolve(F.conv3d, x, block.shortcut.weight), bias + block.shortcut.bias
        return self._add(x, out, bias)

    def _enlarge(self, layer: Upsample, x: Tensor, cache: CausalCache | None) -> Tensor:
        conv = layer.resample[1]
        assert isinstance(conv, nn.Conv2d)
        x = layer.enlarge_time(x, cache)
        images = double_images(x.transpose(1, 2).flatten(0, 1))
        out = convolve(F.conv2d, images, conv.weight, padding=conv.padding)
        del images
        assert conv.bias is not None
        return self._shift(out.unflatten(0, (x.shape[0], -1)).transpose(1, 2), conv.bias)

    def _activate(
        self,
        norm: RMSNorm,
        conv: CausalConv3d,
        x: Tensor,
        bias: Tensor | None,
        cache: CausalCache | None,
    ) -> Tensor:
        """Return what ``conv`` takes: past frames, then ``silu(norm(x + bias))``, padded."""
        channels = norm.gamma.shape[0]
        past = conv.read_past(cache)
        width = _weight(conv).shape[1]
        shape = (x.shape[0], width, conv.lookback + x.shape[2], *x.shape[3:])
        joined = _empty_channels_last(shape, x)
        joined[:, :, : conv.lookback] = 0 if past is None else past
        bias = norm.gamma.new_zeros(channels) if bias is None else bias
        gamma = norm.gamma.detach().flatten()
        for clip, out in zip(x, joined[:, :, conv.lookback :], strict=True):
            rows = as_rows(out)
            as_words(rows[:, channels:]).zero_()
            active = rows[:, :channels]
            self._kernels.activate(as_rows(clip, channels), bias, gamma, active)
        conv.remember(joined, cache)
        return joined

    def _convolve(self, conv: CausalConv3d, joined: Tensor) -> Tensor:
        """Convolve without bias; output channels are padded like the input's."""
        out = conv.convolve(joined, _weight(conv), None)
        return out.contiguous(memory_format=torch.channels_last_3d)

    def _shift(self, x: Tensor, bias: Tensor) -> Tensor:
        """Add a bias in place, or to a copy where channels were not innermost."""
        x = x.contiguous(memory_format=torch.channels_last_3d)
        for clip in x:
            self._kernels.shift(as_rows(clip), bias)
        return x

    def _add(self, x: Tensor, others: Tensor, bias: Tensor) -> Tensor:
        out = _empty_channels_last(x.shape, x)
        for one, other, total in zip(x, others, out, strict=True):
            self._kernels.add(as_rows(one), as_rows(other, x.shape[1]), bias, as_rows(total))
        return out


def double_images(images: Tensor) -> Tensor:
    """Repeat every pixel of ``(N, C, H, W)`` twice each way; same dtype, channels last."""
    words = as_words(images.permute(0, 2, 3, 1).contiguous())
    num, height, width, length = words.shape
    doubled = words[:, :, None, :, None].expand(num, height, 2, width, 2, length)
    doubled = doubled.reshape(num, 2 * height, 2 * width, length)
    return doubled.view(images.dtype).permute(0, 3, 1, 2)


def pad_weights(vae: VideoVAE, channel_multiple: int = CHANNEL_MULTIPLE) -> None:
    """Make the padded copies of some weights that :class:`FusedRunner` multiplies with.

    Args:
        vae: Its parameters and the names in its state stay. The copies move with it; they do
            not follow later training.
        channel_multiple: Channels of 3-D convolutions are padded with zeros to a multiple of
            this, if there are at least as many.
    """
    for part in (vae.encoder, vae.decoder):
        for conv in part.modules():
            if isinstance(conv, CausalConv3d) and conv.kernel_size == (3, 3, 3):
                _pad_weight(conv, channel_multiple)


def drop_padding(vae: VideoVAE) -> None:
    """Forget the padded weights of :func:`pad_weights`."""
    for conv in vae.modules():
        if isinstance(conv, CausalConv3d):
            conv.padded_weight = None


def _pad_weight(conv: CausalConv3d, multiple: int) -> None:
    """Store a copy of the weight of ``conv`` with zero-padded channels, channels last.

    As a buffer it is moved and evicted with the weights.
    """
    weight, sizes = conv.weight.detach(), _padded_sizes(conv, multiple)
    if sizes == weight.shape[:2]:
        return
    padded = weight.new_zeros(*sizes, *weight.shape[2:])
    padded[: weight.shape[0], : weight.shape[1]] = weight
    padded = padded.contiguous(memory_format=torch.channels_last_3d)
    conv.padded_weight = padded


def _padded_sizes(conv: CausalConv3d, multiple: int) -> tuple[int, int]:
    """Return output and input channels rounded up, where that is worth it."""
    sizes = conv.out_channels, conv.in_channels
    if sizes[1] < MIN_CHANNELS:
        return sizes[0], MIN_CHANNELS
    if min(sizes) < multiple:
        return sizes
    rows, columns = (-(-size // multiple) * multiple for size in sizes)
    return rows, columns


def _weight(conv: CausalConv3d) -> Tensor:
    """Return the weight that a fused ``conv`` multiplies with."""
    return conv.weight if conv.padded_weight is None else conv.padded_weight


def keep_channels_last(network: nn.Module) -> None:
    """Store the weights of all convolutions with channels innermost; values and names stay."""
    formats = {4: torch.channels_last, 5: torch.channels_last_3d}
    for parameter in network.parameters():
        if parameter.ndim in formats:
            parameter.data = parameter.data.contiguous(memory_format=formats[parameter.ndim])


def _empty_channels_last(shape: tuple[int, ...], like: Tensor) -> Tensor:
    return torch.empty(
        shape, dtype=like.dtype, device=like.device, memory_format=torch.channels_last_3d
    )
