"""Queries, keys and values in 8-bit integers, for :mod:`.int8_attention`.

Axis legend: L tokens, N heads, D head dim, B blocks of 128 tokens.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import triton
import triton.language as tl
from torch import Tensor

from .launch import launch

BLOCK = 128
"""Keys of a block, which share one scale."""
_ROWS = 64
_SUMMARISED = (32, 16)
"""Rows at a time, and how often, in one program that summarises."""
MAGIC = tl.constexpr(12582912.0)
"""1.5 * 2**23: floats of this size count in ones, so that their bits are those of an integer."""
MAGIC_BITS = tl.constexpr(0x4B400000)
_LOG2_E = 1.4426950408889634


class Int8Heads(NamedTuple):
    """What the kernel takes."""

    q: Tensor
    """``(L, N * D)`` int8."""
    k: Tensor
    """``(L, N * D)`` int8, the mean over tokens subtracted."""
    v: Tensor
    """``(N * D, B * 128)`` int8, the mean subtracted; tokens in the order of :func:`_token`."""
    q_scales: Tensor
    """Of each query, for logits to the base 2; ``(N, L)`` float32."""
    k_scales: Tensor
    """``(N, B)`` float32."""
    v_scales: Tensor
    """``(N, D)`` float32."""
    v_means: Tensor
    """``(N, D)`` float32."""
    v_sums: Tensor
    """128 times the sum of ``v`` over each block, as the bits of a float; ``(N, B, D)`` int32."""


@triton.jit
def _round(x):
    return (x + MAGIC).to(tl.int32, bitcast=True).to(tl.int8)


@triton.jit
def _token(place):
    """Return the token at a place of a block.

    A thread holds the weights of other tokens as a result than it must hold as an operand; in
    this order of the values they are the same ones, so that weights need not change threads.
    """
    return (place & -16) | ((place & 2) << 2) | ((place & 12) >> 1) | (place & 1)


@triton.jit
def _summarise(
    x, sums, lows, highs, num_rows, width, num_parts,
    head_dim: tl.constexpr, block: tl.constexpr, tiles: tl.constexpr,
):  # fmt: skip
    """Write the sum, the least and the greatest number of each channel of some rows."""
    part, head = tl.program_id(0), tl.program_id(1)
    columns = tl.arange(0, head_dim)
    total = tl.zeros((head_dim,), tl.float32)
    low = tl.full((head_dim,), float("inf"), tl.float32)
    high = tl.full((head_dim,), float("-inf"), tl.float32)
    for tile in range(tiles):
        rows = (part * tiles + tile) * block + tl.arange(0, block)
        inside = (rows < num_rows)[:, None]
        at = rows[:, None].to(tl.int64) * width + head * head_dim + columns[None]
        value = tl.load(x + at, mask=inside, other=0.0).to(tl.float32)
        total += tl.sum(value, axis=0)
        low = tl.minimum(low, tl.min(tl.where(inside, value, float("inf")), axis=0))
        high = tl.maximum(high, tl.max(tl.where(inside, value, float("-inf")), axis=0))
    at = (head * num_parts + part) * head_dim + columns
    tl.store(sums + at, total)
    tl.store(lows + at, low)
    tl.store(highs + at, high)


@triton.jit
def _quantise_queries(
    x, out, scales, num_rows, width, scale, head_dim: tl.constexpr, block: tl.constexpr
):
    """Scale each row of a head to the range of int8."""
    head = tl.program_id(1)
    rows = tl.program_id(0) * block + tl.arange(0, block)
    inside = rows < num_rows
    at = rows[:, None].to(tl.int64) * width + head * head_dim + tl.arange(0, head_dim)[None]
    value = tl.load(x + at, mask=inside[:, None], other=0.0).to(tl.float32)
    undo = tl.maximum(tl.max(tl.abs(value), axis=1), 1e-12) / 127.0
    tl.store(out + at, _round(value * (1.0 / undo)[:, None]), mask=inside[:, None])
    tl.store(scales + head * num_rows + rows, undo * scale, mask=inside)


@triton.jit
def _quantise_keys(
    x, means, out, scales, num_rows, width, num_blocks,
    head_dim: tl.constexpr, block: tl.constexpr,
):  # fmt: skip
    """Subtract the mean and scale a block of a head to the range of int8."""
    number, head = tl.program_id(0), tl.program_id(1)
    rows, columns = number * block + tl.arange(0, block), tl.arange(0, head_dim)
    inside = (rows < num_rows)[:, None]
    at = rows[:, None].to(tl.int64) * width + head * head_dim + columns[None]
    value = tl.load(x + at, mask=inside, other=0.0).to(tl.float32)
    value = tl.where(inside, value - tl.load(means + head * head_dim + columns)[None], 0.0)
    undo = tl.maximum(tl.max(tl.max(tl.abs(value), axis=1), axis=0), 1e-12) / 127.0
    tl.store(out + at, _round(value * (1.0 / undo)), mask=inside)
    tl.store(scales + head * num_blocks + number, undo)


@triton.jit
def _quantise_values(
    x, means, scales, out, sums, num_rows, width, num_blocks,
    head_dim: tl.constexpr, block: tl.constexpr,
):  # fmt: skip
    """Subtract the mean, scale each channel, transpose and reorder a block of a head."""
    number, head = tl.program_id(0), tl.program_id(1)
    places, columns = tl.arange(0, block), tl.arange(0, head_dim)
    rows = number * block + _token(places)
    inside = (rows < num_rows)[:, None]
    at = rows[:, None].to(tl.int64) * width + head * head_dim + columns[None]
    value = tl.load(x + at, mask=inside, other=0.0).to(tl.float32)
    channels = head * head_dim + columns
    value = (value - tl.load(means + channels)[None]) * (1.0 / tl.load(scales + channels))[None]
    value = _round(tl.where(inside, value, 0.0))
    at = channels[:, None].to(tl.int64) * (num_blocks * block) + number * block + places[None]
    tl.store(out + at, tl.trans(value))
    total = tl.sum(value.to(tl.int32), axis=0) * 128 + MAGIC_BITS
    tl.store(sums + (head * num_blocks + number) * head_dim + columns, total)


def quantise_heads(q: Tensor, k: Tensor, v: Tensor) -> Int8Heads:
    """Bring ``(L, N, D)`` of queries, keys and values, any float dtype, to 8-bit integers."""
    heads, head_dim = q.shape[1:]
    q, k, v = (x.contiguous() for x in (q, k, v))
    k_means, _ = _channel_range(k)
    v_means, v_largest = _channel_range(v)
    num_blocks, width = -(-len(k) // BLOCK), heads * head_dim
    sizes = {"head_dim": head_dim, "num_warps": 16}
    found = _empty_heads(q, k, num_blocks)._replace(
        v_means=v_means, v_scales=v_largest.clamp(min=1e-12) / 127
    )
    launch(
        _quantise_queries, (-(-len(q) // _ROWS), heads), q, q, found.q, found.q_scales, len(q),
        width, head_dim**-0.5 * _LOG2_E, block=_ROWS, **sizes,
    )  # fmt: skip
    launch(
        _quantise_keys, (num_blocks, heads), k, k, k_means, found.k, found.k_scales, len(k),
        width, num_blocks, block=BLOCK, **sizes,
    )  # fmt: skip
    launch(
        _quantise_values, (num_blocks, heads), v, v, v_means, found.v_scales, found.v,
        found.v_sums, len(v), width, num_blocks, block=BLOCK, **sizes,
    )  # fmt: skip
    return found


def _empty_heads(q: Tensor, k: Tensor, num_blocks: int) -> Int8Heads:
    heads, head_dim = q.shape[1:]
    numbers = k.new_empty(heads, num_blocks, dtype=torch.float32)
    channels = k.new_empty(heads, head_dim, dtype=torch.float32)
    return Int8Heads(
        q=torch.empty_like(q.flatten(1), dtype=torch.int8),
        k=torch.empty_like(k.flatten(1), dtype=torch.int8),
        v=k.new_empty(heads * head_dim, num_blocks * BLOCK, dtype=torch.int8),
        q_scales=q.new_empty(heads, len(q), dtype=torch.float32),
        k_scales=numbers,
        v_scales=channels,
        v_means=channels,
        v_sums=k.new_empty(heads, num_blocks, head_dim, dtype=torch.int32),
    )


def _channel_range(x: Tensor) -> tuple[Tensor, Tensor]:
    """Return the mean of each channel of ``(L, N, D)``, and the largest distance from it.

    Both are ``(N, D)`` float32.
    """
    length, heads, head_dim = x.shape
    rows, tiles = _SUMMARISED
    parts = -(-length // (rows * tiles))
    found = x.new_empty(3, heads, parts, head_dim, dtype=torch.float32)
    launch(
        _summarise, (parts, heads), x, x, *found, length, heads * head_dim, parts,
        head_dim, rows, tiles, num_warps=4,
    )  # fmt: skip
    means = found[0].sum(dim=1) / length
    return means, torch.maximum(found[2].amax(dim=1) - means, means - found[1].amin(dim=1))
