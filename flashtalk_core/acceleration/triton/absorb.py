"""Audio keys and values times the projections absorbed into them, head by head.

Axis legend: T latent frames, A audio tokens a frame, N heads, D head dim, C width.
"""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def absorb(
    heads,
    weight,
    out,
    num_frames,
    head_stride,
    row_stride,
    column_stride,
    num_heads: tl.constexpr,
    num_tokens: tl.constexpr,
    head_dim: tl.constexpr,
    width: tl.constexpr,
    block: tl.constexpr,
):
    """Write ``heads (T, A, N, D) @ weight (N, D, C)`` as ``(T, N, A, C)``."""
    head = tl.program_id(0)
    columns = tl.program_id(1) * block + tl.arange(0, block)
    channels, tokens = tl.arange(0, head_dim), tl.arange(0, num_tokens)
    inside = columns < width
    at = head * head_stride + channels[:, None] * row_stride + columns[None] * column_stride
    matrix = tl.load(weight + at, mask=inside[None], other=0.0)
    rows_at = tokens[:, None] * (num_heads * head_dim) + head * head_dim + channels[None]
    out_at = tokens[:, None] * width + columns[None]
    for frame in range(num_frames):
        rows = tl.load(heads + frame * (num_tokens * num_heads * head_dim) + rows_at)
        product = tl.dot(rows, matrix)
        first = (frame * num_heads + head).to(tl.int64) * (num_tokens * width)
        tl.store(out + first + out_at, product.to(out.dtype.element_ty), mask=inside[None])
