"""Attention in 8-bit integers on Hopper.

Products of queries and keys, and of weights and values, are those of 8-bit integers. Keys are
centred, which the softmax does not see; so are values, whose mean is added back, since weights add
up to one. The weights of a block of 128 keys are scaled by its own largest one and rounded to 0 to
254, so that their error is that of 8 bits at every magnitude; in FP8 it would be that of 4.

Sums of integers start at the bits of 1.5 * 2**23, so that they are floats without a conversion,
which a GPU does at a fraction of its speed.

One program attends from 128 queries of a head: 4 warps to each half of them, while one fetches keys
and values.

Axis legend: L tokens, N heads, D head dim, B blocks of 128 tokens.
"""

from __future__ import annotations

import torch
from torch import Tensor
from triton.experimental import gluon
from triton.experimental.gluon import language as gl
from triton.experimental.gluon.language.nvidia.hopper import (
    fence_async_shared,
    mbarrier,
    tma,
    warpgroup_mma,
    warpgroup_mma_wait,
)
from triton.experimental.gluon.nvidia.hopper import TensorDescriptor

from .int8_rows import BLOCK, Int8Heads, quantise_heads
from .launch import launch

HEAD_DIM = 128
"""The only head dim."""
MAGIC = gl.constexpr(12582912.0)
MAGIC_BITS = gl.constexpr(0x4B400000)
LOG2_LARGEST = gl.constexpr(7.988684686772166)
"""Logarithm of 254: one less than what fits, for rounding."""
ROWS = gl.constexpr(64)
KEYS = gl.constexpr(BLOCK)
DIM = gl.constexpr(HEAD_DIM)
SLOTS = gl.constexpr(2)
"""Blocks of keys, and of values, that are on the chip at a time."""
_REGISTERS = (232, 40)
"""Of a thread that attends, and of one that fetches."""


