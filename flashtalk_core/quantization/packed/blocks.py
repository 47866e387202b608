"""GGUF's blocks of 32 numbers and one scale, and what all of GGUF's blocks are made of.

Source: the format is that of ggml, described by the ``gguf`` package 0.19, whose numbers are
reproduced to the bit.

Axis legend: R rows, C columns, n blocks, b bytes.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import torch
from torch import Tensor

from .packing import Packing, PartSizes

CODES = (-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113)
"""What the sixteen codes of IQ4 stand for."""
_SMALL = 32


def block_packing(
    name: str, num_elements: int, num_bytes: int, unpack_blocks: Callable[[Tensor], Tensor]
) -> Packing:
    """Return the packing whose rows are blocks of ``num_bytes`` for ``num_elements`` each.

    Args:
        name: GGUF's name of it.
        num_elements: Numbers of a block.
        num_bytes: Bytes of a block.
        unpack_blocks: Maps ``(n, num_bytes)`` uint8 to ``(n, num_elements)`` float32.
    """

    def unpack(rows: Tensor) -> Tensor:
        blocks = rows.reshape(-1, num_bytes)
        return unpack_blocks(blocks).reshape(len(rows), -1)

    def sizes(num_columns: int) -> PartSizes:
        return ((num_columns // num_elements * num_bytes, torch.uint8),)

    return Packing(name, unpack, sizes)


def halves(field: Tensor) -> Tensor:
    """Read float16 numbers: ``(n, 2 k)`` uint8 to ``(n, k)`` float32."""
    return field.contiguous().view(torch.float16).float()


def nibbles(field: Tensor) -> Tensor:
    """Take bytes apart: ``(..., k)`` to ``(..., 2, k)``, the low halves first."""
    return torch.stack((field & 15, field >> 4), dim=-2)


def pairs(field: Tensor) -> Tensor:
    """Take bytes apart into two bits each: ``(..., k)`` to ``(..., 4, k)``, the lowest first."""
    return torch.stack([(field >> shift) & 3 for shift in (0, 2, 4, 6)], dim=-2)


def bits(field: Tensor) -> Tensor:
    """Take bytes apart into bits: ``(..., k)`` to ``(..., 8, k)``, the lowest first."""
    return torch.stack([(field >> shift) & 1 for shift in range(8)], dim=-2)


def signed(field: Tensor) -> Tensor:
    """Read int8 numbers as float32."""
    return field.contiguous().view(torch.int8).float()


def decode(codes: Tensor) -> Tensor:
    """Return what codes of IQ4 stand for, float32."""
    return _code_table(codes.device)[codes.int()]


@cache
def _code_table(device: torch.device) -> Tensor:
    return torch.tensor(CODES, dtype=torch.float32, device=device)


def _five(low: Tensor, high: Tensor) -> Tensor:
    """Join four low bits ``(n, 16)`` bytes and the fifth ``(n, 4)`` bytes; ``(n, 32)``."""
    fifth = bits(high).transpose(1, 2).flatten(1)
    return nibbles(low).flatten(1) | fifth << 4


def _unpack_q4_0(blocks: Tensor) -> Tensor:
    return halves(blocks[:, :2]) * (nibbles(blocks[:, 2:]).flatten(1).float() - 8)


def _unpack_q4_1(blocks: Tensor) -> Tensor:
    scaled = halves(blocks[:, :2]) * nibbles(blocks[:, 4:]).flatten(1).float()
    return scaled + halves(blocks[:, 2:4])


def _unpack_q5_0(blocks: Tensor) -> Tensor:
    return halves(blocks[:, :2]) * (_five(blocks[:, 6:], blocks[:, 2:6]).float() - 16)


def _unpack_q5_1(blocks: Tensor) -> Tensor:
    scaled = halves(blocks[:, :2]) * _five(blocks[:, 8:], blocks[:, 4:8]).float()
    return scaled + halves(blocks[:, 2:4])


def _unpack_q8_0(blocks: Tensor) -> Tensor:
    return halves(blocks[:, :2]) * signed(blocks[:, 2:])


def _unpack_iq4_nl(blocks: Tensor) -> Tensor:
    return halves(blocks[:, :2]) * decode(nibbles(blocks[:, 2:]).flatten(1))


Q4_0 = block_packing("Q4_0", _SMALL, 18, _unpack_q4_0)
Q4_1 = block_packing("Q4_1", _SMALL, 20, _unpack_q4_1)
Q5_0 = block_packing("Q5_0", _SMALL, 22, _unpack_q5_0)
Q5_1 = block_packing("Q5_1", _SMALL, 24, _unpack_q5_1)
Q8_0 = block_packing("Q8_0", _SMALL, 34, _unpack_q8_0)
IQ4_NL = block_packing("IQ4_NL", _SMALL, 18, _unpack_iq4_nl)
