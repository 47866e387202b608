"""How long each phase of several devices may take, as users write it: ``load=1800, step=120``."""

from __future__ import annotations

import math

from ..errors import InvalidInputError, require
from ..excerpt import excerpt

PHASES = ("start", "load", "step", "stop")


def read_limits(text: str) -> dict[str, float]:
    """Read limits with commas between, none of an empty text.

    Returns:
        Seconds by fields of :class:`.runtime.limits.Limits`, which checks how many.

    Raises:
        InvalidInputError: If one is none, or is there twice.
    """
    found: dict[str, float] = {}
    for word in filter(None, map(str.strip, text.split(","))):
        phase, seconds = read_limit(word)
        require(
            f"{phase}_s" not in found,
            f"limits {excerpt(text)!r}: {phase} is there twice; name it once",
            subject="limits",
        )
        found[f"{phase}_s"] = seconds
    return found


def read_limit(text: str) -> tuple[str, float]:
    """Read one limit, such as ``load=1800``: a phase, and seconds without progress in it.

    Raises:
        InvalidInputError: If it is none.
    """
    phase, _, number = (each.strip() for each in text.partition("="))
    try:
        seconds = float(number)
    except ValueError:
        seconds = 0.0
    if phase not in PHASES or not 0 < seconds < math.inf:
        raise InvalidInputError(
            f"limit {excerpt(text)!r}: use {', '.join(PHASES)} and more than 0 seconds, such as "
            "load=1800",
            subject="limits",
        )
    return phase, seconds
