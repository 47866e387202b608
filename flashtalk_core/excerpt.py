"""Outside text, and sizes, made fit for one line of a message, a log or a terminal."""

from __future__ import annotations

import re
from pathlib import Path

_GAP = "..."
_LONGEST_PATH = 600
_LONGEST_REASON = 160
_PLACE = re.compile(r"^\[enforce fail at [^\]]*\][^.]*\. |^\[Errno \d+\] ")
"""Where in its own source PyTorch has found an error."""


def excerpt(value: object, limit: int = 60) -> str:
    """Return ``str(value)`` on one line, its middle left out where it is longer than ``limit``."""
    text = str(value)
    shown = text if len(text) <= limit else text[:limit] + text[-limit:]
    if not shown.isprintable():
        # Control characters and line breaks would tear the line apart.
        shown = "".join(char if char.isprintable() else " " for char in shown)
    if len(text) <= limit:
        return shown
    length = limit - len(_GAP)
    return shown[: length - length // 2] + _GAP + shown[len(shown) - length // 2 :]


def is_text(text: str) -> bool:
    """Whether ``text`` can be written down: it may hold halves of characters, or stray bytes."""
    return not any("\ud800" <= char <= "\udfff" for char in text)


def printable(text: str) -> str:
    """Return ``text`` on one line, with what could steer a terminal written as an escape.

    Names in files, and names of files, may hold control characters, line breaks and characters
    that turn the direction of the line. Bytes that are no text are shown by their numbers.
    """
    return "".join(map(_shown, text)) if not text.isprintable() else text


def shown_path(path: str | Path) -> str:
    """Return ``path`` for a message: stray bytes as escapes, and what has no end in short."""
    return excerpt(printable(str(path)), _LONGEST_PATH)


def first_line(text: object) -> str:
    """Return the first line of what an error or a program says, whole; empty if it says nothing."""
    return str(text).strip().partition("\n")[0].rstrip()


def reason(error: BaseException) -> str:
    """Return what ``error`` says in a few words; its kind if it says nothing."""
    said = getattr(error, "strerror", None) or str(error)
    first = _PLACE.sub("", first_line(said)).strip()
    return excerpt(first, _LONGEST_REASON) if first else type(error).__name__


def format_size(num_bytes: int) -> str:
    """Return a number of bytes in GB (1e9), MB or kB, whichever fits."""
    for unit, scale in (("GB", 1e9), ("MB", 1e6)):
        if num_bytes >= scale:
            return f"{num_bytes / scale:.1f} {unit}"
    return f"{num_bytes / 1e3:.1f} kB"


def _shown(char: str) -> str:
    if char.isprintable():
        return char
    if char.isspace():
        return " "
    code = ord(char)
    # Python's stand-in for a byte that is no text.
    return f"\\x{code - 0xDC00:02x}" if 0xDC80 <= code <= 0xDCFF else ascii(char)[1:-1]
