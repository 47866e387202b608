"""The file that grows while a video is rendered; a stop at any moment does it no harm."""

from __future__ import annotations

import os
import zlib
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from io import FileIO
from pathlib import Path
from typing import TYPE_CHECKING

from ...errors import InvalidInputError
from ...files.output_lock import claim
from ...files.whole_file import create, sync, sync_folder, when_closed
from ..isobmff.border import box_border
from ..isobmff.defragment import count_fragmented_frames
from ..isobmff.fragment_writer import FragmentWriter, whole_head

if TYPE_CHECKING:
    from av import Packet
    from av.stream import Stream

_READ_BYTES = 1 << 20


FileStamp = tuple[int, ...]
"""Tells a file from another one, and from itself after it was written to."""


@dataclass(frozen=True)
class PartialMark:
    """A place in a partial file up to which everything is on the disk."""

    num_bytes: int
    crc32: int
    """Of these bytes."""
    checked: FileStamp | None = field(default=None, compare=False)
    """The file in which they were found, ``None`` if that was not checked."""


class MuxerOutput:
    """What a muxer writes to. Nothing of Python runs in it, so no signal can come in between."""

    def __init__(self, chunks: deque[bytes]) -> None:
        self.write: Callable[[bytes], object] = chunks.append
        """Called by the muxer, which cannot seek and never closes it."""
        self.is_wanted = True
        """Whether the muxer is to get more packets."""


