"""The streams of this ComfyUI, the route that serves them, and messages about them."""

from __future__ import annotations

import logging
from functools import cache
from typing import TYPE_CHECKING

from ...flashtalk_core.log import printable_log
from ...flashtalk_core.streaming.broadcast import TooManyViewersError
from ...flashtalk_core.streaming.http_viewer import VIDEO_HEADERS, parse_start_ms, send_stream
from ...flashtalk_core.streaming.streams import StreamSessions
from .askers import MAX_HOSTS, log_refusal, open_to, page_addresses, why_foreign
from .messages import EVENT, FROM, MESSAGE_ROUTE, ROUTE, StreamMessage

if TYPE_CHECKING:
    from aiohttp import web

    from .session_messages import LiveMessage

_log = printable_log(logging.getLogger(__name__))

MAX_MESSAGES = 50
"""Most streams whose last message is kept."""
RETRY_AFTER_S = 2


@cache
def stream_sessions() -> StreamSessions:
    """Return the streams of this process."""
    return StreamSessions()


@cache
def page_hosts() -> dict[str, frozenset[str] | None]:
    """Return where the page of each stream sees the server, by the id of the stream."""
    return {}


@cache
def last_messages() -> dict[str, StreamMessage | LiveMessage]:
    """Return the last message of each stream by its id, the oldest stream first."""
    return {}


def register_stream_routes() -> None:
    """Serve the streams and their messages; without a server there is nothing to do."""
    from server import PromptServer

    server = getattr(PromptServer, "instance", None)
    if server is not None:
        server.routes.get(ROUTE)(serve_stream)
        server.routes.get(MESSAGE_ROUTE)(serve_message)


def send_message(message: StreamMessage | LiveMessage, event: str = EVENT) -> None:
    """Send a message to the client whose prompt runs, and keep it for when that misses it.

    No other client gets it: the id in it opens the stream. A prompt may have no client.

    Args:
        message: About a stream, or a live session.
        event: Name of the message on the page's socket.
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
        server.send_sync(event, message, client)


def _remember_page(session: str, seen: frozenset[str] | None) -> None:
    """Add an address at which a page sees the server; it may reconnect at another one."""
    known = page_hosts().get(session, frozenset())
    both = None if seen is None or known is None else known | seen
    page_hosts()[session] = both if both is None or len(both) <= MAX_HOSTS else seen


def answer_headers() -> dict[str, str]:
    """Return the headers of every answer: no caching, and no access for other sites."""
    policy = "cross-origin" if open_to() else "same-origin"
    return {
        "Cache-Control": "no-store",
        "X-Content-Type-Options": "nosniff",
        "Cross-Origin-Resource-Policy": policy,
    }


def check_asker(request: web.Request) -> None:
    """Refuse a request that is not of the page that renders, whatever id it knows."""
    from aiohttp import web

    why = why_foreign(request, page_hosts().get(request.match_info["session"], frozenset()))
    if why:
        log_refusal(why)
        raise web.HTTPForbidden(text="not for other sites\n", headers=answer_headers())


async def serve_message(request: web.Request) -> web.Response:
    """Send the last message about a stream, also of one that has ended."""
    from aiohttp import web

    check_asker(request)
    message = last_messages().get(request.match_info["session"])
    if message is None:
        raise web.HTTPNotFound(text="no such stream\n", headers=answer_headers())
    return web.json_response(message, headers=answer_headers())


async def serve_stream(request: web.Request) -> web.StreamResponse:
    """Send a stream as it is made. Reading it changes nothing."""
    from aiohttp import web

    check_asker(request)
    stream = stream_sessions().find(request.match_info["session"])
    if stream is None:
        told = "no such stream: it ended, or never was\n"
        raise web.HTTPNotFound(text=told, headers=answer_headers())
    if request.method == "HEAD":
        return web.Response(headers=VIDEO_HEADERS | answer_headers())
    start_ms = parse_start_ms(request.query.get(FROM, ""))
    try:
        return await send_stream(stream, request, answer_headers(), start_ms)
    except TooManyViewersError:
        retry = {"Retry-After": str(RETRY_AFTER_S)} | answer_headers()
        raise web.HTTPServiceUnavailable(text="too many viewers\n", headers=retry) from None
