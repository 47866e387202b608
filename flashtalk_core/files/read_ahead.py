"""Files that are read before their turn, so that they come out of the system's cache at it."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from .room import available_bytes

_BLOCK_BYTES = 4 << 20
_NUM_THREADS = 4
"""Reads at the same time: disks give less to one who waits for each."""
_SHARE = 0.5
"""Of the memory that programs may take: what is read must stay until it is used."""


class ReadAhead:
    """Reads files in order into the system's cache, in threads of its own.

    Mapped files are otherwise read in small pieces when their tensors are asked for, and not at
    all while something else is computed. What cannot be read is left to whoever needs it.
    """

    def __init__(self, paths: Sequence[Path], max_bytes: int | None = None) -> None:
        """Read nothing yet.

        Args:
            paths: Files, in the order of their use.
            max_bytes: Where to stop; ``None`` is half of the memory that there is.
        """
        self._blocks = _blocks(paths, room_bytes() if max_bytes is None else max_bytes)
        self._next, self._has_ended = threading.Lock(), threading.Event()
        self._threads = [
            threading.Thread(target=self._run, name="read ahead", daemon=True)
            for _ in range(_NUM_THREADS)
        ]
        self.num_bytes = 0
        """Read so far."""

    def start(self) -> None:
        """Begin to read."""
        for thread in self._threads:
            thread.start()

    def wait(self) -> None:
        """Wait until all is read."""
        for thread in self._threads:
            thread.join()

    def stop(self) -> None:
        """Read no more; return when nothing is being read."""
        self._has_ended.set()
        self.wait()

    def _run(self) -> None:
        buffer = bytearray()
        while not self._has_ended.is_set():
            with self._next:
                block = next(self._blocks, None)
            if block is None:
                return
            path, start, length = block
            if len(buffer) < length:
                buffer = bytearray(length)
            count = 0
            with suppress(OSError):
                count = _read(path, start, memoryview(buffer)[:length])
            with self._next:
                self.num_bytes += count


def can_read_ahead() -> bool:
    """Whether this system has what it takes: reading at a place, and the memory there is."""
    return hasattr(os, "preadv") and Path("/proc/meminfo").is_file()


def room_bytes() -> int:
    """Return how much may be read ahead; 0 where that is not known."""
    if not can_read_ahead():
        return 0
    return int(_SHARE * available_bytes())


def drop_from_cache(paths: Sequence[Path]) -> None:
    """Let the system forget what it holds of files, as if they had never been read.

    Raises:
        OSError: If one cannot be opened.
    """
    for path in paths:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)  # what is not on the disk yet stays
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        finally:
            os.close(descriptor)


def _blocks(paths: Sequence[Path], max_bytes: int) -> Iterator[tuple[Path, int, int]]:
    """Yield path, start and length of what is read, in order."""
    for path in paths:
        with suppress(OSError):
            size = path.stat().st_size
            for start in range(0, size, _BLOCK_BYTES):
                length = min(_BLOCK_BYTES, size - start, max_bytes)
                if length <= 0:
                    return
                max_bytes -= length
                yield path, start, length


def _read(path: Path, start: int, room: memoryview) -> int:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        return os.preadv(descriptor, [room], start)
    finally:
        os.close(descriptor)
