"""Long values in a few words, for messages and for what ComfyUI shows of a node's inputs."""

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
