"""Rows of the experiment against Stage 1, seed by seed: same faces, voices and noise."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from statistics import mean
from typing import Any

from ..drawn_faces.damage import DAMAGES
from .table import Row

Result = dict[str, Any]
BySeed = dict[int, Result]
"""Results of a row by their seeds."""

_EARLY = 10
"""Chunk that drift at the end is compared with."""
DRIFTS = (
    ("colour_delta_e", "colour", 1),
    ("identity", "identity", 3),
    ("structure", "structure", 3),
)
"""Names of measures of drift, what tables call them, and with how many digits."""
HEAD = (
    "row", "pairs", "lips", "recovered", "at chunk", *(called for _, called, _ in DRIFTS),
    "last chunk", *(f"{called}, last / {_EARLY}" for _, called, _ in DRIFTS),
)  # fmt: skip
"""All but the last columns are a row's value less Stage 1's."""


def drift_at(result: Result, name: str, chunk: int) -> float | None:
    """Return what was measured at a chunk; ``None`` if it was not, or the run was shorter."""
    drift = result["drift"]
    measured = name in drift and chunk in drift["chunk"]
    return drift[name][drift["chunk"].index(chunk)] if measured else None


def find_stage_1(rows: Iterable[Row]) -> Row | None:
    """Return the row that others are compared with: the first without student and guidance."""
    return next((row for row in rows if row.student is None and row.guidance is None), None)


def paired_cells(
    row: Row, found: BySeed, stage_1: BySeed, write: Callable[[list[float | None], int], str]
) -> list[str]:
    """Return a row's cells under :data:`HEAD`.

    Args:
        row: The row.
        found: Its results.
        stage_1: Those of Stage 1; the seeds that both have are paired.
        write: Writes values of several seeds with so many digits.
    """
    pairs = [(found[seed], stage_1[seed]) for seed in found if seed in stage_1]
    common = last_common(result for pair in pairs for result in pair)
    last = last_common(found.values())

    def less(value: Callable[[Result], float | None], digits: int) -> str:
        return write([_difference(value(one), value(other)) for one, other in pairs], digits)

    def less_drift(name: str, digits: int) -> str:
        return "" if common is None else less(lambda r: drift_at(r, name, common), digits)

    def growth(name: str) -> str:
        return write([_growth(result, name, last) for result in found.values()], 2)

    return [
        row.name,
        str(len(pairs)),
        less(lambda result: result["lips"]["correlation_mean"], 3),
        less(_recovered_in, 2),
        "" if common is None else f"{common:,.0f}",
        *(less_drift(name, digits) for name, _, digits in DRIFTS),
        "" if last is None else f"{last:,.0f}",
        *(growth(name) for name, _, _ in DRIFTS),
    ]


def last_common(results: Iterable[Result]) -> int | None:
    """Return the last chunk that was measured in all of some runs; ``None`` if there is none."""
    chunks = [set(result["drift"]["chunk"]) for result in results]
    return max(set.intersection(*chunks), default=None) if chunks else None


def _recovered_in(result: Result) -> float | None:
    """Return the mean chunk of recovery over all kinds of damage; ``None`` if not all have."""
    recovery = result.get("recovery")
    chunks = [] if recovery is None else [recovery[kind]["chunk"] for kind in DAMAGES]
    return mean(chunks) if chunks and None not in chunks else None


def _difference(one: float | None, other: float | None) -> float | None:
    return None if one is None or other is None else one - other


def _growth(result: Result, name: str, last: int | None) -> float | None:
    """Return drift at chunk ``last`` over that at the tenth; ``None`` if that is not before it."""
    early = drift_at(result, name, _EARLY)
    late = None if last is None or last <= _EARLY else drift_at(result, name, last)
    return late / early if early and late is not None else None
