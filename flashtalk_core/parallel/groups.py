"""Groups of ranks that share the tokens of one transformer.

Ulysses exchanges tokens for heads, twice a layer, and works for any number of ranks. Ring passes
keys and values around and attends to one part after the other; it sends more, but to a neighbour
only, while it computes. With both, Ulysses runs among neighbouring ranks and Ring between those
groups.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import InvalidInputError, require
from .collectives import Alone, Collectives


@dataclass(frozen=True)
class SequenceGroups:
    """The groups that one rank is in; its tokens and heads follow from its index in them."""

    world: Collectives
    """All ranks, ``ulysses.size * ring.size`` of them."""
    ulysses: Collectives
    """Ranks that exchange tokens for heads."""
    ring: Collectives
    """Ranks that pass keys and values around, one of each Ulysses group."""


ONE_RANK = SequenceGroups(Alone(), Alone(), Alone())
"""The groups of a device that computes alone."""


def sequence_degrees(
    num_ranks: int, ulysses: int | None = None, ring: int | None = None
) -> tuple[int, int]:
    """Return how many ranks take part in Ulysses and in Ring; nothing is exchanged.

    Args:
        num_ranks: Ranks in all.
        ulysses: Degree of Ulysses; ``None`` for what ``ring`` leaves.
        ring: Degree of Ring; ``None`` for what ``ulysses`` leaves, which is 1 without that.

    Raises:
        InvalidInputError: If the degrees do not multiply to ``num_ranks``.
    """
    for name, degree in (("ulysses", ulysses), ("ring", ring)):
        require(
            degree is None or (degree >= 1 and num_ranks % degree == 0),
            f"{name} {degree}: it must divide the number of devices, {num_ranks}; "
            f"use one of {', '.join(map(str, _divisors(num_ranks)))}, or leave it out",
            subject=name,
        )
    if ulysses is None:
        return num_ranks // (ring or 1), ring or 1
    if ring is None:
        return ulysses, num_ranks // ulysses
    if ulysses * ring != num_ranks:
        raise InvalidInputError(
            f"ulysses {ulysses} and ring {ring}: their product must be the number of devices, "
            f"{num_ranks}; use ring {num_ranks // ulysses}, or leave one of them out",
            subject="ring",
        )
    return ulysses, ring


def _divisors(number: int) -> list[int]:
    return [each for each in range(1, number + 1) if number % each == 0]


def sequence_groups(
    world: Collectives, ulysses: int | None = None, ring: int | None = None
) -> SequenceGroups:
    """Make the groups of this rank; every rank of ``world`` makes the call.

    Args:
        world: All ranks.
        ulysses: See :func:`sequence_degrees`.
        ring: See :func:`sequence_degrees`.

    Raises:
        InvalidInputError: On every rank alike, see :func:`sequence_degrees`.
    """
    num_ulysses, num_ring = sequence_degrees(world.size, ulysses, ring)
    if num_ring == 1:
        return SequenceGroups(world, world, Alone())
    if num_ulysses == 1:
        return SequenceGroups(world, Alone(), world)
    ranks = range(world.size)
    neighbours = [ranks[at : at + num_ulysses] for at in ranks[::num_ulysses]]
    across = [ranks[at::num_ulysses] for at in range(num_ulysses)]
    first, second = world.subgroup(neighbours), world.subgroup(across)
    assert first is not None, "every rank is in a group"
    assert second is not None, "every rank is in a group"
    return SequenceGroups(world, first, second)
