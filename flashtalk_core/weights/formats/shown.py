"""Names of tensors for messages; in a file they may be of any length and number."""

from __future__ import annotations

from collections.abc import Sequence

from ...excerpt import excerpt

_LONGEST_NAME = 120


def shown(name: str) -> str:
    """Return a name as one short line."""
    return excerpt(name, _LONGEST_NAME)


def some(names: Sequence[str], most: int) -> str:
    """Return the first ``most`` names, with dots for the others."""
    return ", ".join(map(shown, names[:most])) + (", ..." if len(names) > most else "")
