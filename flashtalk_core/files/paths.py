"""Paths from outside: looked at without an error of the system getting through."""

from __future__ import annotations

import re
import stat
from pathlib import Path

from ..errors import InvalidInputError
from ..excerpt import reason, shown_path

# Two letters at least: one is a disk of Windows.
_ADDRESS = re.compile(r"([a-z][a-z0-9+.-]+):/{1,2}", re.IGNORECASE)
_NO_FILES = (
    (stat.S_ISDIR, "this is a folder; name a file in it"),
    (stat.S_ISFIFO, "this is a pipe, which can be read once only; save it as a file first"),
    (stat.S_ISSOCK, "this is a socket; save what it gives as a file first"),
    (stat.S_ISCHR, "this is a device; name a file"),
    (stat.S_ISBLK, "this is a device; name a file"),
)


def user_path(text: str | Path, what: str) -> Path:
    """Return a path as a user wrote it, with ``~`` replaced.

    Args:
        text: What was written.
        what: What it is for, the first words of a message.

    Raises:
        InvalidInputError: If it is empty, or begins with a user who is not known.
    """
    if not str(text) or str(text).isspace():
        raise InvalidInputError(f"{what} {str(text)!r}: no name; name a file or a folder")
    try:
        return Path(text).expanduser()
    except RuntimeError as error:
        raise InvalidInputError(
            f"{what} {shown_path(text)}: no home folder is known for this user; write the "
            "whole path"
        ) from error


def file_url(path: Path) -> str:
    """Return ``path`` as FFmpeg must see it, so that no part of it is taken for a protocol."""
    return f"file:{path}"


def check_file(path: str | Path, what: str) -> int:
    """Check that ``path`` is a plain file; nothing is opened.

    Args:
        path: What the user gave.
        what: What it is for, the first words of the message.

    Returns:
        Its size in bytes.

    Raises:
        InvalidInputError: If the path is empty, or what it names is missing or no plain file.
    """
    shown = shown_path(path)
    if not str(path).strip():
        raise InvalidInputError(f"{what} {shown!r}: no name; name a file")
    try:
        found = Path(path).stat()
    except FileNotFoundError as error:
        raise InvalidInputError(f"{what} {_missing(str(path))}") from error
    except (OSError, ValueError) as error:
        raise InvalidInputError(f"{what} {shown}: {reason(error)}; check the path") from error
    problem = next((said for is_kind, said in _NO_FILES if is_kind(found.st_mode)), "")
    if problem:
        raise InvalidInputError(f"{what} {shown}: {problem}")
    return found.st_size


def _missing(path: str) -> str:
    """Return what is to be said about a path at which nothing is."""
    address = _ADDRESS.match(path)
    if address is None:
        return f"{shown_path(path)}: no such file; check the path"
    # Python's paths keep one slash of two.
    typed = shown_path(f"{address[1]}://{path[address.end() :]}")
    if address[1].lower() == "file":
        return f"{typed}: an address, not a path; write the path that follows 'file://'"
    return f"{typed}: an address, which is not read; download it first and name the file"


def is_file(path: Path) -> bool:
    """Whether a file can be found at ``path``, whatever its name is like."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def is_missing(path: Path) -> bool:
    """Whether nothing is at ``path``; what cannot be looked at may be there."""
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return True
    except (OSError, ValueError):
        return False
    return False


def is_folder(path: Path) -> bool:
    """Whether a folder can be found at ``path``, whatever its name is like."""
    try:
        return path.is_dir()
    except (OSError, ValueError):
        return False


def entries(folder: Path) -> list[Path]:
    """Return what is in ``folder`` in order of name; nothing if it cannot be looked into."""
    try:
        return sorted(folder.iterdir())
    except (OSError, ValueError):
        return []


def folder_problem(folder: Path) -> str:
    """Return why ``folder`` cannot be looked into, empty if it can be."""
    try:
        next(folder.iterdir(), None)
    except (OSError, ValueError) as error:
        return reason(error)
    return ""
