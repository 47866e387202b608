"""Memory that all processes of a fleet map: frames, progress, and what must not wait for a message.

It is a file without a name (``memfd_create``), inherited as a file number: nothing is left when
its last holder ends, however that ends, and a small ``/dev/shm`` does not limit it.
"""

from __future__ import annotations

import errno
import mmap
import os
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from ...errors import NoMemoryError
from ...excerpt import format_size, reason
from ...files.room import available_bytes

_HEAD_BYTES = 1 << 16
"""Where frames begin: a multiple of any system's page."""
_ROW_WORDS = 8
_FRAMES_BITS = 16
_MARK_BITS = 16
"""Of a count: what was done since the last mark."""
_COMMAND_BITS = 36
"""Of a count: the marks of a command, and what was done since the last one."""


class Phase(IntEnum):
    """What a rank is doing."""

    STARTING = 0
    IDLE = 1
    LOADING = 2
    ENCODING = 3
    AUDIO = 4
    STEP = 5
    DECODE = 6
    MEETING = 7


_IN_PHASE = {
    Phase.STARTING: "while it started",
    Phase.IDLE: "while it was idle",
    Phase.LOADING: "while weights were read",
    Phase.ENCODING: "while portrait and prompt were encoded",
    Phase.AUDIO: "at the start of chunk {chunk}",
    Phase.STEP: "in step {step} of chunk {chunk}",
    Phase.DECODE: "while chunk {chunk} was decoded",
    Phase.MEETING: "while it met the others",
}


@dataclass(frozen=True)
class Progress:
    """How far a rank is."""

    count: int
    """Grows with everything that it completes.

    The rank with the smallest one is furthest behind: commands count most, then marks that all
    ranks pass, and only then what was done since, of which one rank may do more than others.
    """
    heartbeat: int
    """Grows while its process runs at all."""
    phase: Phase
    chunk: int
    """Counted from 1, as the next."""
    step: int

    def __str__(self) -> str:
        """Return the phase as the end of a sentence."""
        return _IN_PHASE[self.phase].format(chunk=self.chunk, step=self.step)


class RankRow:
    """What one rank writes about itself; others only read it."""

    def __init__(self, words: NDArray[np.int64]) -> None:
        """Use ``words``, which lie in the pages."""
        self._words = words

    def begin(self, command: int) -> None:
        """Note a command; commands are numbered in order, from 1."""
        self._words[0] = command << _COMMAND_BITS

    def enter(self, phase: Phase, *, chunk: int = 0, step: int = 0) -> None:
        """Note a phase that all ranks enter in the same order."""
        self._words[2:5] = phase, chunk, step
        self.mark()

    def mark(self) -> None:
        """Note a point that all ranks pass in the same order."""
        self._words[0] = ((int(self._words[0]) >> _MARK_BITS) + 1) << _MARK_BITS

    def load(self) -> None:
        """Note that a weight is read; one rank may read more of them than others."""
        self._words[2:5] = Phase.LOADING, 0, 0
        self.advance()

    def advance(self) -> None:
        """Note progress within a phase."""
        self._words[0] += 1

    def exchange(self, is_whole: bool) -> None:
        """Note that an exchange begins, which the rank that others wait for has not begun.

        Args:
            is_whole: Whether all ranks take part; some have no part of the frames.
        """
        if is_whole:
            self.mark()
        else:
            self.advance()

    def beat(self) -> None:
        """Note that the process runs."""
        self._words[1] += 1

    @property
    def written(self) -> tuple[int, int]:
        """Number of a command, and how many frames of its chunk the rank has written."""
        return divmod(int(self._words[5]), 1 << _FRAMES_BITS)

    @written.setter
    def written(self, value: tuple[int, int]) -> None:
        command, count = value
        self._words[5] = (command << _FRAMES_BITS) + count

    def read(self) -> Progress:
        """Return what was noted."""
        count, heartbeat, phase, chunk, step = map(int, self._words[:5])
        return Progress(count, heartbeat, Phase(phase), chunk, step)


class Pages:
    """The mapping of one process. Words are written whole, so that readers see old or new ones."""

    def __init__(self, file: int) -> None:
        """Map the head of ``file``, which stays the caller's.

        Raises:
            NoMemoryError: If it cannot be mapped; :meth:`map_frames`, too.
        """
        self._file = file
        self._words: NDArray[np.int64] = np.frombuffer(_mapping(file, _HEAD_BYTES), np.int64)

    @property
    def cancelled(self) -> int:
        """Number of the command that is to stop; written by the parent of the fleet."""
        return int(self._words[0])

    @cancelled.setter
    def cancelled(self, command: int) -> None:
        self._words[0] = command

    @property
    def failed(self) -> int:
        """Number of the command in which a rank failed; written by that rank."""
        return int(self._words[1])

    @failed.setter
    def failed(self, command: int) -> None:
        self._words[1] = command

    @property
    def ticket(self) -> int:
        """The last unit of work that ranks may begin; see :mod:`.tickets`. Written by rank 0."""
        return int(self._words[2])

    @ticket.setter
    def ticket(self, value: int) -> None:
        self._words[2] = value

    def row(self, rank: int) -> RankRow:
        """Return the row of a rank."""
        first = _ROW_WORDS * (rank + 1)
        return RankRow(self._words[first : first + _ROW_WORDS])

    def map_frames(self, num_bytes: int) -> NDArray[np.uint8]:
        """Return the memory behind the head; it is unmapped when nothing refers to it."""
        return np.frombuffer(_mapping(self._file, num_bytes, _HEAD_BYTES), np.uint8)


def create_pages() -> int:
    """Return the number of a new file of pages.

    Raises:
        NoMemoryError: If there is no memory for it.
        OSError: If this process may have no more files.
    """
    file = os.memfd_create("flashtalk")
    try:
        os.posix_fallocate(file, 0, _HEAD_BYTES)
    except OSError as error:
        os.close(file)
        raise _no_memory(_HEAD_BYTES, error) from error
    return file


def reserve_frames(file: int, num_bytes: int) -> None:
    """Reserve memory for the frames of a chunk, so that none is missing later.

    Raises:
        NoMemoryError: If there is not enough.
    """
    try:
        if num_bytes > available_bytes():  # the system would end other programs to make room
            raise OSError(errno.ENOMEM, os.strerror(errno.ENOMEM))
        os.posix_fallocate(file, _HEAD_BYTES, num_bytes)
    except OSError as error:
        raise _no_memory(num_bytes, error) from error


def free_frames(file: int) -> None:
    """Free the memory of frames; no process may have it mapped."""
    os.ftruncate(file, _HEAD_BYTES)


def _mapping(file: int, num_bytes: int, offset: int = 0) -> mmap.mmap:
    try:
        return mmap.mmap(file, num_bytes, offset=offset)
    except OSError as error:
        raise _no_memory(num_bytes, error) from error


def _no_memory(num_bytes: int, error: OSError) -> NoMemoryError:
    return NoMemoryError(
        f"shared memory of {format_size(num_bytes)} for frames: {reason(error)}; free some, or "
        "use a smaller size"
    )
