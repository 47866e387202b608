"""Identity of weights files, and errors when one cannot be read."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ...borders import is_out_of_memory, library_border
from ...errors import NoMemoryError, WeightsError
from ...excerpt import reason
from .contents import describe_content


@contextmanager
def file_border(path: Path, *, passing: tuple[type[Exception], ...] = ()) -> Iterator[None]:
    """Turn a library's error about the file ``path`` into one line; see :func:`library_border`.

    Raises:
        WeightsError: If it cannot be read.
        NoMemoryError: If reading it takes more memory than there is.
    """
    try:
        with library_border(lambda why: unreadable(path, why), passing=passing):
            yield
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        raise NoMemoryError(
            f"{path}: reading it takes more memory than is free ({reason(error)}); close other "
            "programs, or download it again: damaged files may need too much"
        ) from error


def file_identity(path: Path) -> str:
    """Return name, size and time of change of a file as it is now; text for a fingerprint.

    Raises:
        WeightsError: If it no longer exists.
    """
    try:
        status = path.stat()
    except OSError as error:
        raise WeightsError(
            f"{path}: gone since it was found ({error.strerror}); put it back or choose another"
        ) from error
    return f"{path.name} {status.st_size} {status.st_mtime_ns}"


def unreadable(path: Path, why: str) -> WeightsError:
    """Return the error for a file that cannot be read."""
    said = describe_content(path) or why
    # One word is a code, or the name of an error in the library.
    told = f" ({said})" if " " in said else ""
    return WeightsError(
        f"{path}: damaged, cut short or not readable{told}; resume or repeat its download"
    )
