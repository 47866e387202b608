"""Elementwise work of the autoencoder over pixels with channels innermost, to be compiled.

Axis legend: C channels, P pixels of all frames.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor


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


MAX_KERNELS = 64
"""Forms of one kernel that are compiled: one for each number of channels and spacing of pixels.
The compiler's own limit of 8 would be spent by two models in one process, and what is past it
runs uncompiled."""


@dataclass(frozen=True)
class RowKernels:
    """The kernels, compiled or as they are written."""

    activate: Callable[..., None] = activate_rows
    add: Callable[..., None] = add_rows
    shift: Callable[..., None] = shift_rows

    @classmethod
    def compiled(cls, backend: str) -> RowKernels:
        """Compile each for any number of pixels, once for each number of channels.

        Args:
            backend: Compiler, by the name that ``torch.compile`` knows.
        """
        return cls(*(_compile(kernel, backend) for kernel in (activate_rows, add_rows, shift_rows)))


def _compile(kernel: Callable[..., None], backend: str) -> Callable[..., None]:
    compiled = torch.compile(kernel, backend=backend, dynamic=False)

    def run(*tensors: Tensor) -> None:
        for tensor in tensors:
            if tensor.ndim == 2:
                torch._dynamo.maybe_mark_dynamic(tensor, 0)
        with torch._dynamo.config.patch(recompile_limit=MAX_KERNELS):
            compiled(*tensors)

    return run


def as_rows(clip: Tensor, num_channels: int | None = None) -> Tensor:
    """View ``(C, F, H, W)`` with channels innermost as ``(P, C)``, or its first channels."""
    rows = clip.permute(1, 2, 3, 0).view(-1, clip.shape[0])
    # Without ``data`` the compiler would know the tensor as a view, and compile again for every
    # other shape of what it is a view of.
    return rows[:, :num_channels].data


def as_words(rows: Tensor) -> Tensor:
    """View numbers ``(..., C)`` as eight-byte words where they fill them.

    PyTorch copies and fills tensors that are not contiguous number by number; fewer and longer
    numbers make it as many times faster.
    """
    fills = rows.shape[-1] * rows.element_size() % 8 == 0
    starts = rows.storage_offset() * rows.element_size() % 8 == 0
    steps = all(step * rows.element_size() % 8 == 0 for step in rows.stride()[:-1])
    return rows.view(torch.int64) if fills and starts and steps else rows
