"""Which tokens of a chunk a device holds; :data:`WHOLE` is all of them.

Axis legend: B batch, L tokens of the chunk, l tokens held here, N heads, D head dim, T latent
frames, R tokens of a latent frame, K classes of masks.
"""

from __future__ import annotations

from math import prod
from typing import Protocol

from torch import Tensor

Grid = tuple[int, int, int]
"""Tokens along time, height and width; R is height times width."""


class TokenLayout(Protocol):
    """Divides the tokens of a chunk among devices.

    Each device holds the same positions of every latent frame, frame by frame, so that what
    works on one frame at a time need not know of the others.
    """

    @property
    def recordable(self) -> bool:
        """Whether its exchanges may be recorded in a CUDA graph."""
        ...

    def most_tokens(self, grid: Grid) -> int:
        """Return how many tokens the device with most of them holds; the same on all devices."""
        ...

    def scatter(self, tokens: Tensor, grid: Grid) -> Tensor:
        """Return the tokens held here, ``(B, l, ...)`` of ``(B, L, ...)``."""
        ...

    def gather(self, patches: Tensor, grid: Grid) -> Tensor:
        """Return the patches of all tokens, ``(B, L, C)``, from those held here, ``(B, l, C)``."""
        ...

    def first_frame(self, keys: Tensor, num_positions: int) -> Tensor:
        """Return all keys of the first latent frame.

        Args:
            keys: Those held here, ``(B, l, N, D)``.
            num_positions: R.

        Returns:
            ``(B, R, N, D)``.
        """
        ...

    def extremes(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Return minimum and maximum over all tokens, ``(K,)`` each, of ``(K, l)``."""
        ...


class _Whole:
    """:class:`TokenLayout` of a device that holds all tokens."""

    recordable = True

    def most_tokens(self, grid: Grid) -> int:
        return prod(grid)

    def scatter(self, tokens: Tensor, grid: Grid) -> Tensor:  # noqa: ARG002
        return tokens

    def gather(self, patches: Tensor, grid: Grid) -> Tensor:  # noqa: ARG002
        return patches

    def first_frame(self, keys: Tensor, num_positions: int) -> Tensor:
        return keys[:, :num_positions]

    def extremes(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        return rows.amin(dim=1), rows.amax(dim=1)


WHOLE: TokenLayout = _Whole()
