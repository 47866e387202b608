"""FP8, INT8 and FP4 matrices with scales for the tensor, its rows or blocks of them.

Source: ComfyUI's ``QUANTIZATION.md`` and comfy-kitchen 0.2.40, whose numbers are reproduced up to
the rounding of their product.

Axis legend: R rows, C columns, n blocks of a row.
"""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor

from .blocks import nibbles
from .packing import Packing, PartSizes

_E2M1 = (0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0)
"""Magnitudes of FP4, by its low three bits; the fourth is the sign."""
NVFP4_BLOCK, MXFP8_BLOCK = 16, 32
_TILE_ROWS, _TILE_COLUMNS, _QUARTERS = 128, 4, 4
_HADAMARD = ((1, 1, 1, -1), (1, 1, -1, 1), (1, -1, 1, 1), (-1, 1, 1, 1))


def scaled_packing(
    name: str, dtype: torch.dtype, *, rotated_by: int = 0, is_fp8: bool = False
) -> Packing:
    """Return the packing of numbers of 8 bits with a scale for the tensor or for each row.

    Args:
        name: Of it.
        dtype: Of the numbers.
        rotated_by: Columns of a group that were rotated together by a Hadamard matrix before the
            numbers were rounded; 0 is none.
        is_fp8: Whether layers of the format FP8 may be made of it.
    """

    def unpack(numbers: Tensor, scale: Tensor) -> Tensor:
        wide = numbers.float() * scale
        return wide if rotated_by == 0 else _rotated_back(wide, rotated_by)

    def sizes(num_columns: int) -> PartSizes:
        return (num_columns, dtype), (1, torch.float32)

    return Packing(name, unpack, sizes, is_fp8=is_fp8)


FP8_E4M3 = scaled_packing("fp8_e4m3fn", torch.float8_e4m3fn, is_fp8=True)
FP8_E5M2 = scaled_packing("fp8_e5m2", torch.float8_e5m2, is_fp8=True)
INT8 = scaled_packing("int8", torch.int8)


@cache
def rotated_int8(group: int) -> Packing:
    """Return the packing of INT8 whose columns are rotated in groups, a power of four each."""
    return scaled_packing(f"int8_convrot_{group}", torch.int8, rotated_by=group)


def _rotated_back(wide: Tensor, group: int) -> Tensor:
    """Undo the rotation: the matrix is symmetric and its own inverse."""
    return (wide.unflatten(1, (-1, group)) @ _hadamard(group, wide.device)).flatten(1)


@cache
def _hadamard(size: int, device: torch.device) -> Tensor:
    quarter = torch.tensor(_HADAMARD, dtype=torch.float32, device=device)
    found = quarter
    while len(found) < size:
        found = torch.kron(found, quarter)
    return found / size**0.5


def _unpack_nvfp4(numbers: Tensor, block_scale: Tensor, scale: Tensor) -> Tensor:
    # The first of two numbers is in the high half of a byte.
    codes = nibbles(numbers).flip(1).transpose(1, 2).flatten(1)
    values = _fp4_table(codes.device)[codes.int()]
    scales = block_scale.float() * scale
    return (values.unflatten(1, (-1, NVFP4_BLOCK)) * scales[..., None]).flatten(1)


@cache
def _fp4_table(device: torch.device) -> Tensor:
    return torch.tensor([*_E2M1, *(-each for each in _E2M1)], device=device)


def _unpack_mxfp8(numbers: Tensor, exponents: Tensor) -> Tensor:
    # Of a float32 whose other bits are zero these eight bits are the exponent, and 0 is zero.
    scales = (exponents.int() << 23).view(torch.float32)
    wide = numbers.float().unflatten(1, (-1, MXFP8_BLOCK)) * scales[..., None]
    return wide.flatten(1)


NVFP4 = Packing(
    "nvfp4",
    _unpack_nvfp4,
    lambda columns: (
        (columns // 2, torch.uint8),
        (columns // NVFP4_BLOCK, torch.float8_e4m3fn),
        (1, torch.float32),
    ),
)
MXFP8 = Packing(
    "mxfp8",
    _unpack_mxfp8,
    lambda columns: ((columns, torch.float8_e4m3fn), (columns // MXFP8_BLOCK, torch.uint8)),
)


def swizzled_size(num_rows: int, num_blocks: int) -> tuple[int, int]:
    """Return rows and columns of scales ``(R, n)`` as cuBLAS wants them, in whole tiles."""
    return (
        -(-num_rows // _TILE_ROWS) * _TILE_ROWS,
        -(-num_blocks // _TILE_COLUMNS) * _TILE_COLUMNS,
    )


def in_order(scales: Tensor, num_rows: int, num_blocks: int) -> Tensor:
    """Put scales that are in cuBLAS's order into that of the matrix.

    Args:
        scales: As stored, of :func:`swizzled_size`: tiles of 128 rows and 4 columns, of each the
            rows 0, 32, 64 and 96 side by side, then 1, 33, 65 and 97, and so on.
        num_rows: Rows of the matrix.
        num_blocks: Blocks of a row.

    Returns:
        ``(R, n)``, of the same type.
    """
    rows, columns = swizzled_size(num_rows, num_blocks)
    tiles = scales.reshape(
        rows // _TILE_ROWS, columns // _TILE_COLUMNS, _TILE_ROWS // _QUARTERS, _QUARTERS, -1
    )
    found = tiles.permute(0, 3, 2, 1, 4).reshape(rows, columns)
    return found[:num_rows, :num_blocks].contiguous()
