"""The HTTP server of live sessions: routes, and what each answers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from ..errors import FlashTalkError, InvalidInputError
from ..excerpt import excerpt
from ..json_text import parse_json
from ..streaming.broadcast import TooManyViewersError
from ..streaming.http_viewer import VIDEO_HEADERS, parse_start_ms, send_stream
from .access import Access, Guests
from .client_sound import ClientSound, format_of, say
from .hub import LiveHub
from .limits import HEARD_BYTES, MAX_FIRST_BYTES
from .meters import ServerCounts, metrics_of, prometheus
from .omnirt import PATH, OmnirtClient
from .page_files import PageFiles
from .protocol import Refusal, RefusedError, check_parts, parse_start
from .session import ServedSession
from .talker import Talker, make_socket
from .webrtc.ice import IceServer
from .webrtc.routes import WebRtc

if TYPE_CHECKING:
    from aiohttp import web

_CHECK_S = 1.0
_OF_SOCKETS = {"token", "session", "format"}
"""Fields of ``start`` that a request without a socket has no use for."""
_HEADERS = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
_SHARED = {
    "Access-Control-Allow-Methods": "GET, POST, DELETE",
    "Access-Control-Allow-Headers": "Authorization, Content-Type",
    "Access-Control-Max-Age": "600",
}
"""What a browser is told that asks whether a page of another site may make a request."""


class LiveApp:
    """Answers requests; one for a server."""

    def __init__(
        self,
        hub: LiveHub,
        access: Access,
        page: PageFiles | None = None,
        ice_servers: Sequence[IceServer] = (),
    ) -> None:
        """Serve a hub.

        Args:
            hub: Its sessions.
            access: Who may use it.
            page: To try it; ``None`` serves none.
            ice_servers: What WebRTC asks for ways to its clients; nobody by default.
        """
        self._hub, self._access, self._page = hub, access, page
        self._guests = Guests(access)
        self._webrtc = WebRtc(hub, access, ice_servers)

    def make(self) -> web.Application:
        """Return the application, for aiohttp to run."""
        from aiohttp import web

        app = web.Application(
            middlewares=[_refusing(self._hub.counts, self._access)],
            client_max_size=MAX_FIRST_BYTES,
        )
        routes = app.router
        routes.add_get("/live", self.talk)
        routes.add_post("/sessions", self.create)
        routes.add_delete("/sessions/{session}", self.delete)
        routes.add_post("/sessions/{session}/say", self.say)
        routes.add_post("/sessions/{session}/clear", self.clear)
        routes.add_get("/sessions/{session}/stream", self.stream)
        routes.add_get(PATH, self.omnirt)
        routes.add_get("/stats", self.stats)
        routes.add_get("/metrics", self.metrics)
        routes.add_get("/health", self.health)
        if self._page is not None:
            routes.add_get("/", self.page)
            routes.add_static("/page", self._page.page)
            routes.add_static("/lib", self._page.player)
        self._webrtc.add_to(app)
        app.on_response_prepare.append(self._share)
        app.cleanup_ctx.append(self._watch)
        app.on_shutdown.append(self._stop)
        return app

    async def talk(self, request: web.Request) -> web.WebSocketResponse:
        """Let a client speak; see :class:`Talker`."""
        self._access.check_page(request.headers)
        guest = self._guests.admit(request.headers)
        socket = make_socket(MAX_FIRST_BYTES if guest.is_known else HEARD_BYTES)
        try:
            await socket.prepare(request)
            await Talker(self._hub, guest, socket).run(request.headers)
        finally:
            guest.leave()
        return socket

    async def omnirt(self, request: web.Request) -> web.WebSocketResponse:
        """Draw chunk by chunk for a client of omnirt's; see :class:`OmnirtClient`."""
        self._access.check(request.headers)
        socket = make_socket(MAX_FIRST_BYTES)
        await socket.prepare(request)
        await OmnirtClient(self._hub, socket).run()
        return socket

    async def create(self, request: web.Request) -> web.Response:
        """Begin a session without a socket, for clients that only post sound."""
        from aiohttp import web

        self._access.check(request.headers)
        fields = _fields_of(await request.read())
        if not isinstance(fields, dict):
            raise RefusedError("input", "the body is no JSON object; send the fields of 'start'")
        unused = sorted(_OF_SOCKETS & fields.keys())
        if unused:
            raise RefusedError(
                "input",
                f"start: {', '.join(unused)}: of a WebSocket alone; leave it out, send a token in "
                "the headers, and name a session in the address",
            )
        session = await self._hub.enter(parse_start(fields))
        return web.json_response(self._hub.welcome(session), status=201, headers=_HEADERS)

    async def delete(self, request: web.Request) -> web.Response:
        """End a session."""
        from aiohttp import web

        session = self._session(request)
        await asyncio.to_thread(self._hub.close, session, "closed")
        return web.json_response({"closed": True}, headers=_HEADERS)

    async def say(self, request: web.Request) -> web.Response:
        """Speak an utterance: the body is its sound, taken as it arrives."""
        from aiohttp import web

        session = self._session(request)
        if session.start.source != "speech":
            raise RefusedError(
                "input", 'the session hears a microphone; begin one with "source": "speech"'
            )
        sound = ClientSound(session, session.sound.format, *format_of(request.query, session.start))
        number, seconds = await say(sound, request.content.iter_any())
        answer = {"utterance": number, "seconds": seconds}
        return web.json_response(answer, headers=_HEADERS)

    async def clear(self, request: web.Request) -> web.Response:
        """Stop what a session says."""
        from aiohttp import web

        self._hub.counts.clears += 1
        self._session(request).clear()
        return web.json_response({"cleared": True}, headers=_HEADERS)

    async def stream(self, request: web.Request) -> web.StreamResponse:
        """Send a session's video, as fragments of MP4."""
        from aiohttp import web

        session = self._session(request)
        if request.method == "HEAD":
            return web.Response(headers=VIDEO_HEADERS | _HEADERS)
        stream = await asyncio.to_thread(session.stream)
        start_ms = parse_start_ms(request.query.get("from", ""))
        try:
            return await send_stream(stream, request, _HEADERS, start_ms)
        except TooManyViewersError:
            raise RefusedError(
                "full", f"{stream.num_viewers} viewers watch already; try again later", 5
            ) from None

    async def stats(self, request: web.Request) -> web.Response:
        """Tell how the server does, for programs."""
        from aiohttp import web

        self._access.check(request.headers)
        return web.json_response(self._hub.stats(), headers=_HEADERS)

    async def metrics(self, request: web.Request) -> web.Response:
        """Tell the same as Prometheus reads it."""
        from aiohttp import web

        self._access.check(request.headers)
        return web.Response(text=prometheus(metrics_of(self._hub.stats())), headers=_HEADERS)

    async def health(self, request: web.Request) -> web.Response:  # noqa: ARG002
        """Tell that the server runs and draws."""
        from aiohttp import web

        if not self._hub.is_drawing:
            text = "nothing is drawn any more: start the server again; its log says why\n"
            return web.Response(status=503, text=text, headers=_HEADERS)
        return web.Response(text="ok\n", headers=_HEADERS)

    async def page(self, request: web.Request) -> web.FileResponse:  # noqa: ARG002
        """Send the page to try it."""
        from aiohttp import web

        assert self._page is not None, "the route exists with a page only"
        return web.FileResponse(self._page.page / "index.html", headers=_HEADERS)

    async def _share(self, request: web.Request, response: web.StreamResponse) -> None:
        """Let pages of other sites read an answer that are allowed to."""
        origin = request.headers.get("Origin", "")
        response.headers["Vary"] = "Origin"
        if self._access.is_allowed(origin):
            response.headers["Access-Control-Allow-Origin"] = origin
            response.headers["Access-Control-Expose-Headers"] = "Location, Retry-After"

    def _session(self, request: web.Request) -> ServedSession:
        """Return the session of a request; its id is the permission."""
        self._access.check_page(request.headers)
        return self._hub.find(request.match_info["session"])

    async def _watch(self, _app: web.Application) -> AsyncIterator[None]:
        closing: set[asyncio.Future[None]] = set()
        loop = asyncio.get_running_loop()
        # Threads of their own: each may wait long, and those of the loop begin other sessions.
        ends = ThreadPoolExecutor(self._hub.max_sessions, "live-end")

        async def check() -> None:
            while True:
                await asyncio.sleep(_CHECK_S)
                self._hub.end_unwatched()
                for session, reason in self._hub.finished():
                    ending = loop.run_in_executor(ends, self._hub.close_or_log, session, reason)
                    closing.add(ending)
                    ending.add_done_callback(closing.discard)

        checking = asyncio.create_task(check())
        yield
        checking.cancel()
        await asyncio.gather(checking, return_exceptions=True)
        await asyncio.gather(*closing)
        ends.shutdown(wait=False)

    async def _stop(self, _app: web.Application) -> None:
        # Before connections are waited for: they end with their sessions.
        await asyncio.to_thread(self._hub.stop)


