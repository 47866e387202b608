"""The streams of this ComfyUI, the route that serves them, and messages about them."""

from __future__ import annotations

import asyncio
import logging
from functools import cache
from typing import TYPE_CHECKING

from ...flashtalk_core.streaming.broadcast import Broadcast, TooManyViewersError, Viewer
from ...flashtalk_core.streaming.sessions import StreamSessions
from ..preview import EVENT, FROM, ROUTE, StreamMessage

if TYPE_CHECKING:
    from aiohttp import web

_log = logging.getLogger(__name__)

WRITE_TIMEOUT_S = 30.0
"""How long a viewer may take for one piece before it is dropped."""
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


def register_stream_route() -> None:
    """Serve the streams; without a server there is nothing to do."""
    from server import PromptServer

    server = getattr(PromptServer, "instance", None)
    if server is not None:
        server.routes.get(ROUTE)(serve_stream)


def send_message(message: StreamMessage) -> None:
    """Send a message to all tabs."""
    from server import PromptServer

    server = getattr(PromptServer, "instance", None)
    if server is not None:
        server.send_sync(EVENT, message)


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
        await reader.send(viewer, response)
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

    async def send(self, viewer: Viewer, response: web.StreamResponse) -> None:
        """Write pieces until the stream is over or the viewer is dropped.

        Raises:
            TimeoutError: If the viewer takes too long for a piece.
            ConnectionError: If it left.
        """
        while not viewer.is_dropped:
            self._news.clear()
            data = self._stream.take(viewer)
            if data:
                async with asyncio.timeout(WRITE_TIMEOUT_S):
                    await response.write(data)
            elif data is None:
                await self._news.wait()
            else:
                await response.write_eof()
                return


def _start_ms(request: web.Request) -> int | None:
    """Return the time asked for, ``None`` for the newest."""
    text = request.query.get(FROM, "")
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 12 else None
