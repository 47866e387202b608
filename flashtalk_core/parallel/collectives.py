"""What ranks exchange. Everything in :mod:`flashtalk_core.parallel` communicates through this.

Each rank of a group makes the same calls in the same order with shapes that all of them know, so
that no call has to ask for a size.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Protocol

import torch
from torch import Tensor

Shape = tuple[int, ...]


class Pending(Protocol):
    """Messages on their way."""

    def wait(self) -> Mapping[int, Tensor]:
        """Return what was received, by rank, when it may be used on the current stream."""
        ...


class Collectives(Protocol):
    """Communication within a group of ranks, each with its own tensors on its own device.

    All tensors of one call have one dtype. Sizes may differ between ranks and may be 0.
    """

    @property
    def rank(self) -> int:
        """This rank's index in the group."""
        ...

    @property
    def size(self) -> int:
        """Ranks of the group."""
        ...

    @property
    def recordable(self) -> bool:
        """Whether calls may be recorded in a CUDA graph."""
        ...

    def all_to_all(self, parts: Sequence[Tensor], shapes: Sequence[Shape]) -> list[Tensor]:
        """Send one part to each rank, and receive one from each.

        Args:
            parts: For each rank of the group, this one included.
            shapes: Of what each rank sends to this one.

        Returns:
            What was received, in order of ranks.
        """
        ...

    def all_gather(self, part: Tensor, shapes: Sequence[Shape]) -> list[Tensor]:
        """Return the part of every rank, in order of ranks; ``shapes`` are those of all parts."""
        ...

    def send(
        self, parts: Mapping[int, Tensor], shapes: Mapping[int, Shape], like: Tensor
    ) -> Pending:
        """Start to send parts to some ranks and to receive from others.

        Args:
            parts: By receiving rank; they must not change until the call is waited for.
            shapes: Of what arrives, by sending rank.
            like: Has the dtype and device of what arrives.
        """
        ...

    def sum(self, values: Tensor) -> Tensor:
        """Return the sum over all ranks, equal to the bit on each of them."""
        ...

    def max(self, values: Tensor) -> Tensor:
        """Return the maximum over all ranks, element by element."""
        ...

    def broadcast(self, values: Tensor, root: int) -> Tensor:
        """Return the values of rank ``root``; those of others only give shape and dtype."""
        ...

    def subgroup(self, groups: Sequence[Sequence[int]]) -> Collectives | None:
        """Split the group into disjoint groups of ranks; every rank makes the call.

        Args:
            groups: Ranks of this group, by their index in it; need not name all of them.

        Returns:
            The one of them that this rank is in; ``None`` if it is in none.
        """
        ...


class Alone:
    """The group of a single rank: nothing is exchanged. See :class:`Collectives`."""

    rank = 0
    size = 1
    recordable = True

    def all_to_all(self, parts: Sequence[Tensor], shapes: Sequence[Shape]) -> list[Tensor]:  # noqa: ARG002
        """Return the parts; see :class:`Collectives`."""
        return list(parts)

    def all_gather(self, part: Tensor, shapes: Sequence[Shape]) -> list[Tensor]:  # noqa: ARG002
        """Return the part; see :class:`Collectives`."""
        return [part]

    def send(
        self,
        parts: Mapping[int, Tensor],
        shapes: Mapping[int, Shape],  # noqa: ARG002
        like: Tensor,  # noqa: ARG002
    ) -> Pending:
        """Receive what was sent; see :class:`Collectives`."""
        return _Received(parts)

    def sum(self, values: Tensor) -> Tensor:
        """Return the values; see :class:`Collectives`."""
        return values

    def max(self, values: Tensor) -> Tensor:
        """Return the values; see :class:`Collectives`."""
        return values

    def broadcast(self, values: Tensor, root: int) -> Tensor:  # noqa: ARG002
        """Return the values; see :class:`Collectives`."""
        return values

    def subgroup(self, groups: Sequence[Sequence[int]]) -> Collectives | None:
        """Return this group if any group names it; see :class:`Collectives`."""
        return self if any(groups) else None


class _Received:
    def __init__(self, parts: Mapping[int, Tensor]) -> None:
        self._parts = parts

    def wait(self) -> Mapping[int, Tensor]:
        return self._parts


def joined(parts: Sequence[Tensor]) -> Tensor:
    """Return the numbers of all parts in a row, without a copy where they lie so in memory.

    Args:
        parts: At least one; of one dtype.
    """
    filled = [part for part in parts if part.numel()] or [parts[0]]
    if not all(part.is_contiguous() for part in filled) or not all(
        _follows(one, other) for one, other in pairwise(filled)
    ):
        return torch.cat([part.reshape(-1) for part in filled])
    first = filled[0]
    total = sum(part.numel() for part in filled)
    return first.as_strided((total,), (1,), first.storage_offset())


def _follows(one: Tensor, other: Tensor) -> bool:
    """Whether ``other`` begins in memory where ``one`` ends."""
    is_shared = one.untyped_storage().data_ptr() == other.untyped_storage().data_ptr()
    return is_shared and one.storage_offset() + one.numel() == other.storage_offset()