@gluon.jit
def _fetch(queries, keys, values, first, channel, num_blocks, tiles):
    """Bring the queries, then block after block as soon as its slot is free."""
    q_tile, k_tiles, v_tiles, q_full, k_full, v_full, k_free, v_free = tiles
    mbarrier.expect(q_full, 2 * ROWS * DIM)
    tma.async_copy_global_to_shared(queries, [first, channel], q_full, q_tile.index(0))
    tma.async_copy_global_to_shared(queries, [first + ROWS, channel], q_full, q_tile.index(1))
    for number in range(num_blocks):
        slot, start = number % SLOTS, number * KEYS
        phase = ((number // SLOTS) & 1) ^ 1
        mbarrier.wait(k_free.index(slot), phase)
        mbarrier.expect(k_full.index(slot), KEYS * DIM)
        tma.async_copy_global_to_shared(
            keys, [start, channel], k_full.index(slot), k_tiles.index(slot)
        )
        mbarrier.wait(v_free.index(slot), phase)
        mbarrier.expect(v_full.index(slot), KEYS * DIM)
        tma.async_copy_global_to_shared(
            values, [channel, start], v_full.index(slot), v_tiles.index(slot)
        )


@gluon.jit
def _weigh(logits, factor, operand: gl.constexpr):
    """Return int8 weights less 128, and by row the largest logit and the sum of all powers.

    Tokens are renamed as :func:`.int8_rows._token` orders those of the values.
    """
    logits = logits.to(gl.float32, bitcast=True)
    top = (gl.max(logits, axis=1) - MAGIC) * factor
    shift = LOG2_LARGEST - MAGIC * factor - top
    powers = gl.exp2(logits * factor[:, None] + shift[:, None])
    weights = (powers + (MAGIC - 128.0)).to(gl.int32, bitcast=True).to(gl.int8)
    weights = weights.reshape([ROWS, KEYS // 16, 2, 4, 2]).permute([0, 1, 3, 2, 4])
    weights = gl.convert_layout(weights.reshape([ROWS, KEYS]), operand, assert_trivial=True)
    return weights, top, gl.sum(powers, axis=1)


@gluon.jit
def _attend_half(half: gl.constexpr, given, tiles):
    """Attend from 64 queries to all keys."""
    out, q_scales, k_scales, v_scales, v_means, v_sums, first, head = given[:8]
    num_queries, num_padded, num_blocks, num_heads = given[8:]
    q_tile, k_tiles, v_tiles, q_full, k_full, v_full, k_free, v_free = tiles
    mma: gl.constexpr = gl.NVMMADistributedLayout([3, 0], [4, 1], [16, 128, 32])
    operand: gl.constexpr = gl.DotOperandLayout(0, mma, 4)
    by_row: gl.constexpr = gl.SliceLayout(1, mma)
    rows = first + half * ROWS + gl.arange(0, ROWS, layout=by_row)
    columns = gl.arange(0, DIM, layout=gl.SliceLayout(0, mma))
    q_scale = gl.load(q_scales + head * num_queries + rows, mask=rows < num_queries, other=0.0)
    k_scales += head * num_blocks
    v_sums += head * num_blocks * DIM
    top = gl.full([ROWS], -1e30, gl.float32, layout=by_row)
    length = gl.full([ROWS], 0.0, gl.float32, layout=by_row)
    total = gl.full([ROWS, DIM], 0.0, gl.float32, layout=mma)
    zero = gl.full([ROWS, DIM], 0, gl.int32, layout=mma)
    begin = gl.full([ROWS, KEYS], MAGIC_BITS, gl.int32, layout=mma)
    k_scale = gl.load(k_scales)
    mbarrier.wait(q_full, 0)
    for number in range(num_blocks):
        slot, phase = number % SLOTS, (number // SLOTS) & 1
        sums = gl.load(v_sums + number * DIM + columns)
        factor = q_scale * k_scale
        k_scale = gl.load(k_scales + min(number + 1, num_blocks - 1))
        mbarrier.wait(k_full.index(slot), phase)
        key = k_tiles.index(slot).permute((1, 0))
        logits = warpgroup_mma(q_tile.index(half), key, begin, is_async=True)
        logits = warpgroup_mma_wait(0, deps=(logits,))
        gl.thread_barrier()
        mbarrier.arrive(k_free.index(slot))
        weights, block_top, block_length = _weigh(logits, factor, operand)
        new_top = gl.maximum(top, block_top)
        decay, gain = gl.exp2(top - new_top), gl.exp2(block_top - new_top)
        top = new_top
        length = length * decay + block_length * gain
        mbarrier.wait(v_full.index(slot), phase)
        value = v_tiles.index(slot).permute((1, 0))
        part = warpgroup_mma(weights, value, zero + sums[None, :], is_async=True)
        total = total * decay[:, None] - (MAGIC * gain)[:, None]
        part = warpgroup_mma_wait(0, deps=(part,))
        gl.thread_barrier()
        mbarrier.arrive(v_free.index(slot))
        total += part.to(gl.float32, bitcast=True) * gain[:, None]
    # Keys that fill the last block are zeros: each has added the power of a logit of zero.
    length -= num_padded * gl.exp2(LOG2_LARGEST - top)
    scale = gl.load(v_scales + head * DIM + columns)
    mean = gl.load(v_means + head * DIM + columns)
    total = total * (1.0 / length)[:, None] * scale[None, :] + mean[None, :]
    at = rows[:, None].to(gl.int64) * (num_heads * DIM) + (head * DIM + columns)[None, :]
    gl.store(out + at, total.to(out.dtype.element_ty), mask=(rows < num_queries)[:, None])


@gluon.jit(do_not_specialize=["num_padded", "num_blocks"])
def attend_kernel(
    queries, keys, values, q_scales, k_scales, v_scales, v_means, v_sums, out,
    num_queries, num_padded, num_blocks, num_heads,
    attending_registers: gl.constexpr, fetching_registers: gl.constexpr,
):  # fmt: skip
    """Write ``(L, N, D)`` for 128 queries of a head."""
    first, head = gl.program_id(0) * (2 * ROWS), gl.program_id(1)
    barrier: gl.constexpr = mbarrier.MBarrierLayout()
    q_tile = gl.allocate_shared_memory(gl.int8, [2, ROWS, DIM], queries.layout)
    k_tiles = gl.allocate_shared_memory(gl.int8, [SLOTS, KEYS, DIM], keys.layout)
    v_tiles = gl.allocate_shared_memory(gl.int8, [SLOTS, DIM, KEYS], values.layout)
    q_full = gl.allocate_shared_memory(gl.int64, [1], barrier)
    k_full = gl.allocate_shared_memory(gl.int64, [SLOTS, 1], barrier)
    v_full = gl.allocate_shared_memory(gl.int64, [SLOTS, 1], barrier)
    k_free = gl.allocate_shared_memory(gl.int64, [SLOTS, 1], barrier)
    v_free = gl.allocate_shared_memory(gl.int64, [SLOTS, 1], barrier)
    mbarrier.init(q_full, count=1)
    for slot in gl.static_range(SLOTS):
        mbarrier.init(k_full.index(slot), count=1)
        mbarrier.init(v_full.index(slot), count=1)
        mbarrier.init(k_free.index(slot), count=2)  # both halves
        mbarrier.init(v_free.index(slot), count=2)
    fence_async_shared()
    tiles = (q_tile, k_tiles, v_tiles, q_full, k_full, v_full, k_free, v_free)
    given = (
        out, q_scales, k_scales, v_scales, v_means, v_sums, first, head,
        num_queries, num_padded, num_blocks, num_heads,
    )  # fmt: skip
    gl.warp_specialize(
        [
            (_attend_half, (gl.constexpr(0), given, tiles)),
            (_attend_half, (gl.constexpr(1), given, tiles)),
            (_fetch, (queries, keys, values, first, head * DIM, num_blocks, tiles)),
        ],
        [4, 1],
        [attending_registers, fetching_registers],
    )


_LAYOUT = gl.NVMMASharedLayout(swizzle_byte_width=128, element_bitwidth=8, rank=2)


def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Attend from ``(L, N, D)`` to keys and values of one sequence; same shape and dtype."""
    return attend_int8(quantise_heads(q, k, v), torch.empty_like(q), len(k))


def attend_int8(heads: Int8Heads, out: Tensor, num_keys: int) -> Tensor:
    """Attend to ``num_keys`` keys and write ``out``, contiguous ``(L, N, D)``."""
    num_heads, num_blocks = heads.k_scales.shape
    parts = ((heads.q, ROWS.value), (heads.k, BLOCK), (heads.v, HEAD_DIM))
    descriptors = [TensorDescriptor.from_tensor(x, [rows, HEAD_DIM], _LAYOUT) for x, rows in parts]
    launch(
        attend_kernel, (-(-len(out) // (2 * ROWS.value)), num_heads), out, *descriptors,
        *heads[3:], out, len(out), num_blocks * BLOCK - num_keys, num_blocks, num_heads,
        *_REGISTERS, num_warps=4,
    )  # fmt: skip
    return out
