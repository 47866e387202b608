"""Outside text made fit for one line of a message, a log or a terminal."""

from __future__ import annotations

_GAP = "..."


def excerpt(value: object, limit: int = 60) -> str:
    """Return ``str(value)`` on one line, its middle left out where it is longer than ``limit``."""
    text = str(value)
    shown = text if len(text) <= limit else text[:limit] + text[-limit:]
    # Control characters and line breaks would tear the line apart.
    shown = "".join(char if char.isprintable() else " " for char in shown)
    if len(text) <= limit:
        return shown
    kept = limit - len(_GAP)
    return shown[: kept - kept // 2] + _GAP + shown[len(shown) - kept // 2 :]


def is_text(text: str) -> bool:
    """Whether ``text`` can be written down: it may hold halves of characters, or stray bytes."""
    return not any("\ud800" <= char <= "\udfff" for char in text)


def printable(text: str) -> str:
    """Return ``text`` on one line, with what could steer a terminal written as an escape.

    Names in files, and names of files, may hold control characters, line breaks and characters
    that turn the direction of the line. Bytes that are no text are shown by their numbers.
    """
    return "".join(map(_shown, text)) if not text.isprintable() else text


def _shown(char: str) -> str:
    if char.isprintable():
        return char
    if char.isspace():
        return " "
    code = ord(char)
    # Python's stand-in for a byte that is no text.
    return f"\\x{code - 0xDC00:02x}" if 0xDC80 <= code <= 0xDCFF else ascii(char)[1:-1]
