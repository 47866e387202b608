"""The autoencoder's layers on one band of the image, equal to the layers on the whole image.

Axis legend: B batch, C channels, F frames at this level, H W pixels at this level, h w those of
a band, L pixels of a band.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ..models.vae.cache import CausalCache
from ..models.vae.layers import (
    CausalConv3d,
    Downsample,
    ResidualBlock,
    RMSNorm,
    SequenceRunner,
    SpatialAttention,
    Upsample,
    split_units,
)
from ..models.vae.model import VideoVAE
from .bands import Neighbours, VaeGrid
from .collectives import Collectives, Shape

_ROWS, _COLUMNS = 3, 4
"""Axes of video."""


@dataclass(frozen=True)
class _Reach:
    """Pixels that a unit of layers reads next to those that it computes."""

    before: int
    """Above and to the left."""
    after: int
    """Below and to the right."""
    scale: int = 1
    """Pixels of the output for each of the halo, each way."""


class HaloRunner:
    """Runs the layers of an encoder or a decoder on a band, with what its neighbours have.

    Each unit of layers gets the pixels that its kernels reach from the ranks next to it, computes
    its own pixels with them, and leaves out what it computed of the halo. At the borders of the
    image kernels pad with zeros as ever. Attention is computed for the own pixels, over keys and
    values of all bands. Past frames stay local: those of a halo were computed here, too.
    """

    def __init__(self, inner: SequenceRunner, grid: VaeGrid, group: Collectives) -> None:
        """Run units with ``inner``, whose tiles may lie within the band.

        Args:
            inner: Computes.
            grid: The bands of all ranks of the group.
            group: As many ranks as there are bands.
        """
        assert group.size == grid.size, (group.size, grid.size)
        self.inner = inner
        self._bands = grid.bands
        self._group = group
        self._vertical, self._horizontal = grid.neighbours(group.rank)

    def __call__(self, layers: Iterable[nn.Module], x: Tensor, cache: CausalCache | None) -> Tensor:
        """Run ``layers`` on a band ``(B, C, F, h, w)``; see :func:`run_sequence`."""
        for unit in split_units(layers):
            x = self._run(unit, x, cache)
        return x

    def _run(self, unit: list[nn.Module], x: Tensor, cache: CausalCache | None) -> Tensor:
        if len(self._bands) == 1:
            return self.inner(unit, x, cache)
        if isinstance(unit[0], SpatialAttention):
            return self._attend(unit[0], x)
        reach = _reach(unit[0])
        margins = [
            (reach.before * (before is not None), reach.after * (after is not None))
            for before, after in (self._vertical, self._horizontal)
        ]
        out = self.inner(unit, self._surround(x, reach, *margins), cache)
        for axis, (first, last) in zip((_ROWS, _COLUMNS), margins, strict=True):
            stop = out.shape[axis] - last * reach.scale
            out = out.narrow(axis, first * reach.scale, stop - first * reach.scale)
        return out

    def _surround(
        self, x: Tensor, reach: _Reach, rows: tuple[int, int], columns: tuple[int, int]
    ) -> Tensor:
        """Return ``x`` with its halo; first rows, then columns, which bring the corners along.

        Args:
            x: The band.
            reach: What a neighbour needs.
            rows: Rows of the halo above and below, 0 at the image's border.
            columns: Columns of the halo to the left and to the right.
        """
        height, width = x.shape[_ROWS:]
        shape = (*x.shape[:3], sum(rows) + height, sum(columns) + width)
        out = _empty(shape, x)
        middle = out.narrow(_COLUMNS, columns[0], width)
        middle.narrow(_ROWS, rows[0], height).copy_(x)
        self._fill(middle, _ROWS, rows, reach, self._vertical)
        self._fill(out, _COLUMNS, columns, reach, self._horizontal)
        return out

    def _fill(
        self,
        x: Tensor,
        axis: int,
        margins: tuple[int, int],
        reach: _Reach,
        neighbours: Neighbours,
    ) -> None:
        """Exchange the lines next to the borders of a band, and write those that arrive."""
        (first, last), (before, after) = margins, neighbours
        size = x.shape[axis]
        parts: dict[int, Tensor] = {}
        places: dict[int, Tensor] = {}
        if before is not None:
            parts[before] = x.narrow(axis, first, reach.after)
            places[before] = x.narrow(axis, 0, first)
        if after is not None:
            parts[after] = x.narrow(axis, size - last - reach.before, reach.before)
            places[after] = x.narrow(axis, size - last, last)
        # Pixel by pixel on the way, whatever the layout here: it may differ between ranks.
        sent = {rank: _innermost(part) for rank, part in parts.items() if part.numel()}
        shapes = {
            rank: tuple(_innermost(place).shape) for rank, place in places.items() if place.numel()
        }
        if sent or shapes:
            received = self._group.send(sent, shapes, x).wait()
            for rank in shapes:
                _innermost(places[rank]).copy_(received[rank])

    def _attend(self, layer: SpatialAttention, x: Tensor) -> Tensor:
        """Attend from the pixels of the band to those of the whole image."""
        queries, *own = layer.project(x)
        part = torch.stack(own)
        band = self._bands[self._group.rank]
        pixels_per_cell = part.shape[3] // band.num_cells
        shapes: list[Shape] = [
            (*part.shape[:3], each.num_cells * pixels_per_cell, part.shape[4])
            for each in self._bands
        ]
        keys, values = torch.cat(self._group.all_gather(part, shapes), dim=3)
        return layer.attend(x, queries, keys, values)


def spread_autoencoder(vae: VideoVAE, grid: VaeGrid, group: Collectives | None) -> None:
    """Let an autoencoder encode and decode the band of this rank; see :class:`HaloRunner`.

    Args:
        vae: Its runner is replaced; what that was is used within the band. May be called again,
            for another size of video.
        grid: The bands.
        group: The ranks that have one; ``None`` on another rank, where nothing is changed.
    """
    if group is None:
        return
    inner = vae.runner.inner if isinstance(vae.runner, HaloRunner) else vae.runner
    vae.runner = HaloRunner(inner, grid, group)


def _reach(first: nn.Module) -> _Reach:
    """Return what the unit of layers that begins with ``first`` reads around its pixels."""
    if isinstance(first, ResidualBlock):
        return _Reach(2, 2)
    if isinstance(first, Upsample):
        return _Reach(1, 1, scale=2)
    if isinstance(first, Downsample):
        # Of an even number of pixels and one more, as many are left as of the even number.
        return _Reach(0, 1, scale=0)
    assert isinstance(first, RMSNorm | CausalConv3d), type(first)
    return _Reach(1, 1)


def _innermost(video: Tensor) -> Tensor:
    """View ``(B, C, F, H, W)`` as ``(B, F, H, W, C)``."""
    return video.permute(0, 2, 3, 4, 1)


def _empty(shape: tuple[int, ...], like: Tensor) -> Tensor:
    """Return an empty tensor, channels last if ``like``, which may be cropped, was."""
    is_last = like.stride(1) == 1 and like.shape[1] > 1
    layout = torch.channels_last_3d if is_last else torch.contiguous_format
    return torch.empty(shape, dtype=like.dtype, device=like.device, memory_format=layout)
