"""Times as people write them: seconds, or minutes and seconds as a clock shows them."""

from __future__ import annotations

import re

_CLOCK = re.compile(r"(?:\d+:){1,2}\d+(?:\.\d*)?")
# A time as 12.5, 1:05 or 1:02:03.5, a colon (Chinese input methods type the wide one), a text.
_TIMED = re.compile(r"((?:\d+:){0,2}\d+(?:\.\d*)?)\s*[:\N{FULLWIDTH COLON}]\s*(\S.*)")


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


def split_time(line: str) -> tuple[str, str] | None:
    """Return time and text of ``12.5: She smiles`` or ``1:05: She nods``, else ``None``."""
    match = _TIMED.fullmatch(line.strip())
    return None if match is None else (match[1], match[2])
