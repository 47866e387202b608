"""A viewer of a stream by HTTP, on the loop of an aiohttp server."""

from __future__ import annotations

import asyncio
import logging
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

from ..log import printable_log
from .broadcast import Broadcast, Viewer

if TYPE_CHECKING:
    from aiohttp import web

_log = printable_log(logging.getLogger(__name__))

WRITE_TIMEOUT_S = 30.0
"""How long a viewer may take for one fragment, and for the rest of a stream that has ended,
before it is dropped."""
CHECK_S = 1.0
"""Interval of the check whether a viewer that waits for a fragment is gone."""
SEND_BUFFER_BYTES = 64 * 2**10
"""Size of a viewer's send buffer that is requested; Linux doubles it. By default it would hold
megabytes, a minute of video, before it shows that a viewer reads nothing. Enough for 10 Mbit/s over
100 ms."""
_SEND_BUFFER = (1, 7) if sys.platform == "linux" else (0xFFFF, 0x1001)
"""``SOL_SOCKET`` and ``SO_SNDBUF``, of Linux, and of Windows, macOS and the BSDs."""
VIDEO_HEADERS = {
    "Content-Type": "video/mp4",
    "X-Accel-Buffering": "no",  # else a proxy in front may hold back whole seconds
}


async def send_stream(
    stream: Broadcast, request: web.Request, headers: dict[str, str], start_ms: int | None = None
) -> web.StreamResponse:
    """Answer a request with a stream as it is made. Reading it changes nothing.

    Args:
        stream: What is sent.
        request: Of the viewer.
        headers: Of the answer, beside :data:`VIDEO_HEADERS`.
        start_ms: See :meth:`Broadcast.join`.

    Raises:
        TooManyViewersError: If the stream has as many viewers as it takes.
    """
    from aiohttp import web

    reader = StreamReader(stream, request)
    viewer = stream.join(reader.wake, start_ms)
    response = web.StreamResponse(headers=VIDEO_HEADERS | headers)
    response.force_close()  # nothing else is to be sent by so small a buffer
    is_slow = False
    try:
        _limit_send_buffer(request)
        await response.prepare(request)
        await reader.send(viewer, response)
    except TimeoutError:
        is_slow = True
    except ConnectionError:
        pass  # the page was closed
    finally:
        stream.leave(viewer, is_dropped=is_slow)
        if (viewer.is_dropped or is_slow) and request.transport is not None:
            # A proper end would mean to the player that the video is complete.
            request.transport.abort()
    return response


def parse_start_ms(text: str) -> int | None:
    """Read the time that a viewer asks for; ``None`` for the newest, and for what is no time."""
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 12 else None


def _limit_send_buffer(request: web.Request) -> None:
    connection = None if request.transport is None else request.transport.get_extra_info("socket")
    if connection is not None:
        with suppress(OSError):
            connection.setsockopt(*_SEND_BUFFER, SEND_BUFFER_BYTES)


class StreamReader:
    """Waits for fragments on the server's loop, woken by the thread that renders."""

    def __init__(self, stream: Broadcast, request: web.Request) -> None:
        """Wait for the fragments of a stream that a request asks for; on the server's loop."""
        self._stream = stream
        self._request = request
        self._viewer: Viewer | None = None
        self._num_written = self._num_sent = 0
        self._moved_s = 0.0
        self._loop = asyncio.get_running_loop()
        self._news = asyncio.Event()

    def wake(self) -> None:
        """Look for something to send; any thread may call it."""
        try:
            self._loop.call_soon_threadsafe(self._look)
        except RuntimeError:
            _log.debug("the server is going down")

    def _look(self) -> None:
        self._news.set()
        is_dropped = self._viewer is not None and self._viewer.is_dropped
        if is_dropped and self._request.transport is not None:
            self._request.transport.abort()  # it may be waiting for a viewer that reads nothing

    async def send(self, viewer: Viewer, response: web.StreamResponse) -> None:
        """Write fragments until the stream is over or the viewer is dropped.

        Raises:
            TimeoutError: If the viewer takes too long.
            ConnectionError: If it left.
        """
        self._viewer, self._moved_s = viewer, self._loop.time()
        async with asyncio.timeout(None) as rest:
            while not viewer.is_dropped:
                self._news.clear()
                self._check_moving()
                if self._stream.is_closed and rest.when() is None:
                    rest.reschedule(self._loop.time() + WRITE_TIMEOUT_S)
                data = self._stream.take(viewer)
                if data:
                    async with asyncio.timeout(WRITE_TIMEOUT_S):
                        await response.write(data)
                    self._num_written += len(data)
                elif data is None:
                    await self._wait()
                else:
                    await response.write_eof()
                    return

    def _check_moving(self) -> None:
        """Raise :class:`TimeoutError` if what is written has not moved for too long.

        Writing itself waits only once a good deal has piled up.
        """
        transport, now_s = self._request.transport, self._loop.time()
        waiting = 0 if transport is None else transport.get_write_buffer_size()
        if not waiting or self._num_written - waiting > self._num_sent:
            self._num_sent, self._moved_s = self._num_written - waiting, now_s
        elif now_s - self._moved_s > WRITE_TIMEOUT_S:
            raise TimeoutError

    async def _wait(self) -> None:
        """Wait until the stream has something new.

        Raises:
            ConnectionError: If the viewer has left.
        """
        while not self._news.is_set():
            try:
                async with asyncio.timeout(CHECK_S):
                    await self._news.wait()
            except TimeoutError:
                self._check_moving()
                # Between two fragments nothing is written that could fail.
                transport = self._request.transport
                if transport is None or transport.is_closing():
                    raise ConnectionResetError from None
