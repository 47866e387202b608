"""The operations of a transformer block by Triton's kernels.

Axis legend: L tokens, C channels of a row, N heads, D head dim, K keys.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ...quantization.fp8 import FLOAT8, FP8
from ...quantization.linear_format import DENSE, LinearFormat, Rows
from ..block_ops import ContextKeys, EagerKernels
from . import absorb, context
from . import rows as row_kernels
from .launch import launch

_BLOCK_Q, _BLOCK_K, _BLOCK_ABSORB = 64, 32, 128
_WRITTEN = (DENSE, FP8)
"""Formats whose rows the kernels write; others take a separate pass."""


class TritonKernels:
    """:class:`BlockKernels` in one pass each; what a kernel does not support runs eagerly."""

    def __init__(self, eager: EagerKernels) -> None:
        """Use ``eager`` for head dims and groups that are no power of two."""
        self._eager = eager

    def add_norm(
        self,
        x: Tensor,
        branch: Tensor | None,
        gate: Tensor | None,
        scale: Tensor,
        shift: Tensor,
        *,
        eps: float,
        plus_one: bool,
        rows: LinearFormat,
    ) -> tuple[Tensor, Rows]:
        """See :class:`BlockKernels`."""
        if rows not in _WRITTEN:
            return self._eager.add_norm(
                x, branch, gate, scale, shift, eps=eps, plus_one=plus_one, rows=rows
            )
        total = x if branch is None else torch.empty_like(x)
        out, factors = _outputs(x, rows)
        launch(
            row_kernels.add_norm, (len(x),), x, x, branch, gate, scale, shift, total, out, factors,
            eps,
            **_cut(x.shape[1]), has_branch=branch is not None, has_gate=gate is not None,
            has_norm=True, plus_one=plus_one, float8=rows is FP8,
        )  # fmt: skip
        return total, (out, factors) if factors is not None else out

    def add(self, x: Tensor, branch: Tensor, gate: Tensor) -> Tensor:
        """See :class:`BlockKernels`."""
        total = torch.empty_like(x)
        launch(
            row_kernels.add_norm, (len(x),), x, x, branch, gate, None, None, total, None, None, 0.0,
            **_cut(x.shape[1]), has_branch=True, has_gate=True,
            has_norm=False, plus_one=False, float8=False,
        )  # fmt: skip
        return total

    def rms(
        self,
        x: Tensor,
        weight: Tensor,
        eps: float,
        rotation: Tensor | None,
        float8_factor: float | None = None,
    ) -> Tensor:
        """See :class:`BlockKernels`."""
        out = torch.empty_like(x, dtype=x.dtype if float8_factor is None else FLOAT8)
        head_dim = 0 if rotation is None else 2 * rotation.shape[1]
        launch(
            row_kernels.rms, (len(x),), x, x, weight, rotation, out, eps, float8_factor or 1.0,
            **_cut(x.shape[1]), head_dim=head_dim,
        )  # fmt: skip
        return out

    def to_linear(self, x: Tensor, *, gelu: bool, rows: LinearFormat) -> Rows:
        """See :class:`BlockKernels`."""
        if not gelu and rows is DENSE:
            return x
        if rows not in _WRITTEN:
            return self._eager.to_linear(x, gelu=gelu, rows=rows)
        out, factors = _outputs(x, rows)
        launch(
            row_kernels.to_linear, (len(x),), x, x, out, factors,
            **_cut(x.shape[1]), gelu=gelu, float8=rows is FP8,
        )  # fmt: skip
        return (out, factors) if factors is not None else out

    def absorb(self, heads: Tensor, weight: Tensor) -> Tensor:
        """See :class:`BlockKernels`."""
        num_frames, num_tokens, num_heads, head_dim = heads.shape
        is_fit = _is_power(num_tokens) and _is_power(head_dim) and min(num_tokens, head_dim) >= 16
        if heads.dtype == torch.float32 or not is_fit:
            return self._eager.absorb(heads, weight)
        width = weight.shape[2]
        out = heads.new_empty(num_frames, num_heads * num_tokens, width)
        launch(
            absorb.absorb, (num_heads, -(-width // _BLOCK_ABSORB)), heads, heads.contiguous(),
            weight, out, num_frames, *weight.stride(),
            num_heads, num_tokens, head_dim, width, _BLOCK_ABSORB,
        )  # fmt: skip
        return out

    def softmax(
        self, logits: Tensor, bias: Tensor, scale: float, group: int, dtype: torch.dtype
    ) -> Tensor:
        """See :class:`BlockKernels`."""
        if not _is_power(group):
            return self._eager.softmax(logits, bias, scale, group, dtype)
        frames, num_rows, width = logits.shape
        out = torch.empty_like(logits, dtype=dtype)
        launch(
            row_kernels.softmax, (frames * num_rows,), out, logits, bias, out, scale, num_rows,
            width, _next_power(width // group), group,
        )  # fmt: skip
        return out

    def attend(self, q: Tensor, text: ContextKeys, image: ContextKeys) -> Tensor:
        """See :class:`BlockKernels`."""
        head_dim = q.shape[2]
        if q.dtype == torch.float32 or head_dim < 16 or not _is_power(head_dim):
            return self._eager.attend(q, text, image)
        return attend_context(q, text, image, _BLOCK_Q, _BLOCK_K, num_warps=4)


def attend_context(
    q: Tensor, text: ContextKeys, image: ContextKeys, block_q: int, block_k: int, **options: int
) -> Tensor:
    """Attend with tiles of ``block_q`` queries and ``block_k`` keys; see :class:`BlockKernels`.

    ``options`` are those of the launch: the number of warps, and of stages.
    """
    num_rows, num_heads, head_dim = q.shape
    out = torch.empty_like(q)
    tensors = [x.contiguous() for x in (text.keys, text.values, image.keys, image.values)]
    launch(
        context.attend, (-(-num_rows // block_q), num_heads), q, q, *tensors, out, num_rows,
        len(text.keys), len(image.keys), math.log(text.last_count),
        math.log(image.last_count), head_dim**-0.5, num_heads * head_dim, head_dim,
        block_q, block_k, **options,
    )  # fmt: skip
    return out


def _outputs(x: Tensor, rows: LinearFormat) -> tuple[Tensor, Tensor | None]:
    if rows is DENSE:
        return torch.empty_like(x), None
    factors = x.new_empty((len(x), 1), dtype=torch.float32)
    return torch.empty_like(x, dtype=FLOAT8), factors


def _cut(width: int) -> dict[str, int]:
    """Return how a row is split into powers of two, and the number of warps."""
    first = 1 << (width.bit_length() - 1)
    rest = width - first
    num_warps = min(16, max(1, first // 512))
    return {
        "width": width,
        "first": first,
        "rest": _next_power(rest) if rest else 0,
        "num_warps": num_warps,
    }


def _next_power(number: int) -> int:
    return 1 << (number - 1).bit_length()


def _is_power(number: int) -> bool:
    return number & (number - 1) == 0
