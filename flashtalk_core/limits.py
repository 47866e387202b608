"""Limits of numbers and lengths, and the usual ones of sizes."""

from __future__ import annotations

from typing import Annotated, NamedTuple


class Within(NamedTuple):
    """Limits of a number, or of the length of a text or a list; both are allowed."""

    least: float
    most: float


Count = Annotated[int, Within(1, 128)]
"""How many of something are built: each takes time."""
Width = Annotated[int, Within(1, 65_536)]
"""Length of one axis of a tensor."""
Epsilon = Annotated[float, Within(1e-20, 0.1)]
"""What is added so that nothing is divided by zero."""
