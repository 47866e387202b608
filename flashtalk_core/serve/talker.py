"""The client that speaks in a session, on its WebSocket."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol

from ..errors import FlashTalkError, InvalidInputError, require
from ..excerpt import excerpt
from ..log import printable_log
from .client_sound import ClientSound
from .limits import MAX_MESSAGE_BYTES, WRITE_TIMEOUT_S
from .meters import ServerCounts
from .outputs import FrameOutput, OutputThread
from .protocol import (
    RefusedError,
    Start,
    code_of,
    message,
    message_for_client,
    parse_message,
    parse_start,
)
from .session import ServedSession

if TYPE_CHECKING:
    from aiohttp import web

_log = printable_log(logging.getLogger(__name__))

START_TIMEOUT_S = 10.0
"""How long a client may take for its first message."""
HEARTBEAT_S = 10.0
"""How often a client is asked whether it is there, in seconds."""
QUEUED_MESSAGES = 100
"""Pictures that may wait for a client, 4 s; one that is further behind is dropped."""


def make_socket(max_bytes: int) -> web.WebSocketResponse:
    """Return a WebSocket for an upgrade; the connection ends at a message of more bytes."""
    from aiohttp import web

    return web.WebSocketResponse(
        heartbeat=HEARTBEAT_S,
        max_msg_size=max_bytes + 1,  # aiohttp takes what is shorter
        # Sound and pictures become no smaller by it, and a few bytes could stand for many.
        compress=False,
    )


class Host(Protocol):
    """The server that a client talks to; see :class:`.hub.LiveHub`."""

    counts: ServerCounts

    async def enter(self, start: Start) -> ServedSession:
        """Return the session that a client wants."""
        ...

    def welcome(self, session: ServedSession) -> dict[str, Any]:
        """Return what a client is told of its session."""
        ...

    def close(self, session: ServedSession, reason: str) -> None:
        """End a session."""
        ...


class Guard(Protocol):
    """Who may use the server; see :class:`.access.Guest`."""

    def check_size(self, num_bytes: int) -> None:
        """Raise :class:`InvalidInputError` if a first message is too long to be read."""
        ...

    def check(self, headers: Mapping[str, str], token: str = "") -> None:
        """Raise :class:`RefusedError` unless a request, with this token, may use it."""
        ...


class Talker:
    """One connection of a client to its session."""

    def __init__(self, hub: Host, access: Guard, socket: web.WebSocketResponse) -> None:
        """Talk over a socket that was accepted."""
        self._hub, self._access, self._socket = hub, access, socket
        self._loop = asyncio.get_running_loop()
        self._news = asyncio.Event()
        self._out: asyncio.Queue[bytes] = asyncio.Queue(QUEUED_MESSAGES)
        self._is_slow = False

    async def run(self, headers: Mapping[str, str]) -> None:
        """Serve the client until it leaves or its session ends; ``headers`` of its request."""
        try:
            session, start = await self._begin(headers)
        except FlashTalkError as error:
            self._hub.counts.refused += 1
            await self._refuse(error)
            return
        except ConnectionError:
            _log.debug("a client left before it was told of its session")
            return
        output: OutputThread | None = None
        if start.format != "none":
            frames = FrameOutput(start.format, self._offer)
            with suppress(RefusedError):  # it is over, as the client is told below
                output = session.add_output(f"{start.format} client", frames)
        client = session.attach(self._wake)
        sound = ClientSound(session, session.sound.format, start.rate, start.channels)
        listening = self._listen(session, client, sound)
        parts = listening, self._tell(session, client), self._send()
        tasks = [asyncio.create_task(part) for part in parts]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            results = await asyncio.gather(*tasks, return_exceptions=True)
            for failed in results:
                if isinstance(failed, Exception) and not isinstance(failed, ConnectionError):
                    _log.error("a client's connection failed", exc_info=failed)
            session.detach(client)
            if output is not None:
                await asyncio.to_thread(session.remove_output, output)
            self._hub.counts.dropped_clients += self._is_slow
            await self._close(session, client)

    async def _close(self, session: ServedSession, client: int) -> None:
        code, reason = 1000, session.why_over()
        if self._is_slow:
            code, reason = 1008, "too slow"
        elif not session.is_client(client):
            code, reason = 1008, "another client came to this session"
        try:
            async with asyncio.timeout(1.0):
                await self._socket.close(code=code, message=reason.encode())
        except TimeoutError:
            _log.debug("a client did not answer the end of its connection")

    async def _begin(self, headers: Mapping[str, str]) -> tuple[ServedSession, Start]:
        """Return the session, and how this client wants its sound and pictures."""
        from aiohttp import WSMsgType

        try:
            first = await self._socket.receive(START_TIMEOUT_S)
        except TimeoutError:
            raise InvalidInputError(f"no first message in {START_TIMEOUT_S:g} s") from None
        if first.type is not WSMsgType.TEXT:
            raise InvalidInputError("the first message is no text; send 'start' first")
        self._access.check_size(len(first.data))
        fields = parse_message(first.data)
        if fields["type"] != "start":
            kind = excerpt(fields["type"], 40)
            raise InvalidInputError(f"the first message is {kind!r}; send 'start' first")
        token = fields.get("token")  # looked at before a portrait is decoded
        self._access.check(headers, token if isinstance(token, str) else "")
        start = parse_start(fields)
        session = await self._hub.enter(replace(start, token=""))
        wanted = session.start if start.session else start
        own = {"rate": wanted.rate, "channels": wanted.channels, "format": wanted.format}
        try:
            await self._socket.send_str(message("ready", **self._hub.welcome(session) | own))
        except BaseException:
            if not start.session:
                session.forsake()
            raise
        return session, wanted

    async def _refuse(self, error: Exception) -> None:
        fields: dict[str, Any] = {"code": code_of(error), "message": message_for_client(error)}
        if isinstance(error, RefusedError) and error.retry_after_s is not None:
            fields["retry_after"] = error.retry_after_s
        try:
            await self._socket.send_str(message("error", **fields))
            again = 1013 if fields["code"] in ("full", "busy") else 1008
            await self._socket.close(code=again)
        except ConnectionError:
            _log.debug("a client left before it was refused")

    async def _listen(self, session: ServedSession, client: int, sound: ClientSound) -> None:
        from aiohttp import WSMsgType

        async for received in self._socket:
            if received.type not in (WSMsgType.TEXT, WSMsgType.BINARY):
                return
            if not session.is_client(client):
                return
            try:
                require(
                    len(received.data) <= MAX_MESSAGE_BYTES,
                    f"message of {len(received.data):,} bytes; send at most {MAX_MESSAGE_BYTES:,} "
                    "at a time",
                )
                if received.type is WSMsgType.BINARY:
                    sound.push(received.data)
                else:
                    await self._obey(session, sound, parse_message(received.data))
            except FlashTalkError as error:
                self._hub.counts.refused += 1
                await self._socket.send_str(
                    message("error", code=code_of(error), message=message_for_client(error))
                )

    async def _obey(
        self, session: ServedSession, sound: ClientSound, fields: dict[str, Any]
    ) -> None:
        kind = fields["type"]
        if kind == "end":
            sound.end()
        elif kind == "clear":
            self._hub.counts.clears += 1
            sound.clear()
        elif kind == "ping":
            await self._socket.send_str(_pong(fields))
        elif kind == "stats":
            await self._socket.send_str(message("stats", **session.row()))
        elif kind == "close":
            await asyncio.to_thread(self._hub.close, session, "closed")
        else:
            raise InvalidInputError(
                f"message {excerpt(kind, 40)!r}: unknown; use end, clear, ping, stats or close"
            )

    async def _tell(self, session: ServedSession, client: int) -> None:
        """Send events, until the session is over, or the client too slow or replaced."""
        while not self._is_slow and session.is_client(client):
            self._news.clear()
            if await self._tell_all(session, client):
                return
            await self._news.wait()

    async def _tell_all(self, session: ServedSession, client: int) -> bool:
        """Send what happened; what cannot be sent is for the next client.

        Returns:
            Whether the session is over.
        """
        events = session.take_events(client)
        try:
            while events and session.is_client(client):
                async with asyncio.timeout(WRITE_TIMEOUT_S):
                    await self._socket.send_str(json.dumps(events[0]))
                event = events.pop(0)
                self._hub.counts.utterances += event["type"] == "speaking"
                if event["type"] == "closed":
                    return True
        finally:
            if events:
                session.give_back(events)
        return False

    async def _send(self) -> None:
        while True:
            data = await self._out.get()
            async with asyncio.timeout(WRITE_TIMEOUT_S):
                await self._socket.send_bytes(data)

    # Other threads

    def _wake(self) -> None:
        self._loop.call_soon_threadsafe(self._news.set)

    def _offer(self, data: bytes) -> None:
        self._loop.call_soon_threadsafe(self._queue, data)

    def _queue(self, data: bytes) -> None:
        if self._out.full():
            self._is_slow = True
            self._news.set()
            return
        self._out.put_nowait(data)


def _pong(fields: dict[str, Any]) -> str:
    try:
        return json.dumps({**fields, "type": "pong"}, allow_nan=False)
    except ValueError:
        raise InvalidInputError(
            "message 'ping': it holds NaN or an infinite number, which JSON has no word for; send "
            "numbers"
        ) from None
