"""The autoencoder's norms, sums and biases over pixels with channels innermost.

Axis legend: P pixels of all frames, C channels.
"""

from __future__ import annotations

import triton
import triton.language as tl
from torch import Tensor

from .launch import launch

_BLOCK = 2048
"""Numbers one program works on."""


@triton.jit
def _activate(
    pixels, bias, gamma, out, num_pixels, stride, out_stride, root,
    width: tl.constexpr, channels: tl.constexpr, rows: tl.constexpr,
):  # fmt: skip
    """Write ``silu(norm(pixels + bias) * gamma)``; ``channels`` is a power of two, or more."""
    row = (tl.program_id(0).to(tl.int64) * rows + tl.arange(0, rows))[:, None]
    column = tl.arange(0, channels)[None]
    inside = (row < num_pixels) & (column < width)
    value = tl.load(pixels + row * stride + column, mask=inside, other=0.0).to(tl.float32)
    value += tl.load(bias + column, mask=column < width, other=0.0).to(tl.float32)
    length = tl.maximum(tl.sqrt(tl.sum(value * value, axis=1)), 1e-12)
    value = value * (root / length)[:, None]
    value *= tl.load(gamma + column, mask=column < width, other=0.0).to(tl.float32)
    value *= tl.sigmoid(value)
    tl.store(out + row * out_stride + column, value.to(out.dtype.element_ty), mask=inside)


@triton.jit
def _add(
    pixels, others, bias, out, num_pixels, stride, other_stride, out_stride,
    width: tl.constexpr, channels: tl.constexpr, rows: tl.constexpr, has_other: tl.constexpr,
):  # fmt: skip
    """Write ``pixels + others + bias``; ``channels`` is a power of two, or more."""
    row = (tl.program_id(0).to(tl.int64) * rows + tl.arange(0, rows))[:, None]
    column = tl.arange(0, channels)[None]
    inside = (row < num_pixels) & (column < width)
    value = tl.load(pixels + row * stride + column, mask=inside, other=0.0).to(tl.float32)
    if has_other:
        other = tl.load(others + row * other_stride + column, mask=inside, other=0.0)
        value += other.to(tl.float32)
    value += tl.load(bias + column, mask=column < width, other=0.0).to(tl.float32)
    tl.store(out + row * out_stride + column, value.to(out.dtype.element_ty), mask=inside)


def activate_rows(pixels: Tensor, bias: Tensor, gamma: Tensor, out: Tensor) -> None:
    """See :func:`rows.activate_rows`."""
    grid, sizes = _launch(pixels)
    launch(
        _activate, grid, pixels, pixels, bias, gamma, out, len(pixels), pixels.stride(0),
        out.stride(0), pixels.shape[1] ** 0.5, **sizes,
    )  # fmt: skip


def add_rows(pixels: Tensor, others: Tensor, bias: Tensor, out: Tensor) -> None:
    """See :func:`rows.add_rows`."""
    grid, sizes = _launch(pixels)
    launch(
        _add, grid, pixels, pixels, others, bias, out, len(pixels), pixels.stride(0),
        others.stride(0), out.stride(0), has_other=True, **sizes,
    )  # fmt: skip


def shift_rows(pixels: Tensor, bias: Tensor) -> None:
    """See :func:`rows.shift_rows`."""
    grid, sizes = _launch(pixels)
    launch(
        _add, grid, pixels, pixels, pixels, bias, pixels, len(pixels), pixels.stride(0), 0,
        pixels.stride(0), has_other=False, **sizes,
    )  # fmt: skip


def _launch(pixels: Tensor) -> tuple[tuple[int], dict[str, int]]:
    """Return the number of programs and their sizes."""
    num_pixels, width = pixels.shape
    channels = 1 << (width - 1).bit_length()
    rows = max(1, _BLOCK // channels)
    return (-(-num_pixels // rows),), {"width": width, "channels": channels, "rows": rows}
