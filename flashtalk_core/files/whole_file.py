"""Files that are whole or not there: written aside, synced, and then put into their place.

A crash or a power cut leaves the older file or the newer one, as far as the system keeps its
promises. A link is written through: it stays, and the file that it names is replaced.
"""

from __future__ import annotations

import errno
import os
import re
import secrets
import stat
import sys
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_LONGEST_START = 30
"""Letters of the file's own name in that of the one aside: names may have 143 bytes at least."""
_LEFTOVER_S = 3600
"""What was written last before this belongs to no running program."""
_LEFTOVER = re.compile(r"\.[0-9a-f]{16}\.tmp")
_MOST_LINKS = 40
_CREATE = (
    os.O_RDWR
    | os.O_CREAT
    | os.O_EXCL
    | getattr(os, "O_NOFOLLOW", 0)
    | getattr(os, "O_CLOEXEC", 0)
    | getattr(os, "O_BINARY", 0)
)
# How file systems say that they cannot sync, and folders that they may not be opened for it.
_NOT_SYNCED = {errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP}
_NOT_OPENED = _NOT_SYNCED | {errno.EACCES, errno.EPERM, errno.EISDIR}

_DENIED, _SHARED = 5, {32, 33}
"""Numbers of errors of Windows."""
_WAITS_S = (0.1, 0.2, 0.4, 0.8)


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give the name of an empty file next to ``path``; it takes the place of ``path`` at the end.

    It is removed if anything is raised inside. Several programs may do this for one ``path`` at
    once: the last one's file stays.

    Raises:
        OSError: If the file cannot be made, or not be put into its place.
    """
    target = written_target(path)
    aside = _make_aside(target)
    try:
        yield aside
        put_in_place(aside, target)
    finally:
        with suppress(OSError):
            aside.unlink(missing_ok=True)


def check_replacing(path: Path) -> None:
    """Prove that :func:`replacing` would go well, and leave nothing behind.

    Raises:
        OSError: If it would not.
    """
    target = written_target(path)
    aside = _make_aside(target)
    try:
        _take_over_permissions(aside, target)
    finally:
        aside.unlink()


def create(path: Path) -> int:
    """Make a file where nothing is, no link either, and return its descriptor for writing.

    Raises:
        OSError: If there is something, or the file cannot be made.
    """
    return os.open(path, _CREATE, 0o666)


def written_target(path: Path) -> Path:
    """Return the file that writing to ``path`` means: what a link names in the end.

    Raises:
        OSError: If links name each other.
    """
    target = path
    for _ in range(_MOST_LINKS):
        if not target.is_symlink():
            return target
        target = target.parent / target.readlink()
    raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(path))


def put_in_place(aside: Path, target: Path) -> None:
    """Let a whole file take the place of ``target``, with the permissions of an older one.

    On return both the file and its name are on the disk; what it was made from may go now.

    Args:
        aside: File in the folder of ``target``, which is not written to any more.
        target: Name for it; see :func:`written_target`.

    Raises:
        OSError: If that fails, or if something that is no file is in its place.
    """
    sync_file(aside)  # before it may become one that only may be read
    _take_over_permissions(aside, target)
    when_closed(lambda: aside.replace(target))
    sync_folder(target.parent)


def when_closed(change: Callable[[], object]) -> None:
    """Rename or remove a file, and wait a second or two while another program has it open.

    That stops it on Windows alone: a player that shows a video, a scanner that looks at a new file.

    Raises:
        OSError: If that fails.
    """
    for wait_s in _WAITS_S:
        try:
            change()
            return
        except PermissionError as error:
            if not is_open_elsewhere(error):
                raise
            time.sleep(wait_s)
    change()


def is_open_elsewhere(error: Exception) -> bool:
    """Return whether Windows refuses to change a file because a program has it open.

    It says "access denied" where that is the target of a renaming.
    """
    number, other = getattr(error, "winerror", None), getattr(error, "filename2", None)
    return number in _SHARED or (number == _DENIED and other is not None)


def sync_file(path: Path) -> None:
    """Wait until what was written to a file is on the disk.

    Raises:
        OSError: If it cannot be written there; a system that cannot report this is no error.
    """
    file = os.open(path, os.O_RDWR | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0))
    try:
        sync(file)
    finally:
        os.close(file)


def sync_folder(folder: Path) -> None:
    """Wait until the names in a folder are on the disk, where the system can do that.

    Raises:
        OSError: If they cannot be written there.
    """
    if sys.platform == "win32":  # folders cannot be opened there
        return
    try:
        file = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        if error.errno in _NOT_OPENED:
            return
        raise
    try:
        sync(file)
    finally:
        os.close(file)


def sync(file: int) -> None:
    """Wait until what was written to an open file or folder is on the disk.

    Raises:
        OSError: If it cannot be written there; a system that cannot report this is no error.
    """
    try:
        if sys.platform == "darwin":
            import fcntl

            # Plain fsync ends there when the disk has the data, which may hold them in its cache.
            with suppress(OSError):
                fcntl.fcntl(file, fcntl.F_FULLFSYNC)
                return
        os.fsync(file)
    except OSError as error:
        if error.errno not in _NOT_SYNCED:
            raise


def remove_leftover(path: Path) -> None:
    """Remove what a program that was killed left of a file; what may be in use stays."""
    with suppress(OSError):
        if time.time() - path.lstat().st_mtime > _LEFTOVER_S:
            path.unlink()


def remove_asides(path: Path) -> None:
    """Remove what killed programs left aside of a file that nobody else may write at this time."""
    start, own = f".{path.name[:_LONGEST_START]}", _own_start(path)
    with suppress(OSError):
        for other in path.parent.iterdir():
            is_own = other.name.startswith(own)
            if is_own and _LEFTOVER.fullmatch(other.name.removeprefix(start)):
                other.unlink()


def _make_aside(target: Path) -> Path:
    start = f".{target.name[:_LONGEST_START]}"
    _sweep(target.parent, start)
    aside = target.with_name(f"{_own_start(target)}{secrets.token_hex(4)}.tmp")
    os.close(create(aside))
    return aside


def _own_start(target: Path) -> str:
    """Return what the names aside of a file begin with; those of other files do not."""
    digest = zlib.crc32(os.fsencode(target.name))
    return f".{target.name[:_LONGEST_START]}.{digest:08x}"


def _take_over_permissions(aside: Path, target: Path) -> None:
    try:
        older = target.lstat()
    except FileNotFoundError:
        return
    if stat.S_ISDIR(older.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(target))
    if not stat.S_ISREG(older.st_mode):
        raise OSError(errno.EEXIST, "something that is no file is in its place", str(target))
    with suppress(OSError):  # not every disk stores them, and not every user may change an owner
        newer = aside.stat()
        if sys.platform != "win32" and (older.st_uid, older.st_gid) != (newer.st_uid, newer.st_gid):
            with suppress(OSError):
                os.chown(aside, older.st_uid, older.st_gid)
        aside.chmod(stat.S_IMODE(older.st_mode))


def _sweep(folder: Path, start: str) -> None:
    """Remove what programs that were killed left aside."""
    with suppress(OSError, ValueError):
        for path in folder.iterdir():
            if path.name.startswith(start) and _LEFTOVER.fullmatch(path.name[len(start) :]):
                remove_leftover(path)
