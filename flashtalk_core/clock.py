"""Times as people write them: seconds, or minutes and seconds as a clock shows them."""

from __future__ import annotations

import re

_CLOCK = re.compile(r"(?:\d+:){1,2}\d+(?:\.\d*)?")


def read_time(text: str) -> float:
    """Return the seconds of ``12.5``, ``1:05`` or ``1:02:03.5``.

    Raises:
        ValueError: If it is no time.
    """
    if ":" not in text:
        return float(text)
    if _CLOCK.fullmatch(text.strip()) is None:
        raise ValueError("use seconds, or minutes and seconds as 1:05")
    seconds = 0.0
    for part in text.split(":"):
        seconds = 60 * seconds + float(part)
    return seconds
