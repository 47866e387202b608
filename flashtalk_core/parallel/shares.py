"""How work is divided among ranks: unevenly where numbers do not divide, without padding."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate, pairwise


def split_evenly(total: int, parts: int) -> tuple[int, ...]:
    """Split ``total`` items into ``parts`` counts that differ by one at most, larger ones first.

    Some are 0 where there are fewer items than parts.
    """
    base, rest = divmod(total, parts)
    return tuple(base + (index < rest) for index in range(parts))


def ranges_of(counts: Sequence[int]) -> tuple[range, ...]:
    """Return the consecutive ranges that have these counts."""
    return tuple(range(start, stop) for start, stop in pairwise(accumulate(counts, initial=0)))
