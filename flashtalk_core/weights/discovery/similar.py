"""Files that are nearly those looked for: named to the user, never used automatically."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fnmatch import fnmatch
from pathlib import Path

from ..formats.suffixes import READABLE
from .parts import PARTS, Part

_LEVELS = ("*", "*/*")
_MAX_SHOWN = 3


def describe_similar(roots: Sequence[Path], part: Part) -> str:
    """Return what to do with files in ``roots`` that resemble ``part``; empty without any."""
    found = [path.name for root in roots for path in _similar_files(root, part)]
    return f"{_some(found)} there, choose it if it is the one" if found else ""


def _similar_files(folder: Path, part: Part) -> Iterator[Path]:
    for level in _LEVELS:
        for path in _entries(folder, level):
            is_weights = path.suffix.lower() in READABLE
            if is_weights and any(fnmatch(path.name.lower(), name) for name in PARTS[part].similar):
                yield path


def _entries(folder: Path, pattern: str) -> list[Path]:
    try:
        return sorted(folder.glob(pattern))
    except OSError:
        return []  # a folder that cannot be read has nothing to name


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - _MAX_SHOWN} more" if len(names) > _MAX_SHOWN else ""
    return ", ".join(names[:_MAX_SHOWN]) + more + (" is" if len(names) == 1 else " are")
