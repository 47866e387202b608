"""The streams of this ComfyUI, the route that serves them, and messages about them."""

from __future__ import annotations

import asyncio
import logging
from functools import cache
from typing import TYPE_CHECKING

from ...flashtalk_core.log import printable_log
from ...flashtalk_core.streaming.broadcast import Broadcast, TooManyViewersError, Viewer
from ...flashtalk_core.streaming.sessions import StreamSessions
from ..preview import EVENT, FROM, MESSAGE_ROUTE, ROUTE, StreamMessage

if TYPE_CHECKING:
    from aiohttp import web

_log = printable_log(logging.getLogger(__name__))

WRITE_TIMEOUT_S = 30.0
"""How long a viewer may take for one piece, and for all that is left of a stream that has ended,
before it is dropped."""
CHECK_S = 1.0
"""How often a viewer that waits for a piece is looked at: it may be gone."""
MAX_MESSAGES = 50
"""Most streams whose last message is kept."""
RETRY_AFTER_S = 2
_HEADERS = {
    "Content-Type": "video/mp4",
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "X-Accel-Buffering": "no",  # else a proxy in front may hold back whole seconds
}


@cache
def stream_sessions() -> StreamSessions:
    """Return the streams of this process."""
    return StreamSessions()


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
    if session is not None:
        messages[session] = message
        while len(messages) > MAX_MESSAGES:
            del messages[next(iter(messages))]
    server = getattr(PromptServer, "instance", None)
    client = getattr(server, "client_id", None)
    if server is not None and client is not None:  # without a client ComfyUI sends to all
        server.send_sync(EVENT, message, client)


async def serve_message(request: web.Request) -> web.Response:
    """Send the last message about a stream, also of one that has ended."""
    from aiohttp import web

    message = last_messages().get(request.match_info["session"])
    if message is None:
        raise web.HTTPNotFound(text="no such stream\n")
    return web.json_response(message, headers={"Cache-Control": "no-store"})


async def serve_stream(request: web.Request) -> web.StreamResponse:
    """Send a stream as it is made. Reading it changes nothing."""
    from aiohttp import web

    stream = stream_sessions().find(request.match_info["session"])
    if stream is None:
        raise web.HTTPNotFound(text="no such stream: it ended, or never was\n")
    if request.method == "HEAD":
        return web.Response(headers=_HEADERS)
    reader = _Reader(stream)
    try:
        viewer = stream.join(reader.wake, _start_ms(request))
    except TooManyViewersError:
        retry = {"Retry-After": str(RETRY_AFTER_S)}
        raise web.HTTPServiceUnavailable(text="too many viewers\n", headers=retry) from None
    response = web.StreamResponse(headers=_HEADERS)
    is_slow = False
    try:
        await response.prepare(request)
        await reader.send(viewer, request, response)
    except TimeoutError:
        is_slow = True
    except ConnectionError:
        pass  # the page was closed
    finally:
        stream.leave(viewer, is_dropped=is_slow)
        if (viewer.is_dropped or is_slow) and request.transport is not None:
            # A proper end would tell the player that the video is complete.
            request.transport.abort()
    return response


class _Reader:
    """Waits for pieces on the server's loop, woken by the thread that renders."""

    def __init__(self, stream: Broadcast) -> None:
        self._stream = stream
        self._loop = asyncio.get_running_loop()
        self._news = asyncio.Event()

    def wake(self) -> None:
        try:
            self._loop.call_soon_threadsafe(self._news.set)
        except RuntimeError:
            _log.debug("the server is going down")

    async def send(
        self, viewer: Viewer, request: web.Request, response: web.StreamResponse
    ) -> None:
        """Write pieces until the stream is over or the viewer is dropped.

        Raises:
            TimeoutError: If the viewer takes too long.
            ConnectionError: If it left.
        """
        async with asyncio.timeout(None) as rest:
            while not viewer.is_dropped:
                self._news.clear()
                if self._stream.is_closed and rest.when() is None:
                    rest.reschedule(self._loop.time() + WRITE_TIMEOUT_S)
                data = self._stream.take(viewer)
                if data:
                    async with asyncio.timeout(WRITE_TIMEOUT_S):
                        await response.write(data)
                elif data is None:
                    await self._wait(request)
                else:
                    await response.write_eof()
                    return

    async def _wait(self, request: web.Request) -> None:
        """Wait for news.

        Raises:
            ConnectionError: If there is nobody left to tell them.
        """
        while not self._news.is_set():
            try:
                async with asyncio.timeout(CHECK_S):
                    await self._news.wait()
            except TimeoutError:
                # Between two pieces nothing is written that could fail.
                if request.transport is None or request.transport.is_closing():
                    raise ConnectionResetError from None


def _start_ms(request: web.Request) -> int | None:
    """Return the time asked for, ``None`` for the newest."""
    text = request.query.get(FROM, "")
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 12 else None
