"""Requests of WebRTC: WHIP (RFC 9725) brings sound, WHEP shows, an offer of a session does both."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Protocol

from ...packages import missing_package
from ..access import Access
from ..protocol import RefusedError, Start, read_body
from ..session import ServedSession
from .ice import IceServer

if TYPE_CHECKING:
    from aiohttp import web

    from .peer import Peer

MAX_OFFER_BYTES = 64 * 1024
MAX_WATCHERS = 4
"""Connections of a session that only watch; pictures are encoded for each of them."""
_SDP = "application/sdp"
_RATE_HZ = 48_000
"""Of sessions that begin with a client of WHIP: WebRTC's own."""


class Sessions(Protocol):
    """What the server's hub gives."""

    async def enter(self, start: Start) -> ServedSession:
        """Return a new session."""
        ...

    def find(self, name: str) -> ServedSession:
        """Return a session by its id."""
        ...

    def close_or_log(self, session: ServedSession, reason: str) -> None:
        """End a session; what goes wrong then goes to the log."""
        ...


class WebRtc:
    """Answers offers, and ends connections."""

    def __init__(
        self, hub: Sessions, access: Access, ice_servers: Sequence[IceServer] = ()
    ) -> None:
        """Begin without connections; arguments are those of the server."""
        self._hub, self._access, self._ice_servers = hub, access, ice_servers
        self._peers: dict[tuple[str, str], Peer] = {}
        self._begun: dict[str, ServedSession] = {}
        self._numbers = itertools.count(1)

    def add_to(self, app: web.Application) -> None:
        """Add the routes, and end all connections with the server."""
        app.router.add_post("/whip", self.whip)
        app.router.add_post("/whep", self.whep)
        app.router.add_post("/sessions/{session}/offer", self.offer)
        app.router.add_delete("/sessions/{session}/peers/{peer}", self.delete)
        app.on_shutdown.append(self.close)

    async def whip(self, request: web.Request) -> web.Response:
        """Take a client's sound, for a session that is named or a new one."""
        offer = await self._read(request)
        if "session" in request.query:
            session = self._find(request, request.query["session"])
            return await self._answer(session, offer, speaks=True, watches=False)
        self._access.check(request.headers)
        if "m=audio" not in offer:  # before there is a session that nobody could speak in
            raise RefusedError("input", "the offer sends no sound; add an audio track, sendonly")
        session = await self._hub.enter(Start(rate=_RATE_HZ, source="microphone"))
        self._begun[session.id] = session
        return await self._answer(session, offer, speaks=True, watches=False)

    async def whep(self, request: web.Request) -> web.Response:
        """Show a session."""
        offer = await self._read(request)
        if "session" not in request.query:
            raise RefusedError("input", "which session? post to /whep?session=ID")
        session = self._find(request, request.query["session"])
        return await self._answer(session, offer, speaks=False, watches=True)

    async def offer(self, request: web.Request) -> web.Response:
        """Take a client's sound and show it its session, by one connection."""
        offer = await self._read(request)
        session = self._find(request, request.match_info["session"])
        return await self._answer(session, offer, speaks=True, watches=True)

    async def delete(self, request: web.Request) -> web.Response:
        """End a connection."""
        from aiohttp import web

        self._access.check_page(request.headers)
        peer = self._peers.get((request.match_info["session"], request.match_info["peer"]))
        if peer is None:
            raise RefusedError("session", "there is no such connection; it may have ended")
        await peer.close()
        return web.Response()

    async def close(self, _app: object = None) -> None:
        """End all connections."""
        await asyncio.gather(*(peer.close() for peer in list(self._peers.values())))

    def _find(self, request: web.Request, name: str) -> ServedSession:
        """Return a session; its id is the permission."""
        self._access.check_page(request.headers)
        return self._hub.find(name)

    async def _read(self, request: web.Request) -> str:
        self._access.check_page(request.headers)
        try:
            await asyncio.to_thread(import_module, f"{__package__}.peer")
        except ImportError as error:
            raise RefusedError("package", f"no WebRTC: {missing_package('aiortc')}") from error
        if request.content_type != _SDP:
            raise RefusedError("type", f"the body is {request.content_type}; send {_SDP}")
        body = await read_body(request.content.iter_any(), MAX_OFFER_BYTES, "the offer")
        try:
            return body.decode()
        except UnicodeDecodeError:
            raise RefusedError("input", "the offer is no text; send SDP") from None

    async def _answer(
        self, session: ServedSession, offer: str, *, speaks: bool, watches: bool
    ) -> web.Response:
        from aiohttp import web

        from .peer import Peer

        others = self._peers_of(session.id)
        if not speaks and sum(not peer.speaks for peer in others) >= MAX_WATCHERS:
            raise RefusedError(
                "full", f"{MAX_WATCHERS} WebRTC viewers watch already; use the stream", 5
            )
        number = str(next(self._numbers))
        peer = Peer(session, self._ice_servers, self._forget, speaks=speaks, watches=watches)
        self._peers[session.id, number] = peer
        answer = await peer.answer(offer)
        for other in others:
            if speaks and other.speaks:  # it takes over
                await other.close()
        headers = {"Location": f"/sessions/{session.id}/peers/{number}"}
        return web.Response(status=201, text=answer, content_type=_SDP, headers=headers)

    def _peers_of(self, name: str) -> list[Peer]:
        return [peer for (session, _), peer in self._peers.items() if session == name]

    def _forget(self, peer: Peer) -> None:
        self._peers = {key: one for key, one in self._peers.items() if one is not peer}
        if any(one.speaks for one in self._peers_of(peer.session.id)):
            return
        session = self._begun.pop(peer.session.id, None)
        if session is not None:
            loop = asyncio.get_running_loop()
            loop.run_in_executor(None, self._hub.close_or_log, session, "gone")
