"""First look at a file the user named."""

from __future__ import annotations

from pathlib import Path

from ..errors import require
from .paths import check_file


def check_input(path: str | Path, kind: str) -> Path:
    """Return ``path`` if it names a file with something in it.

    Args:
        path: What the user gave.
        kind: What it is for, the first word of the message.

    Raises:
        InvalidInputError: If it is missing, empty, or no plain file.
    """
    size = check_file(path, kind)
    require(size > 0, f"{kind} {path}: the file is empty, 0 bytes; copy it again")
    return Path(path)
