"""Rounding of matrices to blocks of GGUF: Q8_0 and Q4_K.

Axis legend: R rows, C columns, n blocks, k numbers of a part of a block.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

_TILE_ELEMENTS = 2**22
_Q4_LEVELS, _Q6_LEVELS = 15, 63
_SHRINKS = (-0.9, -0.6, -0.3, 0.0, 0.3, 0.6, 0.9)
"""How many of the levels are tried to be left free; fewer reach all numbers, more are finer."""


def quantise_q8_0(matrix: Tensor) -> Tensor:
    """Round to Q8_0, as llama.cpp does to the bit.

    Args:
        matrix: ``(R, C)``, any float dtype; C is a multiple of 32.

    Returns:
        Blocks, ``(R, C / 32 * 34)`` uint8.
    """
    return _in_tiles(matrix, 32, _q8_0_blocks)


def quantise_q4_k(matrix: Tensor) -> Tensor:
    """Round to Q4_K; scales and offsets are searched for the least squared error.

    Args:
        matrix: ``(R, C)``, any float dtype; C is a multiple of 256.

    Returns:
        Blocks, ``(R, C / 256 * 144)`` uint8.
    """
    return _in_tiles(matrix, 256, _q4_k_blocks)


def _in_tiles(
    matrix: Tensor, num_elements: int, round_blocks: Callable[[Tensor], Tensor]
) -> Tensor:
    """Round tile by tile: the search takes several float32 copies of a tile."""
    num_rows, num_columns = matrix.shape
    assert num_columns % num_elements == 0, (num_columns, num_elements)
    step = max(1, _TILE_ELEMENTS // num_columns)
    tiles = []
    for start in range(0, num_rows, step):
        rows = matrix[start : start + step].float()
        blocks = round_blocks(rows.reshape(-1, num_elements))
        tiles.append(blocks.reshape(len(rows), -1))
    return torch.cat(tiles)


def _q8_0_blocks(blocks: Tensor) -> Tensor:
    scale = blocks.abs().amax(dim=1, keepdim=True) / 127
    scaled = blocks * _inverse(scale)
    # Halves are rounded away from zero.
    whole = (scaled.abs() + 0.5).floor() * scaled.sign()
    return torch.cat((_as_half_bytes(scale), whole.to(torch.int8).view(torch.uint8)), dim=1)


def _q4_k_blocks(blocks: Tensor) -> Tensor:
    parts = blocks.unflatten(1, (8, 32))
    scale, offset = _fit(parts)
    scale_step, scales = _to_six_bits(scale)
    offset_step, offsets = _to_six_bits(offset)
    wide_scale = scale_step.float() * scales
    wide_offset = offset_step.float() * offsets
    levels = ((parts + wide_offset[..., None]) * _inverse(wide_scale)[..., None]).round()
    levels = levels.clamp(0, _Q4_LEVELS).to(torch.uint8).reshape(-1, 4, 2, 32)
    return torch.cat(
        (
            _as_half_bytes(scale_step.float()),
            _as_half_bytes(offset_step.float()),
            _split_scales(scales.to(torch.uint8), offsets.to(torch.uint8)),
            (levels[:, :, 0] | levels[:, :, 1] << 4).flatten(1),
        ),
        dim=1,
    )


def _fit(parts: Tensor) -> tuple[Tensor, Tensor]:
    """Find ``x = scale * level - offset`` with least squared error; neither is negative.

    Args:
        parts: ``(n, 8, k)`` float32.

    Returns:
        Scale and offset, ``(n, 8)`` each.
    """
    low = parts.amin(dim=-1, keepdim=True).clamp(max=0)
    width = parts.amax(dim=-1, keepdim=True) - low
    best_error = torch.full_like(low[..., 0], torch.inf)
    scale, offset = torch.zeros_like(best_error), torch.zeros_like(best_error)
    for shrink in _SHRINKS:
        levels = ((parts - low) * _inverse(width / (_Q4_LEVELS + shrink))).round()
        levels = levels.clamp(0, _Q4_LEVELS)
        found_scale, found_offset = _least_squares(levels, parts)
        error = found_scale[..., None] * levels - found_offset[..., None] - parts
        error = error.square().sum(dim=-1)
        is_better = error < best_error
        best_error = torch.where(is_better, error, best_error)
        scale = torch.where(is_better, found_scale, scale)
        offset = torch.where(is_better, found_offset, offset)
    return scale, offset


def _least_squares(levels: Tensor, parts: Tensor) -> tuple[Tensor, Tensor]:
    """Return scale and offset for levels; an offset that would be negative is zero."""
    level, number = levels.mean(dim=-1), parts.mean(dim=-1)
    spread = levels - level[..., None]
    scale = (spread * parts).sum(dim=-1) * _inverse(spread.square().sum(dim=-1))
    offset = scale * level - number
    through_zero = (levels * parts).sum(dim=-1) * _inverse(levels.square().sum(dim=-1))
    is_negative = (offset < 0) | (scale <= 0)
    scale = torch.where(is_negative, through_zero, scale).clamp(min=0)
    # Numbers that are all alike have no scale.
    offset = torch.where(is_negative & (through_zero > 0), 0, offset)
    return scale, offset.clamp(min=0)


def _to_six_bits(values: Tensor) -> tuple[Tensor, Tensor]:
    """Return one step for a row ``(n, 1)`` float16, and whole numbers of it ``(n, 8)``."""
    step = (values.amax(dim=1, keepdim=True) / _Q6_LEVELS).to(torch.float16)
    return step, (values * _inverse(step.float())).round().clamp(0, _Q6_LEVELS)


def _split_scales(scales: Tensor, offsets: Tensor) -> Tensor:
    """Pack what :func:`.superblocks.join_scales` reads; ``(n, 8)`` each to ``(n, 12)``."""
    first = scales[:, :4] | scales[:, 4:] >> 4 << 6
    second = offsets[:, :4] | offsets[:, 4:] >> 4 << 6
    return torch.cat((first, second, (scales[:, 4:] & 15) | (offsets[:, 4:] & 15) << 4), dim=1)


def _as_half_bytes(values: Tensor) -> Tensor:
    return values.to(torch.float16).view(torch.uint8)


def _inverse(values: Tensor) -> Tensor:
    """Return ``1 / values``, and zero for zero."""
    return torch.where(values == 0, 0, 1 / values)
