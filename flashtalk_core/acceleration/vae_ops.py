"""Elementwise work of the autoencoder over pixels with channels innermost.

Axis legend: C channels, P pixels of all frames.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields

import torch
import torch.nn.functional as F
from torch import Tensor

from .fallback import fallbacks


def activate_rows(pixels: Tensor, bias: Tensor, gamma: Tensor, out: Tensor) -> None:
    """Write bias, norm over channels and SiLU of ``pixels`` to ``out``.

    Args:
        pixels: ``(P, C)``, any float dtype; summed in float32.
        bias: What the convolution before left out, ``(C,)``.
        gamma: Learned scale of the norm, ``(C,)``.
        out: ``(P, C)``, overwritten.
    """
    wide = pixels.float() + bias.float()
    length = wide.square().sum(dim=-1, keepdim=True).sqrt().clamp(min=1e-12)
    out.copy_(F.silu(wide / length * pixels.shape[1] ** 0.5 * gamma.float()))


def add_rows(pixels: Tensor, others: Tensor, bias: Tensor, out: Tensor) -> None:
    """Write the sum of two ``(P, C)`` and a bias ``(C,)``, taken in float32, to ``out``."""
    out.copy_(pixels.float() + others.float() + bias.float())


def shift_rows(pixels: Tensor, bias: Tensor) -> None:
    """Add ``bias`` ``(C,)`` to ``pixels`` ``(P, C)`` in place, in float32."""
    pixels.copy_(pixels.float() + bias.float())


@dataclass(frozen=True)
class RowKernels:
    """The kernels: eager, or each fused into one pass."""

    activate: Callable[..., None] = activate_rows
    add: Callable[..., None] = add_rows
    shift: Callable[..., None] = shift_rows

    @classmethod
    def triton(cls) -> RowKernels:
        """Return Triton's; needs a GPU that it supports. What fails there runs eagerly."""
        from .triton import pixels

        return cls(pixels.activate_rows, pixels.add_rows, pixels.shift_rows).or_eager()

    def or_eager(self) -> RowKernels:
        """Return these, each with the eager one as fallback."""
        return RowKernels(**fallbacks([each.name for each in fields(self)], self, RowKernels()))


def as_rows(clip: Tensor, num_channels: int | None = None) -> Tensor:
    """View ``(C, F, H, W)`` with channels innermost as ``(P, C)``, or its first channels."""
    return clip.permute(1, 2, 3, 0).view(-1, clip.shape[0])[:, :num_channels]


def as_words(rows: Tensor) -> Tensor:
    """View numbers ``(..., C)`` as eight-byte words where they fill them.

    PyTorch copies and fills tensors that are not contiguous number by number; fewer and longer
    numbers make it as many times faster.
    """
    fills = rows.shape[-1] * rows.element_size() % 8 == 0
    starts = rows.storage_offset() * rows.element_size() % 8 == 0
    steps = all(step * rows.element_size() % 8 == 0 for step in rows.stride()[:-1])
    return rows.view(torch.int64) if fills and starts and steps else rows