class PartialFile:
    """Takes packets, and makes the file with the first of them."""

    def __init__(
        self, path: Path, before_first: Callable[[], object], resumed: PartialMark | None = None
    ) -> None:
        """Prepare; no file is touched yet.

        Args:
            path: Where no file is to be by the time of the first byte, unless it is continued.
            before_first: Called just before the file is made.
            resumed: Where to continue the file that is there; :meth:`open` does it.
        """
        self._path = path
        self._before_first = before_first
        self._resumed = resumed
        self._from_muxer = deque[bytes]()
        self._early: list[Packet] = []
        self._writer: FragmentWriter | None = None
        self._chunks = deque[bytes]()
        self._file: FileIO | None = None
        self._made: os.stat_result | None = None
        self._size = 0
        self._crc32 = 0
        self._error: OSError | None = None
        self.muxer_output = MuxerOutput(self._from_muxer)
        """For a muxer that gets the first packets, and writes the head of the file."""

    @property
    def is_lost(self) -> bool:
        """Whether the file was made, and its name stands for another one or none now."""
        return self._made is not None and not self.is_in_place

    @property
    def is_in_place(self) -> bool:
        """Whether the file was made, and is still what its name stands for."""
        try:
            return self._made is not None and os.path.samestat(self._made, self._path.lstat())
        except OSError:
            return False

    @property
    def num_samples(self) -> dict[str, int]:
        """Packets in the file and waiting for it, by ``video`` and ``audio``."""
        return {} if self._writer is None else dict(self._writer.num_samples)

    def open(self) -> bytes:
        """Open the file that is continued, and drop what lies behind the mark.

        Returns:
            Its head; empty if a new file is begun.

        Raises:
            InvalidInputError: If it is not the file that the mark was made of.
            OutputError: If another render writes it.
            OSError: If it cannot be read or written.
        """
        if self._resumed is None:
            return b""
        if self._resumed.checked is None or self._resumed.checked != _stamp_at(self._path):
            check_mark(self._path, self._resumed)
        self.muxer_output.is_wanted = False
        self._file = FileIO(self._path, "r+b")
        claim(self._file, self._path)
        self._made = os.fstat(self._file.fileno())
        self._size, self._crc32 = self._resumed.num_bytes, self._resumed.crc32
        self._file.truncate(self._size)
        with box_border(self._path), self._path.open("rb") as file:
            self._writer = FragmentWriter.after(file)
            file.seek(0)
            return whole_head(file.read(_READ_BYTES))

    def add(self, packet: Packet, streams: tuple[Stream, Stream]) -> None:  # noqa: ARG002
        """Write a packet once the head is known; see :class:`PacketSink`."""
        if self._writer is None:
            self._early.append(packet)
            self._begin_with_head()
        else:
            self._put(self._writer.add(packet))
        self.write_out()

    def close(self) -> None:
        """Wait for :meth:`finish`; see :class:`PacketSink`."""

    def write_out(self) -> None:
        """Write what waits since the last time.

        A stop in between leaves that for the next call, which writes it to the same place.

        Raises:
            OSError: If it cannot be written. Nothing is, from then on: what follows a gap would
                not play.
        """
        if self._error is not None:
            raise self._error
        try:
            while self._chunks:
                self._write_at(self._size, self._chunks[0])
                self._size += len(self._chunks[0])
                self._crc32 = zlib.crc32(self._chunks.popleft(), self._crc32)
        except OSError as error:
            self._error = error
            raise

    def mark(self) -> PartialMark:
        """Write everything that waits, see that it is on the disk, and return where it ends.

        Raises:
            OSError: If that fails.
        """
        if self._writer is not None:
            self._put(self._writer.rest())
        self.write_out()
        if self._file is not None:
            sync(self._file.fileno())
        return PartialMark(self._size, self._crc32)

    def finish(self) -> None:
        """Write the rest, and wait until all is on the disk.

        The file stays open: while it is, no other one can get its number on the disk.

        Raises:
            OSError: If that fails.
        """
        if self._writer is None:
            self._begin_with_head()  # with very few packets the muxer gives it out at its end
        self.mark()
        if self._file is not None:
            sync_folder(self._path.parent)

    def release(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()

    def remove(self) -> None:
        """Remove the file, but no other one that took its place.

        Raises:
            OSError: If it cannot be removed.
        """
        is_in_place = self.is_in_place
        self.release()  # an open file cannot be removed on Windows
        if is_in_place:
            when_closed(self._path.unlink)

    def _begin_with_head(self) -> None:
        """Begin the file with its head and the packets so far, once the muxer gave the head out."""
        head = whole_head(b"".join(self._from_muxer))
        if not head:
            return
        self._writer = FragmentWriter(head)
        self.muxer_output.is_wanted = False
        self._put(head)
        early, self._early = self._early, []
        for packet in early:
            self._put(self._writer.add(packet))

    def _put(self, data: bytes) -> None:
        if data:
            self._chunks.append(data)

    def _write_at(self, offset: int, data: bytes) -> None:
        if self._file is None:
            self._before_first()
            self._file = FileIO(create(self._path), "r+b")
            claim(self._file, self._path)
            self._made = os.fstat(self._file.fileno())
        self._file.seek(offset)
        rest = memoryview(data)
        while rest:
            rest = rest[self._file.write(rest) :]


def check_mark(path: Path, mark: PartialMark, num_frames: int | None = None) -> PartialMark:
    """Check that a file begins with the bytes that a mark was made of; all of them are read.

    Args:
        path: The file.
        mark: Where it can be continued.
        num_frames: Frames that are to be in these bytes; ``None`` is any number.

    Returns:
        The mark, with which the file is not read again unless it changes.

    Raises:
        InvalidInputError: If it does not, or there is no such file.
    """
    crc32, left = 0, mark.num_bytes
    try:
        with path.open("rb") as file:
            stamp = _stamp(os.fstat(file.fileno()))
            while left and (data := file.read(min(left, _READ_BYTES))):
                crc32, left = zlib.crc32(data, crc32), left - len(data)
    except OSError as error:
        raise InvalidInputError(f"{path}: it cannot be read ({error.strerror})") from error
    if left:
        raise InvalidInputError(f"{path}: {left} of {mark.num_bytes} bytes are missing")
    if crc32 != mark.crc32:
        raise InvalidInputError(f"{path}: its first {mark.num_bytes} bytes were changed")
    found = None if num_frames is None else count_fragmented_frames(path, mark.num_bytes)
    if found != num_frames:
        raise InvalidInputError(f"{path}: {found} frames are in it, and {num_frames} were saved")
    return replace(mark, checked=stamp)


def _stamp(found: os.stat_result) -> FileStamp:
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


def _stamp_at(path: Path) -> FileStamp | None:
    try:
        return _stamp(path.stat())
    except OSError:
        return None
