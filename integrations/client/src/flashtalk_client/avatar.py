"""A session of a FlashTalk server: sound in; pictures, their sound and events out."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import AsyncIterator, Iterable, Iterator

import aiohttp

from .book import Book
from .connection import Connection, connect
from .items import Frame, Idle, Item, Played, Ready, Refused, RefusedError, Speaking
from .order import Event, Order
from .start import Start

_log = logging.getLogger(__name__)

MAX_AHEAD_S = 50.0
"""Sound that may wait on the server, which takes 60 s; :meth:`LiveAvatar.push` waits for room."""
RECONNECT_S = 30.0
"""How long a server that is gone is tried; it keeps a session as long."""
_MESSAGE_BYTES = 64 * 1024
_FILES = (b"RIFF", b"OggS", b"fLaC", b"ID3\x03", b"ID3\x04", b"\x1aE\xdf\xa3")
"""What WAV, Ogg, FLAC, MP3 and WebM files begin with; servers take none of them."""
_POLL_S = 0.1
_LONGEST_PAUSE_S = 4.0


class LiveAvatar:
    """One session, fed by this client alone.

    One task iterates, always: it receives, and connects again after a break. Any other pushes.
    """

    def __init__(self, connection: Connection, url: str, start: Start, token: str) -> None:
        """Use :meth:`connect`."""
        self._connection, self._url, self._start, self._token = connection, url, start, token
        self._book = Book()
        self._order = Order(has_frames=start.pictures != "none")
        self._online = asyncio.Event()
        self._online.set()
        self._quiet = asyncio.Event()
        self._quiet.set()
        self._rest = b""
        self._is_open = False
        """Whether the last utterance has not ended."""
        self._is_cut = False
        """Whether what is still pushed of it is dropped."""
        self._num_clears = 0
        self._owes_clear = False
        self._is_closed = False

    @classmethod
    async def connect(
        cls, url: str = "http://127.0.0.1:8190", start: Start | None = None, *, token: str = ""
    ) -> LiveAvatar:
        """Begin a session.

        Args:
            url: Of the server.
            start: How it is wanted.
            token: Of the server; empty where it asks for none.

        Raises:
            RefusedError: If the server does not take it.
            ConnectionError: If there is no server.
        """
        start = start or Start()
        return cls(await connect(url, start.message(), token), url, start, token)

    @property
    def ready(self) -> Ready:
        """The session as the server began it."""
        return self._connection.ready

    @property
    def stream_url(self) -> str:
        """Where the session's video is, as fragmented MP4."""
        return self._url.rstrip("/") + self.ready.stream

    @property
    def last_utterance(self) -> int:
        """Number of the utterance that was begun last; 0 before the first."""
        return self._book.last

    @property
    def is_quiet(self) -> bool:
        """Whether all utterances are over."""
        return self._quiet.is_set()

    # Sound

    async def push(self, sound: bytes) -> int:
        """Send sound, s16le with channels interleaved, of any length and at any speed.

        Returns:
            Number of its utterance, from 1. The first sound after :meth:`end` or :meth:`clear`
            begins one; sound that is pushed while those are called, or after the connection broke
            in the middle of it, is dropped.

        Raises:
            ConnectionError: If the session is closed.
            ValueError: If the utterance begins as a sound file does.
        """
        num_clears = self._num_clears
        data = self._rest + sound
        if not self._is_open and data[:4] in _FILES:
            raise ValueError(
                f"sound that begins with {data[:4]!r} is a file: push its samples alone, s16le at "
                f"{self._start.rate} Hz; of a WAV file leave out the header, decode others"
            )
        whole = len(data) - len(data) % (2 * self._start.channels)
        self._rest = data[whole:]
        for first in range(0, whole, _MESSAGE_BYTES):
            part = data[first : min(whole, first + _MESSAGE_BYTES)]
            await self._wait_for_room(num_clears)
            if self._is_cut or num_clears != self._num_clears:
                break
            if not self._is_open:
                self._is_open = True
                self._book.begin()
                self._quiet.clear()
            self._book.sent(len(part) / self._start.bytes_per_second)
            self._is_cut = not await self._send(part)
        return self._book.last

    async def end(self) -> None:
        """End the utterance: nothing more of it is waited for."""
        self._rest = b""
        if self._is_open:
            self._is_open = self._is_cut = False
            await self._send(json.dumps({"type": "end"}))

    async def clear(self) -> int:
        """Stop speaking, and forget all that was pushed; the next sound begins an utterance.

        Returns:
            Number of the last utterance that this stopped.
        """
        last = self._book.last
        self._rest = b""
        self._num_clears += 1
        self._is_open = self._is_cut = False
        # Sound that is still on its way to a cleared utterance is dropped until its end.
        is_sent = await self._send('{"type": "clear"}') and await self._send('{"type": "end"}')
        self._owes_clear = self._owes_clear or not is_sent
        return last

    async def wait_played(self) -> None:
        """Wait until all utterances are over; somebody iterates meanwhile."""
        await self._quiet.wait()

    async def close(self) -> None:
        """End the session."""
        if not self._is_closed:
            self._is_closed = True
            self._online.set()
            await self._send('{"type": "close"}')
            await self._connection.close()

    # Pictures and events

    async def __aiter__(self) -> AsyncIterator[Item]:
        """Yield frames, and events in their place among them, until the session is closed.

        After a break the session is continued, or, if the server has ended it, another is begun;
        each utterance is still reported exactly once.

        Raises:
            ConnectionError: If the server is gone for longer than it keeps a session.
            RefusedError: If it takes no session any more.
        """
        while not self._is_closed:
            message = await self._connection.socket.receive()
            items: Iterable[Item | None]
            if message.type is aiohttp.WSMsgType.BINARY:
                frame = Frame.parse(message.data, self._start.pictures)
                items = map(self._count, self._order.frame(frame))
            elif message.type is aiohttp.WSMsgType.TEXT:
                items = map(self._count, self._place(json.loads(message.data)))
            elif self._is_closed:
                break
            else:
                items = await self._come_back()
            for item in items:
                if item is not None:
                    yield item
        for item in self._finish():
            if item is not None:
                yield item
        await self._connection.close()

    # Parts

    def _place(self, event: Event) -> Iterator[Event]:
        """Put an event into its place among the frames; yield what is due."""
        kind = event["type"]
        if kind == "closed":
            self._is_closed = self._is_closed or event["reason"] == "closed"
        elif kind == "error":
            return iter([event])
        elif kind == "played" and not event["interrupted"]:
            return self._order.after(event["frame"], event)
        elif kind in ("speaking", "idle", "played"):
            return self._order.before(event["frame"], event)
        return iter(())

    def _count(self, found: Frame | Event | Played) -> Item | None:
        """Note what is yielded; return it as a client is told of it."""
        if isinstance(found, Frame):
            if found.is_speech:
                self._book.heard(1 / self.ready.frame_rate)
            return found
        item = found if isinstance(found, Played) else self._told(found)
        if self._book.is_empty:
            self._quiet.set()
        return item

    def _told(self, event: Event) -> Item | None:
        kind = event["type"]
        if kind == "idle":
            return Idle()
        if kind == "error":
            _log.warning("the FlashTalk server: %s (%s)", event["message"], event["code"])
            return Refused(event["code"], event["message"])
        if kind == "speaking":
            number = self._book.speaking(event["utterance"], time.monotonic())
            return None if number is None else Speaking(number)
        number = self._book.over(event["utterance"])
        return None if number is None else Played(number, event["seconds"], event["interrupted"])

    async def _come_back(self) -> list[Item | None]:
        """Connect again; return what the break was the end of."""
        self._online.clear()
        self._is_cut = self._is_open
        await self._connection.close()
        old = self.ready.session
        self._connection = await self._connect_again(old)
        if self.ready.session == old:
            items = [self._count(lost) for lost in self._book.resume(self.ready.utterance)]
        else:
            items = self._finish()
            self._order = Order(has_frames=self._start.pictures != "none")
        if self._owes_clear:
            self._owes_clear = False
            await self._send('{"type": "clear"}')
        await self._send('{"type": "end"}')  # an end that was sent into the break is lost
        self._online.set()
        return items

    async def _connect_again(self, session: str) -> Connection:
        until_s = time.monotonic() + RECONNECT_S
        pause_s = 0.1
        while not self._is_closed:
            try:
                return await connect(self._url, self._start.message(session), self._token)
            except RefusedError as error:
                if error.code == "session" and session:
                    session = ""  # it has ended
                    continue
                if error.retry_after_s is None or time.monotonic() > until_s:
                    raise
            except ConnectionError as error:
                if time.monotonic() > until_s:
                    raise
                _log.info("the FlashTalk server cannot be reached, trying again: %s", error)
            await asyncio.sleep(pause_s)
            pause_s = min(_LONGEST_PAUSE_S, 2 * pause_s)
        raise ConnectionError("the session was closed while its server was gone")

    async def _wait_for_room(self, num_clears: int) -> None:
        while num_clears == self._num_clears and not self._is_cut:
            await self._online.wait()
            if self._is_closed:
                raise ConnectionError("the session is closed")
            now_s = None if self._start.pictures != "none" else time.monotonic()
            if self._book.ahead_s(now_s) < MAX_AHEAD_S:
                return
            await asyncio.sleep(_POLL_S)

    async def _send(self, message: str | bytes) -> bool:
        """Send, and return whether the connection took it."""
        socket = self._connection.socket
        try:
            if isinstance(message, str):
                await socket.send_str(message)
            else:
                await socket.send_bytes(message)
        except (ConnectionError, aiohttp.ClientError):
            return False
        return True

    def _finish(self) -> list[Item | None]:
        """Return what a session that is over still owes."""
        held = [self._count(event) for event in self._order.rest()]
        return held + [self._count(lost) for lost in self._book.restart()]
