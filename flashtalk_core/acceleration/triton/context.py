"""Attention to prompt and image, whose keys are few, in one kernel.

Axis legend: L tokens, N heads, D head dim, K keys.
"""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def _attend(
    q,
    keys,
    values,
    num_keys,
    last_bias,
    stride,
    scale,
    head_dim: tl.constexpr,
    block_q: tl.constexpr,
    block_k: tl.constexpr,
):
    """Attend from ``(block_q, D)`` to ``num_keys`` rows; the last has a bias on its logit."""
    channels = tl.arange(0, head_dim)
    top = tl.full((block_q,), -1e30, tl.float32)
    length = tl.zeros((block_q,), tl.float32)
    out = tl.zeros((block_q, head_dim), tl.float32)
    for start in range(0, num_keys, block_k):
        rows = start + tl.arange(0, block_k)
        at = rows[:, None] * stride + channels[None]
        inside = rows[:, None] < num_keys
        key = tl.load(keys + at, mask=inside, other=0.0)
        logits = tl.dot(q, tl.trans(key)) * scale
        logits += tl.where(rows == num_keys - 1, last_bias, 0.0)[None]
        logits = tl.where((rows < num_keys)[None], logits, -1e30)
        new_top = tl.maximum(top, tl.max(logits, axis=1))
        decay = tl.exp(top - new_top)
        weights = tl.exp(logits - new_top[:, None])
        length = length * decay + tl.sum(weights, axis=1)
        value = tl.load(values + at, mask=inside, other=0.0)
        out = out * decay[:, None] + tl.dot(weights.to(value.dtype), value)
        top = new_top
    return out / length[:, None]


@triton.jit
def attend(
    q,
    text_keys,
    text_values,
    image_keys,
    image_values,
    out,
    num_rows,
    num_text,
    num_image,
    text_bias,
    image_bias,
    scale,
    width: tl.constexpr,
    head_dim: tl.constexpr,
    block_q: tl.constexpr,
    block_k: tl.constexpr,
):
    """Write the sum of both attentions; keys lie as rows of ``width``, head by head."""
    start, head = tl.program_id(0) * block_q, tl.program_id(1) * head_dim
    at = tl.arange(0, block_q)[:, None] * width + tl.arange(0, head_dim)[None]
    inside = tl.arange(0, block_q)[:, None] < num_rows - start
    first = start.to(tl.int64) * width + head
    query = tl.load(q + first + at, mask=inside, other=0.0)
    total = _attend(
        query, text_keys + head, text_values + head, num_text, text_bias,
        width, scale, head_dim, block_q, block_k,
    ).to(out.dtype.element_ty)  # fmt: skip
    total += _attend(
        query, image_keys + head, image_values + head, num_image, image_bias,
        width, scale, head_dim, block_q, block_k,
    ).to(out.dtype.element_ty)  # fmt: skip
    tl.store(out + first + at, total, mask=inside)
