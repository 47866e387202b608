"""The tokens of a chunk divided by their position in the frame.

A rank holds the same positions of every latent frame, so that audio attention, rotary table, rows
in FP8 and fused kernels work as on one device. Counts differ by one where positions do not
divide; no token is padded and none masked, and a rank may hold none.

Axis legend: B batch, L tokens of the chunk, l tokens of this rank, N heads, D head dim, T latent
frames, R positions of a latent frame, r those of this rank, K classes of masks.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ..models.transformer.layout import Grid
from .collectives import Collectives
from .shares import ranges_of, split_evenly


class PlaneLayout:
    """:class:`~flashtalk_core.models.transformer.layout.TokenLayout` of one of several ranks."""

    def __init__(self, world: Collectives, *, recordable: bool = True) -> None:
        """Divide the positions among all ranks of ``world``.

        Args:
            world: All ranks.
            recordable: Whether attention between ranks may be recorded, if exchanges may.
        """
        self._world = world
        self._recordable = recordable
        self.lengths: tuple[int, ...] = (0,) * world.size
        """Tokens of each rank in the forward pass that runs; :meth:`scatter` begins it. The
        attention needs them, and tokens alone do not show how many others have."""

    @property
    def recordable(self) -> bool:
        """Whether exchanges may be recorded; see ``TokenLayout``."""
        return self._recordable and self._world.recordable

    def most_tokens(self, grid: Grid) -> int:
        """Return the tokens of the first rank; see ``TokenLayout``."""
        return grid[0] * self._counts(grid[1] * grid[2])[0]

    def scatter(self, tokens: Tensor, grid: Grid) -> Tensor:
        """Return this rank's tokens; see ``TokenLayout``."""
        counts = self._counts(grid[1] * grid[2])
        self.lengths = tuple(grid[0] * count for count in counts)
        mine = ranges_of(counts)[self._world.rank]
        frames = tokens.unflatten(1, (grid[0], grid[1] * grid[2]))
        return frames[:, :, mine.start : mine.stop].flatten(1, 2)

    def gather(self, patches: Tensor, grid: Grid) -> Tensor:
        """Return the patches of all ranks; see ``TokenLayout``."""
        counts = self._counts(grid[1] * grid[2])
        batch, _, width = patches.shape
        shapes = [(batch, grid[0] * count, width) for count in counts]
        parts = self._world.all_gather(patches, shapes)
        frames = [
            part.unflatten(1, (grid[0], count)) for part, count in zip(parts, counts, strict=True)
        ]
        return torch.cat(frames, dim=2).flatten(1, 2)

    def first_frame(self, keys: Tensor, num_positions: int) -> Tensor:
        """Return the first frame's keys of all ranks; see ``TokenLayout``."""
        counts = self._counts(num_positions)
        batch, _, num_heads, head_dim = keys.shape
        shapes = [(batch, count, num_heads, head_dim) for count in counts]
        own = keys[:, : counts[self._world.rank]]
        return torch.cat(self._world.all_gather(own, shapes), dim=1)

    def extremes(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Return minimum and maximum over the tokens of all ranks; see ``TokenLayout``."""
        # One maximum for both; a rank without tokens has nothing to say.
        both = torch.cat([-rows, rows])
        nothing = both.new_full((both.shape[0], 1), -torch.inf)
        largest = self._world.max(torch.cat([both, nothing], dim=1).amax(dim=1))
        lowest, highest = largest.chunk(2)
        return -lowest, highest

    def _counts(self, num_positions: int) -> tuple[int, ...]:
        return split_evenly(num_positions, self._world.size)
