"""Messages over a socket, each as one frame: lengths, JSON, blobs.

A channel is one end of a pair of sockets that a child process inherits. It has no address, so no
other process can connect to it, and it needs no key; it ends with the processes that hold it.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Sequence
from typing import Any

from .messages import Message, decode, encode

Blob = bytes | bytearray | memoryview

_START = struct.Struct("<4sII")
_MAGIC = b"FTK1"
_LENGTH = struct.Struct("<Q")
_MAX_MESSAGE_BYTES = 1 << 24
_MAX_BLOBS = 16
_MAX_BLOB_BYTES = 1 << 31
_BLOCK_BYTES = 1 << 24
"""Memory is taken as data arrive, since a length alone may be anything."""


class ChannelClosed(ConnectionError):
    """The other end is gone, or sent what is no frame."""


class Channel:
    """One end; several threads must not use the same direction at once."""

    def __init__(self, end: socket.socket) -> None:
        """Take over a connected socket; its timeout bounds each wait for the other end."""
        self._socket = end

    @classmethod
    def inherited(cls, number: int) -> Channel:
        """Return the end that this process inherited as a file of this number."""
        return cls(socket.socket(fileno=number))

    def fileno(self) -> int:
        """Return the number of the socket, to wait for it."""
        return self._socket.fileno()

    def close(self) -> None:
        """Close this end; the other end reads the end of the stream."""
        self._socket.close()

    def send(self, message: Message, blobs: Sequence[Blob] = ()) -> None:
        """Send a message and its blobs.

        Raises:
            ChannelClosed: If the other end is gone.
            TimeoutError: If it does not read.
        """
        text = encode(message)
        lengths = b"".join(_LENGTH.pack(memoryview(blob).nbytes) for blob in blobs)
        head = _START.pack(_MAGIC, len(text), len(blobs)) + lengths + text
        try:
            self._socket.sendall(head)
            for blob in blobs:
                self._socket.sendall(memoryview(blob).cast("B"))
        except TimeoutError:
            raise
        except OSError as error:
            raise ChannelClosed(str(error)) from error

    def receive(self) -> tuple[Message, list[bytearray]]:
        """Wait for a message, and return it and its blobs.

        Raises:
            ChannelClosed: If the other end is gone, or what it sent is no frame.
            InvalidInputError: If the message is not known.
            TimeoutError: If it stops in the middle of a frame, where the socket has a timeout.
        """
        magic, size, count = _START.unpack(self._read(_START.size))
        if magic != _MAGIC or size > _MAX_MESSAGE_BYTES or count > _MAX_BLOBS:
            raise ChannelClosed("what arrived is no message")
        sizes: list[Any] = [_LENGTH.unpack(self._read(_LENGTH.size))[0] for _ in range(count)]
        if any(each > _MAX_BLOB_BYTES for each in sizes):
            raise ChannelClosed("what arrived is too large")
        text = bytes(self._read(size))
        blobs = [self._read(each) for each in sizes]
        return decode(text), blobs

    def _read(self, size: int) -> bytearray:
        data = bytearray(min(size, _BLOCK_BYTES))
        start = 0
        while start < size:
            if start == len(data):
                data.extend(bytes(min(size - start, _BLOCK_BYTES)))
            start += self._read_into(memoryview(data)[start:])
        return data

    def _read_into(self, view: memoryview) -> int:
        with view:
            try:
                count = self._socket.recv_into(view)
            except TimeoutError:
                raise
            except OSError as error:
                raise ChannelClosed(str(error)) from error
        if not count:
            raise ChannelClosed("the other end was closed")
        return count


def make_pair(timeout_s: float) -> tuple[Channel, socket.socket]:
    """Return a channel, and the socket that a child is to inherit.

    Args:
        timeout_s: Longest wait of the channel for a child that neither reads nor finishes a frame.
    """
    ours, theirs = socket.socketpair()
    ours.settimeout(timeout_s)
    return Channel(ours), theirs
