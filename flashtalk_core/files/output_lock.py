"""One render at a time for each output, whatever ends it."""

from __future__ import annotations

import errno
import os
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from io import FileIO
from pathlib import Path
from stat import S_ISREG
from typing import BinaryIO

from ..errors import OutputError
from ..excerpt import shown_path

_STALE_S = 60
"""A lock that is younger may belong to a render that has made its file but not locked it yet."""
_HELD_BY_ANOTHER = {errno.EAGAIN, errno.EWOULDBLOCK, errno.EACCES, errno.EDEADLK}


_OPEN_LOCK = (
    os.O_RDWR
    | os.O_CREAT
    | os.O_APPEND
    | getattr(os, "O_NOFOLLOW", 0)
    | getattr(os, "O_NONBLOCK", 0)  # a pipe would be waited for
    | getattr(os, "O_CLOEXEC", 0)
    | getattr(os, "O_BINARY", 0)
)


@contextmanager
def lock_output(final: Path, lock: Path) -> Iterator[None]:
    """Keep other renders, of any process, from writing the same output.

    The lock ends with the process that holds it, even a killed one, whose file the next render
    takes over. Where the file system knows no locks, none is held.

    Args:
        final: Name of the video, for the message.
        lock: File to lock; it is removed at the end.

    Raises:
        OutputError: If another render holds it, or a file of the user has its name.
        OSError: If the file cannot be made.
    """
    file = _take(final, lock)
    try:
        yield
    finally:
        if sys.platform == "win32":  # an open file cannot be removed there
            file.close()
        with suppress(OSError):
            lock.unlink()
        file.close()


def claim(file: FileIO, path: Path) -> None:
    """Hold a file that grows as long as it is open, where the system knows locks.

    Another program may have removed the lock of its output, and with it what kept others away.

    Raises:
        OutputError: If another render holds it.
    """
    if sys.platform == "win32":  # no file can be removed there that is open, no lock either
        return
    try:
        _lock(file)
    except OSError as error:
        if error.errno in _HELD_BY_ANOTHER:
            raise _held_by_another(path) from error


def check_own_place(final: Path, path: Path) -> None:
    """Refuse what is no plain file in the place of a file that a render makes for itself.

    A link would be followed, and a file of another user written to; a pipe be waited for.

    Args:
        final: Name of the video, for the message.
        path: The file to look at.

    Raises:
        OutputError: If there is a link, a folder, a pipe or a device.
        OSError: If it cannot be looked at.
    """
    if not S_ISREG(path.lstat().st_mode):
        raise OutputError(
            f"output {shown_path(final)}: {shown_path(path)} is no plain file, and one of the "
            "render is to lie there; move it away or choose another name"
        )


def remove_stale_locks(folder: Path, pattern: str) -> None:
    """Remove locks that a killed render left behind; what a render holds stays.

    Args:
        folder: Where to look; its subfolders are left alone.
        pattern: Of the locks' names.
    """
    with suppress(OSError):
        for lock in folder.glob(pattern):
            with suppress(OSError):
                _remove_stale(lock)


def _remove_stale(lock: Path) -> None:
    """Remove a lock that is not held.

    Raises:
        OSError: If it is held, or where the file system knows no locks.
    """
    status = lock.lstat()
    if not S_ISREG(status.st_mode) or status.st_size or time.time() - status.st_mtime < _STALE_S:
        return
    with lock.open("r+b") as file:
        _lock(file)
        if sys.platform != "win32":
            if _is_still(file, lock):
                lock.unlink()
            return
    lock.unlink()  # an open file cannot be removed there; a render that came between has its own


def _take(final: Path, lock: Path) -> BinaryIO:
    while True:
        with ExitStack() as opened:
            file = opened.enter_context(_open(final, lock))
            try:
                _lock(file)
            except OSError as error:
                if error.errno in _HELD_BY_ANOTHER:
                    raise _held_by_another(final) from error
            # Its last holder may have removed the file between the two steps.
            if sys.platform == "win32" or _is_still(file, lock):
                opened.pop_all()
                return file


def _open(final: Path, lock: Path) -> BinaryIO:
    with suppress(FileNotFoundError):
        check_own_place(final, lock)
    file = os.fdopen(os.open(lock, _OPEN_LOCK, 0o666), "ab")
    status = os.fstat(file.fileno())
    if S_ISREG(status.st_mode) and not status.st_size:
        return file
    file.close()
    raise OutputError(
        f"output {shown_path(final)}: {shown_path(lock)} is the name of the render's lock, and "
        "a file of another program is there; move it away or choose another name"
    )


def _held_by_another(path: Path) -> OutputError:
    return OutputError(
        f"output {shown_path(path)}: another render is writing it; choose another name, or wait "
        "until that one is done"
    )


def _lock(file: BinaryIO | FileIO) -> None:
    if sys.platform == "win32":
        import msvcrt

        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
    else:
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _is_still(file: BinaryIO, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False
