"""How a render is divided among devices, as far as it decides what each of them needs."""

from __future__ import annotations

from dataclasses import dataclass

from ..parallel.bands import VaeGrid
from ..parallel.shares import split_evenly

_HALO_CELLS = 2
"""Latent cells that a band needs of a neighbour, at most: two pixels of the coarsest level."""


@dataclass(frozen=True)
class Division:
    """Tokens and frames by device; the one that has most of them counts."""

    num_devices: int = 1
    grid: VaeGrid | None = None
    """Bands of the frames; ``None``: a device has whole frames."""

    def most_tokens(self, num_frames: int, num_positions: int) -> int:
        """Return the tokens of a device that has most; positions of a frame are divided."""
        return num_frames * split_evenly(num_positions, self.num_devices)[0]

    @property
    def largest_band(self) -> float:
        """Share of a frame that a device has, with what it needs of its neighbours."""
        if self.grid is None:
            return 1.0
        share = 1.0
        for cells in (self.grid.heights, self.grid.widths):
            halo = _HALO_CELLS * min(2, len(cells) - 1)
            share *= min(1.0, (max(cells) + halo) / sum(cells))
        return share


ONE_DEVICE = Division()
