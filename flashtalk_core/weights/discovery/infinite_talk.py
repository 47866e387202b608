"""InfiniteTalk: FlashTalk's network with other weights, known by the names of its files."""

from __future__ import annotations

from collections.abc import Iterable
from fnmatch import fnmatch
from typing import Any

_NAME = "*infinite*talk*"


def is_infinite_talk(name: str) -> bool:
    """Whether a file is named as one of InfiniteTalk."""
    return fnmatch(name.lower(), _NAME)


def defaults_of(names: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Return how a transformer was trained where that is not FlashTalk's way, by section.

    Args:
        names: Of its files.

    Source: MeiGen-AI/InfiniteTalk ``generate_infinitetalk.py``; it has no steps with new noise. The
    shift is what workflows with a LoRA for few steps use; 4 steps are FlashTalk's as well.
    """
    if not any(map(is_infinite_talk, names)):
        return {"chunk": {}, "sampling": {}, "plain": {}}
    return {
        "chunk": {"num_frames": 81, "num_motion_frames": 9},
        "sampling": {"rule": "euler", "shift": 3.0},
        "plain": {"name": "InfiniteTalk"},
    }
