"""How the numbers of a matrix are packed, and unpacking them some rows at a time.

Axis legend: R rows (outputs), C columns (inputs), b bytes, n blocks.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor

Parts = tuple[Tensor, ...]
"""Packed numbers and what scales them: ``(R, .)`` each, or ``(1, 1)`` for one number of all."""
PartSizes = tuple[tuple[int, torch.dtype], ...]
"""Width and type of a row of each part."""

_TILE_ELEMENTS = 2**24
_COLUMNS = 1024
"""Whole blocks of every packing."""
_WIDE_COPIES = 5
"""Float32 copies of a tile that exist while it is unpacked, at most; counted."""


@dataclass(frozen=True)
class Packing:
    """One way to pack a matrix; a single immutable object for each."""

    name: str
    """As in messages: ``Q4_K``, ``nvfp4``."""
    unpack: Callable[..., Tensor] = field(repr=False)
    """Takes the parts of some rows and returns these, ``(R, C)`` float32."""
    sizes: Callable[[int], PartSizes] = field(repr=False)
    """Returns the parts of a matrix with so many columns."""
    is_fp8: bool = False
    """Whether the numbers are FP8 with a scale for a tensor or a row."""

    def unpacked(self, parts: Parts, dtype: torch.dtype) -> Tensor:
        """Return the matrix of ``parts``, ``(R, C)``, where they are; each is rounded once.

        The result is the same on every device, and however many rows are unpacked at a time.
        """
        num_rows, width = parts[0].shape
        num_columns = width * _COLUMNS // self.sizes(_COLUMNS)[0][0]
        found = torch.empty(num_rows, num_columns, dtype=dtype, device=parts[0].device)
        step = max(1, _TILE_ELEMENTS // max(1, num_columns))
        for start in range(0, num_rows, step):
            found[start : start + step] = self._tile(parts, start, start + step)
        return found

    def _tile(self, parts: Parts, start: int, stop: int) -> Tensor:
        num_rows = parts[0].shape[0]
        tile = (part[start:stop] if len(part) == num_rows else part for part in parts)
        return self.unpack(*tile)


def unpacking_bytes(shape: tuple[int, int], dtype: torch.dtype) -> int:
    """Estimate the memory that unpacking a matrix ``(R, C)`` takes, its result included."""
    num_elements = shape[0] * shape[1]
    return num_elements * dtype.itemsize + 4 * _WIDE_COPIES * min(num_elements, _TILE_ELEMENTS)
