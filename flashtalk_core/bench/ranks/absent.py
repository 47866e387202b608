"""A rank whose others are not there: what it computes takes its time, exchanges take none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod

from torch import Tensor

from ...parallel.collectives import Collectives, Pending, Shape, joined


class AbsentRanks:
    """:class:`Collectives` of one rank alone: what others would send is made of its own numbers.

    Shapes and dtypes are those of real exchanges, and values are of the same size, since a GPU is
    faster with zeros. What comes out is no image.
    """

    recordable = True

    def __init__(self, rank: int, size: int) -> None:
        """Be rank ``rank`` of ``size``."""
        self.rank = rank
        self.size = size

    def __repr__(self) -> str:
        return f"AbsentRanks({self.rank} of {self.size})"

    def all_to_all(self, parts: Sequence[Tensor], shapes: Sequence[Shape]) -> list[Tensor]:
        """Return own numbers in the shapes of what others send."""
        counts = [prod(shape) for shape in shapes]
        pieces = _numbers(joined(parts), sum(counts)).split(counts)
        return [piece.view(shape) for piece, shape in zip(pieces, shapes, strict=True)]

    def all_gather(self, part: Tensor, shapes: Sequence[Shape]) -> list[Tensor]:
        """Return the own part, and such numbers in the shapes of the others."""
        return [
            part if rank == self.rank else _numbers(part, prod(shape)).view(shape)
            for rank, shape in enumerate(shapes)
        ]

    def send(
        self, parts: Mapping[int, Tensor], shapes: Mapping[int, Shape], like: Tensor
    ) -> Pending:
        """Receive own numbers at once."""
        sent = list(parts.values()) or [like]
        flat = joined(sent)
        return _Received({
            rank: _numbers(flat, prod(shape)).view(shape) for rank, shape in shapes.items()
        })  # fmt: skip

    def sum(self, values: Tensor) -> Tensor:
        """Return the sum over ranks that all have the same."""
        return values * self.size

    def max(self, values: Tensor) -> Tensor:
        """Return the values."""
        return values

    def broadcast(self, values: Tensor, root: int) -> Tensor:  # noqa: ARG002
        """Return the values."""
        return values

    def subgroup(self, groups: Sequence[Sequence[int]]) -> Collectives | None:
        """Return the group of this rank, without its others."""
        for ranks in groups:
            if self.rank in ranks:
                return AbsentRanks(list(ranks).index(self.rank), len(ranks))
        return None


class _Received:
    def __init__(self, parts: Mapping[int, Tensor]) -> None:
        self._parts = parts

    def wait(self) -> Mapping[int, Tensor]:
        return self._parts


def _numbers(source: Tensor, count: int) -> Tensor:
    """Return ``count`` numbers of ``source``, over again where it has fewer; zeros of none."""
    flat = source.reshape(-1)
    if not flat.numel():
        return flat.new_zeros(count)
    return flat.repeat(-(-count // flat.numel()))[:count] if count > flat.numel() else flat[:count]
