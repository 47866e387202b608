"""GGUF's blocks of 256 numbers, whose parts have scales of few bits under one scale.

Source: as for :mod:`.blocks`.

Axis legend: n blocks.
"""

from __future__ import annotations

import torch
from torch import Tensor

from .blocks import bits, block_packing, decode, halves, nibbles, pairs, signed

NUM_ELEMENTS = 256
_SHIFTS = (0, 2, 4, 6, 8, 10, 12, 14)


def join_scales(field: Tensor) -> tuple[Tensor, Tensor]:
    """Read eight scales and eight offsets of six bits each from ``(n, 12)``; ``(n, 8)`` uint8.

    The first four of each lie in the low six bits of a byte. Of the others the low four bits
    share a byte, and the high two are on top of the first ones.
    """
    scales, offsets, low = field[:, :4], field[:, 4:8], nibbles(field[:, 8:])
    return (
        torch.cat((scales & 63, low[:, 0] | scales >> 6 << 4), dim=1),
        torch.cat((offsets & 63, low[:, 1] | offsets >> 6 << 4), dim=1),
    )


def _by_part(numbers: Tensor, num_parts: int) -> Tensor:
    return numbers.reshape(len(numbers), num_parts, -1).float()


def _unpack_q2_k(blocks: Tensor) -> Tensor:
    low = nibbles(blocks[:, :16]).float()
    scale = halves(blocks[:, 80:82]) * low[:, 0]
    offset = halves(blocks[:, 82:84]) * low[:, 1]
    numbers = _by_part(pairs(blocks[:, 16:80].unflatten(1, (2, 32))), 16)
    return (scale[..., None] * numbers - offset[..., None]).flatten(1)


def _unpack_q3_k(blocks: Tensor) -> Tensor:
    low = nibbles(blocks[:, 96:104]).flatten(1)
    scales = (low | pairs(blocks[:, 104:108]).flatten(1) << 4).float() - 32
    # A bit that is not set stands for minus four.
    third = bits(blocks[:, :32]).flatten(1).float()
    numbers = pairs(blocks[:, 32:96].unflatten(1, (2, 32))).flatten(1).float() + 4 * third - 4
    scale = halves(blocks[:, 108:110]) * scales
    return (scale[..., None] * _by_part(numbers, 16)).flatten(1)


def _scale_and_offset(blocks: Tensor) -> tuple[Tensor, Tensor]:
    scales, offsets = join_scales(blocks[:, 4:16])
    scale = halves(blocks[:, :2]) * scales.float()
    offset = halves(blocks[:, 2:4]) * offsets.float()
    return scale[..., None], offset[..., None]


def _unpack_q4_k(blocks: Tensor) -> Tensor:
    scale, offset = _scale_and_offset(blocks)
    numbers = _by_part(nibbles(blocks[:, 16:].unflatten(1, (4, 32))), 8)
    return (scale * numbers - offset).flatten(1)


def _unpack_q5_k(blocks: Tensor) -> Tensor:
    scale, offset = _scale_and_offset(blocks)
    low = nibbles(blocks[:, 48:].unflatten(1, (4, 32))).flatten(1)
    numbers = _by_part(low | bits(blocks[:, 16:48]).flatten(1) << 4, 8)
    return (scale * numbers - offset).flatten(1)


def _unpack_q6_k(blocks: Tensor) -> Tensor:
    scale = halves(blocks[:, 208:210]) * signed(blocks[:, 192:208])
    low = nibbles(blocks[:, :128].unflatten(1, (2, 64))).flatten(1)
    high = pairs(blocks[:, 128:192].unflatten(1, (2, 32))).flatten(1)
    numbers = _by_part((low | high << 4).float() - 32, 16)
    return (scale[..., None] * numbers).flatten(1)


def _unpack_iq4_xs(blocks: Tensor) -> Tensor:
    high = blocks[:, 2:4].contiguous().view(torch.int16).int()
    high = torch.cat([(high >> shift) & 3 for shift in _SHIFTS], dim=1)
    low = nibbles(blocks[:, 4:8]).transpose(1, 2).flatten(1).int()
    scale = halves(blocks[:, :2]) * ((low | high << 4).float() - 32)
    numbers = decode(nibbles(blocks[:, 8:].unflatten(1, (8, 16)))).flatten(2)
    return (scale[..., None] * numbers).flatten(1)


Q2_K = block_packing("Q2_K", NUM_ELEMENTS, 84, _unpack_q2_k)
Q3_K = block_packing("Q3_K", NUM_ELEMENTS, 110, _unpack_q3_k)
Q4_K = block_packing("Q4_K", NUM_ELEMENTS, 144, _unpack_q4_k)
Q5_K = block_packing("Q5_K", NUM_ELEMENTS, 176, _unpack_q5_k)
Q6_K = block_packing("Q6_K", NUM_ELEMENTS, 210, _unpack_q6_k)
IQ4_XS = block_packing("IQ4_XS", NUM_ELEMENTS, 136, _unpack_iq4_xs)
