"""The routes of live sessions: who speaks, who watches, and who ends them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any

from ...flashtalk_core.errors import FlashTalkError, require
from ...flashtalk_core.serve.client_sound import ClientSound, format_of, say
from ...flashtalk_core.serve.limits import HEARD_BYTES, MAX_MESSAGE_BYTES
from ...flashtalk_core.serve.protocol import Refusal, RefusedError, Start, read_body
from ...flashtalk_core.serve.session import ServedSession
from ...flashtalk_core.serve.talker import Talker, make_socket
from ...flashtalk_core.streaming.broadcast import TooManyViewersError
from ...flashtalk_core.streaming.http_viewer import VIDEO_HEADERS, parse_start_ms, send_stream
from .messages import FROM
from .open_sessions import OpenSession, open_sessions
from .session_messages import CLEAR, CLOSED, END, HEAR, SAY, STREAM
from .streams import RETRY_AFTER_S, answer_headers, check_asker, serve_message

if TYPE_CHECKING:
    from aiohttp import web


class LiveDoor:
    """How a client of the live protocol gets to a session that a node runs; ``Host`` and ``Guard``.

    Its request was checked before.
    """

    def __init__(self, found: OpenSession, path: str) -> None:
        """Lead to ``found``, whose address is ``path``."""
        self._found, self._path = found, path
        self.counts = found.counts

    def check(self, headers: Mapping[str, str], token: str = "") -> None:
        """Let everybody in."""

    def check_size(self, num_bytes: int) -> None:
        """Check that a first message holds no portrait, before it is read.

        Raises:
            InvalidInputError: If it is too long for anything else.
        """
        require(
            num_bytes <= MAX_MESSAGE_BYTES,
            f"first message of {num_bytes:,} bytes: send at most {MAX_MESSAGE_BYTES:,}; portrait "
            "and prompt are those of the workflow",
        )

    async def enter(self, start: Start) -> ServedSession:
        """Return the session.

        Raises:
            InvalidInputError: If the client wants it to be another one.
        """
        given = [n for n in ("portrait", "prompt", "seed") if getattr(start, n) is not None]
        require(
            not given,
            f"start: {', '.join(given)}: this session's are those of its workflow; leave it out",
        )
        found: ServedSession = self._found.session
        return found

    def welcome(self, session: ServedSession) -> dict[str, Any]:
        """Return what a client is told."""
        return session.welcome(self._path + STREAM, self._found.factor)

    def close(self, _session: ServedSession, reason: str) -> None:
        """Ask the node to end the session."""
        self._found.end(reason)


def handlers() -> dict[str, Callable[[web.Request], Awaitable[web.StreamResponse]]]:
    """Return what answers at each path behind that of a session."""
    posted = ((SAY, speak), (HEAR, hear), (CLEAR, clear), (END, end))
    return {"": talk, STREAM: stream} | {path: _answering(one) for path, one in posted}


async def talk(request: web.Request) -> web.StreamResponse:
    """Let a client speak by the live protocol; what is no WebSocket gets the last message."""
    check_asker(request)
    line = make_socket(HEARD_BYTES)
    if not line.can_prepare(request):
        return await serve_message(request)
    door = LiveDoor(_find(request), request.path)
    await line.prepare(request)
    await Talker(door, door, line).run(request.headers)
    return line


async def stream(request: web.Request) -> web.StreamResponse:
    """Send the video, as fragments of MP4, from now on."""
    from aiohttp import web

    check_asker(request)
    session = _find(request).session
    if request.method == "HEAD":
        return web.Response(headers=VIDEO_HEADERS | answer_headers())
    try:
        broadcast = await asyncio.to_thread(session.stream)
    except RefusedError as error:  # it ends just now
        raise web.HTTPNotFound(text=f"{error}\n", headers=answer_headers()) from None
    start_ms = parse_start_ms(request.query.get(FROM, ""))
    try:
        return await send_stream(broadcast, request, answer_headers(), start_ms)
    except TooManyViewersError:
        retry = {"Retry-After": str(RETRY_AFTER_S)} | answer_headers()
        raise web.HTTPServiceUnavailable(text="too many viewers\n", headers=retry) from None


async def speak(request: web.Request, found: OpenSession) -> dict[str, Any]:
    """Speak an utterance: the body is its sound, taken as it arrives."""
    session = found.session
    require(
        session.start.source == "speech",
        "the session hears a microphone; choose 'speech' as source in FlashTalk Live",
    )
    rate, channels = format_of(request.query, session.start)
    sound = ClientSound(session, session.sound.format, rate, channels)
    number, seconds = await say(sound, request.content.iter_any())
    return {"utterance": number, "seconds": seconds}


async def hear(request: web.Request, found: OpenSession) -> dict[str, Any]:
    """Hear a piece of what a microphone picks up; pieces of one follow each other."""
    session = found.session
    rate, channels = format_of(request.query, session.start)
    heard = found.heard
    if heard is None or (heard.rate_hz, heard.channels) != (rate, channels):
        heard = found.heard = ClientSound(session, session.sound.format, rate, channels)
    heard.push(await read_body(request.content.iter_any(), MAX_MESSAGE_BYTES, "the sound"))
    return {"waiting": session.sound.waiting_frames}


async def clear(_request: web.Request, found: OpenSession) -> dict[str, Any]:
    """Stop speaking."""
    found.counts.clears += 1
    found.session.clear()
    return {"cleared": True}


async def end(_request: web.Request, found: OpenSession) -> dict[str, Any]:
    """End the session; the workflow goes on with its recording."""
    found.end(CLOSED)
    return {"closed": True}


Answer = Callable[["web.Request", OpenSession], Awaitable[dict[str, Any]]]
Handler = Callable[["web.Request"], Awaitable["web.Response"]]


def _answering(answer: Answer) -> Handler:
    """Return a handler for requests that may be made, about sessions that are there."""
    from aiohttp import web

    async def handle(request: web.Request) -> web.Response:
        check_asker(request)
        found = _find(request)
        try:
            return web.json_response(await answer(request, found), headers=answer_headers())
        except FlashTalkError as error:
            found.counts.refused += 1
            refusal = Refusal.of(error)
            headers = answer_headers() | refusal.headers
            return web.json_response(refusal.body, status=refusal.status, headers=headers)

    return handle


def _find(request: web.Request) -> OpenSession:
    from aiohttp import web

    found = open_sessions().get(request.match_info["session"])
    if found is None:
        told = "no such session: it ended, or never was\n"
        raise web.HTTPNotFound(text=told, headers=answer_headers())
    return found
