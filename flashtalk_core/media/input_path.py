"""First look at a file the user named."""

from __future__ import annotations

import stat
from pathlib import Path

from ..config import require
from ..errors import InvalidInputError


def check_input(path: str | Path, kind: str) -> Path:
    """Return ``path`` if it names a file with something in it.

    Args:
        path: What the user gave.
        kind: What it is for, the first word of the message.

    Raises:
        InvalidInputError: If it is missing, a folder or empty.
    """
    path = Path(path)
    try:
        found = path.stat()
    except FileNotFoundError as error:
        raise InvalidInputError(f"{kind} {path}: no such file; check the path") from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InvalidInputError(f"{kind} {path}: {reason}; check the path") from error
    is_folder = stat.S_ISDIR(found.st_mode)
    require(not is_folder, f"{kind} {path}: this is a folder; name a {kind} file in it")
    require(found.st_size > 0, f"{kind} {path}: the file is empty, 0 bytes; copy it again")
    return path


def file_url(path: Path) -> str:
    """Return ``path`` as FFmpeg must see it, so that no part of it is taken for a protocol."""
    return f"file:{path}"
