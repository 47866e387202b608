"""The streams of this ComfyUI, the route that serves them, and messages about them."""

from __future__ import annotations

import asyncio
import logging
import sys
from contextlib import suppress
from functools import cache
from typing import TYPE_CHECKING

from ...flashtalk_core.log import printable_log
from ...flashtalk_core.streaming.broadcast import Broadcast, TooManyViewersError, Viewer
from ...flashtalk_core.streaming.streams import StreamSessions
from .askers import MAX_HOSTS, log_refusal, open_to, page_addresses, why_foreign
from .messages import EVENT, FROM, MESSAGE_ROUTE, ROUTE, StreamMessage

if TYPE_CHECKING:
    from aiohttp import web

_log = printable_log(logging.getLogger(__name__))

WRITE_TIMEOUT_S = 30.0
"""How long a viewer may take for one fragment, and for the rest of a stream that has ended,
before it is dropped."""
CHECK_S = 1.0
"""Interval of the check whether a viewer that waits for a fragment is gone."""
MAX_MESSAGES = 50
"""Most streams whose last message is kept."""
RETRY_AFTER_S = 2
SEND_BUFFER_BYTES = 64 * 2**10
"""Size of a viewer's send buffer that is requested; Linux doubles it. By default it would hold
megabytes, a minute of video, before it shows that a viewer reads nothing. Enough for 10 Mbit/s over
100 ms."""
_SEND_BUFFER = (1, 7) if sys.platform == "linux" else (0xFFFF, 0x1001)
"""``SOL_SOCKET`` and ``SO_SNDBUF``, of Linux, and of Windows, macOS and the BSDs."""
_VIDEO = {
    "Content-Type": "video/mp4",
    "X-Accel-Buffering": "no",  # else a proxy in front may hold back whole seconds
}


@cache
def stream_sessions() -> StreamSessions:
    """Return the streams of this process."""
    return StreamSessions()


@cache
def page_hosts() -> dict[str, frozenset[str] | None]:
    """Return where the page of each stream sees the server, by the id of the stream."""
    return {}


@cache
def last_messages() -> dict[str, StreamMessage]:
    """Return the last message of each stream by its id, the oldest stream first."""
    return {}


def register_stream_routes() -> None:
    """Serve the streams and their messages; without a server there is nothing to do."""
    from server import PromptServer

    server = getattr(PromptServer, "instance", None)
    if server is not None:
        server.routes.get(ROUTE)(serve_stream)
        server.routes.get(MESSAGE_ROUTE)(serve_message)


def send_message(message: StreamMessage) -> None:
    """Send a message to the client whose prompt runs, and keep it for when that misses it.

    No other client gets it: the id in it opens the stream. A prompt may have no client.
    """
    from server import PromptServer

    session, messages = message["session"], last_messages()
    server = getattr(PromptServer, "instance", None)
    client = getattr(server, "client_id", None)
    if session is not None:
        if client is not None:
            _remember_page(session, page_addresses(server, client))
        messages[session] = message
        while len(messages) > MAX_MESSAGES:
            oldest = next(iter(messages))
            del messages[oldest]
            page_hosts().pop(oldest, None)
    if server is not None and client is not None:  # without a client ComfyUI sends to all
        server.send_sync(EVENT, message, client)


def _remember_page(session: str, seen: frozenset[str] | None) -> None:
    """Add an address at which a page sees the server; it may reconnect at another one."""
    known = page_hosts().get(session, frozenset())
    both = None if seen is None or known is None else known | seen
    page_hosts()[session] = both if both is None or len(both) <= MAX_HOSTS else seen


def _headers() -> dict[str, str]:
    """Return the headers of every answer: no caching, and no access for other sites."""
    policy = "cross-origin" if open_to() else "same-origin"
    return {
        "Cache-Control": "no-store",
        "X-Content-Type-Options": "nosniff",
        "Cross-Origin-Resource-Policy": policy,
    }


def _check_asker(request: web.Request) -> None:
    """Refuse a request that is not of the page that renders, whatever id it knows."""
    from aiohttp import web

    why = why_foreign(request, page_hosts().get(request.match_info["session"], frozenset()))
    if why:
        log_refusal(why)
        raise web.HTTPForbidden(text="not for other sites\n", headers=_headers())


async def serve_message(request: web.Request) -> web.Response:
    """Send the last message about a stream, also of one that has ended."""
    from aiohttp import web

    _check_asker(request)
    message = last_messages().get(request.match_info["session"])
    if message is None:
        raise web.HTTPNotFound(text="no such stream\n", headers=_headers())
    return web.json_response(message, headers=_headers())


async def serve_stream(request: web.Request) -> web.StreamResponse:
    """Send a stream as it is made. Reading it changes nothing."""
    from aiohttp import web

    _check_asker(request)
    stream = stream_sessions().find(request.match_info["session"])
    if stream is None:
        raise web.HTTPNotFound(text="no such stream: it ended, or never was\n", headers=_headers())
    if request.method == "HEAD":
        return web.Response(headers=_VIDEO | _headers())
    reader = _Reader(stream, request)
    try:
        viewer = stream.join(reader.wake, _start_ms(request))
    except TooManyViewersError:
        retry = {"Retry-After": str(RETRY_AFTER_S)} | _headers()
        raise web.HTTPServiceUnavailable(text="too many viewers\n", headers=retry) from None
    response = web.StreamResponse(headers=_VIDEO | _headers())
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


def _limit_send_buffer(request: web.Request) -> None:
    connection = None if request.transport is None else request.transport.get_extra_info("socket")
    if connection is not None:
        with suppress(OSError):
            connection.setsockopt(*_SEND_BUFFER, SEND_BUFFER_BYTES)


class _Reader:
    """Waits for fragments on the server's loop, woken by the thread that renders."""

    def __init__(self, stream: Broadcast, request: web.Request) -> None:
        self._stream = stream
        self._request = request
        self._viewer: Viewer | None = None
        self._num_written = self._num_sent = 0
        self._moved_s = 0.0
        self._loop = asyncio.get_running_loop()
        self._news = asyncio.Event()

    def wake(self) -> None:
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


def _start_ms(request: web.Request) -> int | None:
    """Return the time asked for, ``None`` for the newest."""
    text = request.query.get(FROM, "")
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 12 else None
