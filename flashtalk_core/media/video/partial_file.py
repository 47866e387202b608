"""The file that grows while a video is rendered; a stop at any moment does it no harm."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable
from io import FileIO
from pathlib import Path
from typing import TYPE_CHECKING

from ...files.whole_file import create, sync, sync_folder

if TYPE_CHECKING:
    from av import Packet
    from av.stream import Stream


class MuxerOutput:
    """What a muxer writes to. Nothing of Python runs in it, so no signal can come in between."""

    def __init__(self, chunks: deque[bytes]) -> None:
        self.write: Callable[[bytes], object] = chunks.append
        """Called by the muxer, which cannot seek and never closes it."""


class PartialFile:
    """Takes what a muxer writes, and makes the file with the first of it.

    A muxer that writes by itself hides why a write failed when the file is closed.
    """

    def __init__(self, path: Path, before_first: Callable[[], object]) -> None:
        """Prepare; no file is made yet.

        Args:
            path: Where no file is to be by the time of the first byte.
            before_first: Called just before the file is made.
        """
        self._path = path
        self._before_first = before_first
        self._chunks = deque[bytes]()
        self._file: FileIO | None = None
        self._made: os.stat_result | None = None
        self._size = 0
        self._error: OSError | None = None
        self.muxer_output = MuxerOutput(self._chunks)
        """For the muxer whose file this is."""

    @property
    def is_in_place(self) -> bool:
        """Whether the file was made, and is still what its name stands for."""
        try:
            return self._made is not None and os.path.samestat(self._made, self._path.lstat())
        except OSError:
            return False

    def add(self, packet: Packet, streams: tuple[Stream, Stream]) -> None:  # noqa: ARG002
        """Write what the muxer made of a packet; see :class:`PacketSink`."""
        self.write_out()

    def close(self) -> None:
        """Wait for what the muxer gives out when it is closed, and for :meth:`finish`."""

    def write_out(self) -> None:
        """Write what the muxer gave out since the last time.

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
                self._chunks.popleft()
        except OSError as error:
            self._error = error
            raise

    def finish(self) -> None:
        """Write the rest, and wait until all is on the disk.

        The file stays open: while it is, no other one can get its number on the disk.

        Raises:
            OSError: If that fails.
        """
        self.write_out()
        if self._file is not None:
            sync(self._file.fileno())
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
            self._path.unlink()

    def _write_at(self, offset: int, data: bytes) -> None:
        if self._file is None:
            self._before_first()
            self._file = FileIO(create(self._path), "r+b")
            self._made = os.fstat(self._file.fileno())
        self._file.seek(offset)
        rest = memoryview(data)
        while rest:
            rest = rest[self._file.write(rest) :]
