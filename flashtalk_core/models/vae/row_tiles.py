"""The autoencoder's large layers run over a few rows of the image at a time.

Axis legend: B batch, C channels, F frames at this level, H W pixels at this level.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from .cache import CausalCache
from .layers import ResidualBlock, RMSNorm, SequenceRunner, Upsample, split_units

TILE_ELEMENTS = 2**25
"""Numbers in one tensor of a tile, unless one is given: 64 MiB in bfloat16."""
_MIN_ROWS = 8


@dataclass(frozen=True)
class RowTile:
    """Some rows of a layer's input, with the halo of rows that its kernels reach."""

    start: int
    stop: int
    above: int
    """Rows of the halo before ``start``."""
    below: int

    @property
    def read(self) -> slice:
        """Rows that are read."""
        return slice(self.start - self.above, self.stop + self.below)

    def crop(self, rows: Tensor, scale: int = 1) -> Tensor:
        """Leave out the halo; ``scale`` is the output's height over the input's."""
        stop = rows.shape[-2] - self.below * scale
        return rows[..., self.above * scale : stop, :]


class RowTileRunner:
    """Runs residual blocks, upsampling and heads tile by tile, other layers on whole images.

    Convolutions reach one row up and down and norms none, so that a tile with a halo of as many
    rows as there are convolutions one after the other gives the rows of the whole image:
    nothing is blended, and there are no seams. Attention sees the whole image, which is small
    where it runs. What is saved are the tensors inside a layer; its input and output, and the
    past frames, stay whole.
    """

    def __init__(self, inner: SequenceRunner, max_elements: int = TILE_ELEMENTS) -> None:
        """Run each tile with ``inner``; its input has at most ``max_elements`` numbers."""
        self._inner = inner
        self._max_elements = max_elements

    def __call__(self, layers: Iterable[nn.Module], x: Tensor, cache: CausalCache | None) -> Tensor:
        """Run ``layers`` on ``(B, C, F, H, W)``; see :func:`run_sequence`."""
        for unit in split_units(layers):
            tiles = self._cut(unit, x)
            if len(tiles) > 1 and cache is not None:
                x = self._run_tiles(unit, tiles, x, cache)
            else:
                x = self._inner(unit, x, cache)
        return x

    def _cut(self, unit: list[nn.Module], x: Tensor) -> list[RowTile]:
        reach = _reach(unit)
        height = x.shape[3]
        if not reach:
            return []
        rows = max(_MIN_ROWS, self._max_elements * height // x.numel() - 2 * reach)
        return [
            RowTile(start, stop, min(reach, start), min(reach, height - stop))
            for start in range(0, height, rows)
            for stop in [min(start + rows, height)]
        ]

    def _run_tiles(
        self, unit: list[nn.Module], tiles: list[RowTile], x: Tensor, cache: CausalCache
    ) -> Tensor:
        scale = 2 if isinstance(unit[0], Upsample) else 1
        whole = _TiledCache(cache, x.shape[3])
        out: Tensor | None = None
        for tile in tiles:
            part = self._inner(unit, x[..., tile.read, :], whole.at(tile))
            part = tile.crop(part, scale)
            if out is None:
                out = _like(part, x.shape[3] * scale)
            out[..., tile.start * scale : tile.stop * scale, :] = part
        whole.finish()
        assert out is not None
        return out


class _TiledCache:
    """Past frames of whole images, read and written tile by tile.

    What is written becomes the past when every tile is done: the next tile still reads rows of
    this one as they were.
    """

    def __init__(self, cache: CausalCache, height: int) -> None:
        self._cache = cache
        self._height = height
        self._written: dict[str, Tensor] = {}

    def at(self, tile: RowTile) -> CausalCache:
        return cast("CausalCache", _TileCache(self, tile))

    def read(self, layer: str) -> Tensor | None:
        return self._cache.read(layer)

    def write(self, layer: str, frames: Tensor, tile: RowTile) -> None:
        if not frames.ndim:  # a mark that a clip has begun
            self._written[layer] = frames
            return
        if layer not in self._written:
            self._written[layer] = _like(frames, self._height)
        self._written[layer][..., tile.start : tile.stop, :] = tile.crop(frames)

    def finish(self) -> None:
        for layer in list(self._written):
            self._cache.put(layer, self._written.pop(layer))


@dataclass(frozen=True)
class _TileCache:
    """A :class:`CausalCache` for the layers on one tile."""

    whole: _TiledCache
    tile: RowTile

    def read(self, layer: str) -> Tensor | None:
        frames = self.whole.read(layer)
        return frames if frames is None or not frames.ndim else frames[..., self.tile.read, :]

    def write(self, layer: str, frames: Tensor) -> None:
        self.whole.write(layer, frames, self.tile)


def _reach(unit: list[nn.Module]) -> int:
    """Return how many rows up and down ``unit`` reads; 0 for layers that run whole."""
    if isinstance(unit[0], ResidualBlock):
        return 2
    return 1 if isinstance(unit[0], Upsample | RMSNorm) else 0


def _like(part: Tensor, height: int) -> Tensor:
    """Return an empty tensor of ``height`` rows, otherwise as ``part``, channels last if it was."""
    shape = (*part.shape[:3], height, part.shape[4])
    is_last = part.is_contiguous(memory_format=torch.channels_last_3d)
    layout = torch.channels_last_3d if is_last else torch.contiguous_format
    return torch.empty(shape, dtype=part.dtype, device=part.device, memory_format=layout)
