"""Grouped convolution over time as one batched matrix product.

cuDNN runs wav2vec2's positional convolution (768 channels, 16 groups, kernel 128) in bfloat16 as
one slow kernel a group, 15 ms on an H200; its arithmetic takes 0.1 ms.

Axis legend: B batch, G groups, C channels, S positions, K kernel.
"""

from __future__ import annotations

from functools import partial

import torch.nn.functional as F
from torch import Tensor, nn

from .half_precision import convolve


def convolve_groups(
    x: Tensor, weight: Tensor, bias: Tensor | None, padding: int, groups: int
) -> Tensor:
    """Convolve with stride 1, as ``torch.nn.functional.conv1d`` does.

    Args:
        x: ``(B, C, S)``, any floating-point dtype.
        weight: ``(out, C / G, K)``.
        bias: ``(out,)``, or ``None``.
        padding: Zeros at each end.
        groups: G; channels in and out are multiples of it.

    Returns:
        ``(B, out, S + 2 * padding - K + 1)`` in the dtype of ``x``.
    """
    batch, channels, _ = x.shape
    outputs, inputs, kernel = weight.shape
    windows = F.pad(x, (padding, padding)).unfold(2, kernel, 1)
    # (B, G, C / G, S', K) -> (B, G, S', C / G * K)
    rows = windows.unflatten(1, (groups, channels // groups)).transpose(2, 3).flatten(3)
    columns = weight.reshape(groups, outputs // groups, inputs * kernel).transpose(1, 2)
    out = (rows @ columns).transpose(2, 3).reshape(batch, outputs, -1)
    return out if bias is None else out + bias[:, None]


def multiply_groups(layer: nn.Conv1d) -> None:
    """Make ``layer`` use :func:`convolve_groups`, except on a CPU, where that is slower."""
    assert layer.stride == (1,)
    assert layer.dilation == (1,)
    padding = layer.padding[0]
    assert isinstance(padding, int)
    # Nothing here refers to the layer: it would keep its own weights alive.
    forward = partial(_forward, padding=padding, groups=layer.groups)
    layer._conv_forward = forward  # type: ignore[method-assign]


def _forward(
    x: Tensor, weight: Tensor, bias: Tensor | None, *, padding: int, groups: int
) -> Tensor:
    if x.device.type == "cpu":
        return convolve(F.conv1d, x, weight, bias, padding=padding, groups=groups)
    return convolve_groups(x, weight, bias, padding, groups)
