"""Borders at which what a library raises about outside data becomes one error of this project."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from .errors import FlashTalkError
from .excerpt import reason

# How allocators say so: of PyTorch on Linux, on Windows and on a GPU, of CUDA's libraries, of
# the system behind a mapped file.
_NO_MEMORY = (
    "defaultcpuallocator",
    "can't allocate memory",
    "cannot allocate memory",
    "not enough memory",
    "out of memory",
    "alloc_failed",
    "bad_alloc",
)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether ``error`` says that memory ran out, of the computer or of a GPU."""
    if isinstance(error, FlashTalkError):
        return False
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    if isinstance(error, OSError) and error.errno == errno.ENOMEM:
        return True
    # Libraries raise these as plain RuntimeErrors, or as errors of their own.
    said = str(error).lower() if isinstance(error, Exception) else ""
    return any(words in said for words in _NO_MEMORY)


@contextmanager
def library_border(
    describe: Callable[[str], FlashTalkError], *, passing: tuple[type[Exception], ...] = ()
) -> Iterator[None]:
    """Turn whatever a library raises inside into one error.

    Libraries that read foreign files raise anything; which, changes with their versions. So
    nothing is listed here. Only what they are called for belongs inside: bugs of this project
    would be taken for damage. Memory that ran out and a :class:`FlashTalkError` pass through.

    Args:
        describe: Makes the error from the reason in a few words.
        passing: More errors that pass through.
    """
    passed: tuple[type[Exception], ...] = (FlashTalkError, *passing)
    try:
        yield
    except passed:
        raise
    except Exception as error:
        if is_out_of_memory(error):
            raise
        raise describe(reason(error)) from error