def _fields_of(body: bytes) -> Any:
    """Return the JSON of a request; no body stands for no fields."""
    try:
        text = body.decode("utf-8-sig") or "{}"
        check_parts(text)
        return parse_json(text)
    except InvalidInputError:
        raise
    except ValueError:
        raise RefusedError("input", "the body is no JSON; send the fields of 'start'") from None


Handler = Callable[["web.Request"], Awaitable["web.StreamResponse"]]


def _refusing(counts: ServerCounts, access: Access) -> Any:
    """Return a middleware that turns errors into answers, and counts them.

    It also tells browsers that ask first what pages of other sites may do, whatever the path.
    """
    from aiohttp import web

    @web.middleware
    async def refuse(request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            if request.method == "OPTIONS":
                access.check_page(request.headers)
                return web.Response(status=204, headers=_HEADERS | _SHARED)
            return await handler(request)
        except ConnectionError:
            return web.Response(status=400)  # nobody reads it
        except web.HTTPError as error:
            counts.refused += 1
            kept = {name: error.headers[name] for name in ("Allow",) if name in error.headers}
            code, message = _of_http(error, request)
            return _answer(Refusal(error.status, {"code": code, "message": message}, kept))
        except Exception as error:
            if not isinstance(error, FlashTalkError) and request.writer.output_size:
                raise  # in the middle of an answer
            counts.refused += 1
            return _answer(Refusal.of(error))

    return refuse


def _answer(refusal: Refusal) -> web.Response:
    from aiohttp import web

    headers = _HEADERS | refusal.headers
    return web.json_response(refusal.body, status=refusal.status, headers=headers)


def _of_http(error: web.HTTPError, request: web.Request) -> tuple[str, str]:
    """Return code and message of what aiohttp refuses."""
    from aiohttp import web

    path = excerpt(request.path, 80)
    if isinstance(error, web.HTTPMethodNotAllowed):
        allowed = " or ".join(sorted(error.allowed_methods))
        return "method", f"{request.method} {path}: use {allowed}"
    if error.status == 404:
        return "path", f"{path}: there is nothing; docs/LIVE_PROTOCOL.md has the paths"
    if isinstance(error, web.HTTPRequestEntityTooLarge):
        return "input", f"body of {path}: too large; {excerpt(error.text or '', 80)}"
    if isinstance(error, web.HTTPBadRequest) and "Upgrade" not in request.headers:
        return "input", f"{path}: a WebSocket; connect as a client of one (ws:// or wss://)"
    return "input", f"{path}: {excerpt(error.text or error.reason, 160)}"
