"""The border to Pillow: whatever it raises about a file becomes one error with a remedy."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ...errors import InvalidInputError

_LONGEST = 160
_OF_THE_DISK = (errno.EACCES, errno.EPERM, errno.ENOENT, errno.EIO, errno.ESTALE, errno.EMFILE)


@contextmanager
def image_errors(path: Path) -> Iterator[None]:
    """Turn what a library raises while it reads an image into an error a user can act on.

    Pillow's readers raise nearly every kind of exception for a damaged file, and more with each
    version, so there is no list of kinds.

    Raises:
        InvalidInputError: With the file, the reason and a remedy.
    """
    try:
        yield
    except InvalidInputError:
        raise
    except Exception as error:
        raise InvalidInputError(f"image {path}: {_explained(error)}") from error


def reason_of(error: BaseException) -> str:
    """Return what an exception says, as one short line that can be printed."""
    words = " ".join(str(error).split()) or type(error).__name__
    shown = "".join(letter if letter.isprintable() else "?" for letter in words)
    return shown if len(shown) <= _LONGEST else shown[:_LONGEST] + " ..."


def _explained(error: Exception) -> str:
    reason = reason_of(error)
    if isinstance(error, MemoryError) or "out of memory" in reason.lower():
        return "there is not enough memory to read it; make it smaller, or free some memory"
    if isinstance(error, OSError) and error.errno in _OF_THE_DISK:
        return f"{error.strerror}; check the path and that it may be read"
    if "truncated" in reason.lower():
        return f"cannot be read ({reason}); it is cut short, copy or export it again"
    return f"cannot be read ({reason}); export it again as PNG or JPEG"
