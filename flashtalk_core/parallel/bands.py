"""How the autoencoder's images are divided among ranks: a grid of bands of whole latent cells.

Everything follows from the size of the video and the number of ranks, which all of them know.

Axis legend: H W pixels, h w latent cells.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import product

from ..errors import InvalidInputError, require
from ..excerpt import excerpt
from ..geometry import SPATIAL_STRIDE
from .shares import ranges_of, split_evenly

AUTO = "auto"
ROWS = "rows"
COLUMNS = "columns"
MIN_CELLS = 2
"""Latent cells of a band on an axis that is cut: a residual block reaches two pixels into its
neighbour, and at the coarsest level a pixel is a cell."""
_HALO_CELLS = 0.5
"""Work of a halo on each side, in latent cells: two pixels of the finest level, where most is."""
_SECOND_AXIS = 1.03
"""Share of time that exchanging on a second axis costs: twice as many messages."""
_GRID = re.compile(r"([1-9]\d{0,2})x([1-9]\d{0,2})")


@dataclass(frozen=True)
class Band:
    """Latent cells of one rank."""

    rows: range
    columns: range

    @property
    def num_cells(self) -> int:
        """Cells of the band."""
        return len(self.rows) * len(self.columns)

    def pixels(self, scale: int) -> tuple[slice, slice]:
        """Return its rows and columns where a latent cell has ``scale`` pixels each way."""
        rows, columns = self.rows, self.columns
        return (
            slice(rows.start * scale, rows.stop * scale),
            slice(columns.start * scale, columns.stop * scale),
        )


@dataclass(frozen=True)
class VaeGrid:
    """Bands of an image, one for each of the first ranks, row by row."""

    heights: tuple[int, ...]
    """Latent rows of each row of bands, from the top; they may differ."""
    widths: tuple[int, ...]
    """Latent columns of each column of bands, from the left; they may differ."""

    def __post_init__(self) -> None:
        for cells in (self.heights, self.widths):
            assert cells, "a grid has a band"
            assert len(cells) == 1 or min(cells) >= MIN_CELLS, cells

    def __str__(self) -> str:
        return f"{len(self.heights)}x{len(self.widths)}"

    @property
    def size(self) -> int:
        """Bands, and ranks that have one."""
        return len(self.heights) * len(self.widths)

    @property
    def cells(self) -> tuple[int, int]:
        """Latent rows and columns of the whole image."""
        return sum(self.heights), sum(self.widths)

    @property
    def bands(self) -> tuple[Band, ...]:
        """The band of each rank."""
        return tuple(
            Band(rows, columns)
            for rows, columns in product(ranges_of(self.heights), ranges_of(self.widths))
        )

    def neighbours(self, rank: int) -> tuple[Neighbours, Neighbours]:
        """Return the ranks above and below, and those left and right."""
        row, column = divmod(rank, len(self.widths))
        step, last_row, last_column = len(self.widths), len(self.heights) - 1, len(self.widths) - 1
        return (
            (rank - step if row else None, rank + step if row < last_row else None),
            (rank - 1 if column else None, rank + 1 if column < last_column else None),
        )


Neighbours = tuple[int | None, int | None]
"""The ranks before and after on an axis; ``None`` at the image's border."""


def check_grid(text: str) -> None:
    """Raise :class:`InvalidInputError` unless ``text`` is how a user names a grid."""
    require(
        text in (AUTO, ROWS, COLUMNS) or _GRID.fullmatch(text) is not None,
        f"VAE grid {excerpt(text)!r}: use {AUTO!r}, {ROWS!r}, {COLUMNS!r}, or the numbers of rows "
        "and columns of bands, such as '2x4'",
        subject="vae_grid",
    )


def choose_grid(text: str, size_px: tuple[int, int], num_ranks: int) -> VaeGrid:
    """Return the bands of an image; there may be fewer than ranks.

    Args:
        text: ``auto`` takes what is quickest; ``rows`` and ``columns`` cut one axis; ``2x4`` is
            two rows of four bands. Bands that would be thinner than :data:`MIN_CELLS` are fewer.
        size_px: Height and width of the video.
        num_ranks: Ranks that may have a band.

    Raises:
        InvalidInputError: If ``text`` is none of these, or names more bands than ranks.
    """
    check_grid(text)
    cells = size_px[0] // SPATIAL_STRIDE, size_px[1] // SPATIAL_STRIDE
    if text == AUTO:
        return _quickest(cells, num_ranks)
    if text in (ROWS, COLUMNS):
        return _cut(cells, (num_ranks, 1) if text == ROWS else (1, num_ranks))
    rows, columns = map(int, text.split("x"))
    if rows * columns > num_ranks:
        raise InvalidInputError(
            f"VAE grid {text}: its {rows * columns} bands need as many devices, and there are "
            f"{num_ranks}; use {AUTO!r} or fewer bands",
            subject="vae_grid",
        )
    return _cut(cells, (rows, columns))


def _quickest(cells: tuple[int, int], num_ranks: int) -> VaeGrid:
    """Return the grid whose largest band, with its halo, is done first; rows where it is equal."""
    counts = range(1, num_ranks + 1)
    pairs = [(rows, columns) for columns in counts for rows in range(1, num_ranks // columns + 1)]
    return min((_cut(cells, pair) for pair in pairs), key=_cost)


def _cost(grid: VaeGrid) -> float:
    sides = [
        max(cells) + _HALO_CELLS * min(2, len(cells) - 1) for cells in (grid.heights, grid.widths)
    ]
    return (
        sides[0] * sides[1] * (_SECOND_AXIS if min(len(grid.heights), len(grid.widths)) > 1 else 1)
    )


def _cut(cells: tuple[int, int], counts: tuple[int, int]) -> VaeGrid:
    """Cut both axes into so many parts, or as many as are not too thin."""
    heights, widths = (
        split_evenly(total, max(1, min(count, total // MIN_CELLS)))
        for total, count in zip(cells, counts, strict=True)
    )
    return VaeGrid(heights, widths)
