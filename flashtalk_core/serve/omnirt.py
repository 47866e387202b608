"""omnirt's protocol for FlashTalk: the sound of a chunk in, its pictures out, nothing else.

The client paces, and no clock runs: a chunk is drawn when its sound is there, after those that
live sessions need. What opentalking speaks.
"""

from __future__ import annotations

import asyncio
import struct
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, Protocol, cast

import torch
from torch import Tensor

from ..engine.state import SessionState
from ..errors import FlashTalkError, InvalidInputError, require
from ..excerpt import excerpt
from ..geometry import span_at
from ..live.audio.sound import LiveSound
from ..live.session import Job
from .avatars import Avatar, SessionDrawer
from .limits import WRITE_TIMEOUT_S, ServerLimits
from .meters import ServerCounts
from .outputs import jpeg_of
from .protocol import (
    RefusedError,
    Start,
    message,
    message_for_client,
    parse_message,
    parse_start,
    samples_of,
)

if TYPE_CHECKING:
    from aiohttp import web

PATH = "/v1/audio2video/flashtalk"
SOUND, PICTURES = b"AUDI", b"VIDX"
"""What binary messages begin with: s16le at 16 kHz from the client, JPEG files from the server."""
LENGTH = struct.Struct("<I")
"""Of the number of pictures, and before each of the bytes it has."""


class ChunkByChunk:
    """A portrait whose chunks are drawn one after the other, as a file's are."""

    def __init__(self, avatar: Avatar) -> None:
        """Begin with the portrait."""
        self.chunk = avatar.engine.chunks[-1]
        self.size_px = avatar.plan.request.size_px
        self._sound = LiveSound(self.chunk.sample_rate_hz, chunk=self.chunk, name="of a chunk")
        self._drawer = SessionDrawer(avatar, self._sound)
        self._state = SessionState(0, None, avatar.engine.fingerprint)
        self._first = 0
        self._job: Job | None = None

    @property
    def num_bytes(self) -> int:
        """Of the sound of a chunk."""
        return 2 * self.chunk.num_new_frames * self.chunk.samples_per_frame

    def draw(self, sound: bytes) -> Tensor:
        """Return the pictures of the next chunk, ``(F, H, W, 3)`` uint8; in the drawing thread.

        Args:
            sound: Of the chunk, s16le, mono.
        """
        self._sound.push(samples_of(sound, 1))
        self._sound.attach(self._first)
        span = span_at(self._first, self._state.chunk_index, self.chunk)
        self._job = Job(span, self._state, self.chunk, is_silent=False)
        groups = list(self._drawer.draw(self._job))
        after = groups[-1].state if groups else None
        if after is None:
            raise RefusedError("session", "the session ended while its chunk was drawn")
        self._state, self._first = after, span.shown.stop
        for frame in span.shown:
            self._sound.leave(frame)
        return torch.cat([group.frames for group in groups])

    def cancel(self) -> None:
        """Give up what is being drawn."""
        if self._job is not None:
            self._job.is_cancelled = True


class Host(Protocol):
    """The server that draws; see :class:`.hub.LiveHub`."""

    counts: ServerCounts
    limits: ServerLimits

    def admit(self) -> object:
        """Keep a place for a session."""
        ...

    def release(self, place: object) -> None:
        """Give back a place."""
        ...

    async def find_avatar(self, start: Start, place: object) -> Avatar:
        """Return who speaks, once it is ready; it is kept while the place is."""
        ...

    def call(self, task: Callable[[], object]) -> Future[object]:
        """Run a task in the thread that draws, once no session needs a chunk."""
        ...


class OmnirtClient:
    """One connection; it takes one of the server's sessions from ``init`` to ``close``."""

    def __init__(self, hub: Host, socket: web.WebSocketResponse) -> None:
        """Talk over a socket that was accepted, by a client that may use the server."""
        self._hub, self._socket = hub, socket
        self._session: ChunkByChunk | None = None
        self._place: object = None
        self._ends_s = 0.0

    async def run(self) -> None:
        """Serve the client until it leaves, is silent for too long, or takes no pictures."""
        try:
            await self._talk()
        except (TimeoutError, ConnectionError):
            self._hub.counts.dropped_clients += 1
        finally:
            self._end()
        await self._socket.close()

    async def _talk(self) -> None:
        from aiohttp import WSMsgType

        while True:
            try:
                received = await self._socket.receive(self._hub.limits.idle_s)
            except TimeoutError:
                return
            if received.type not in (WSMsgType.TEXT, WSMsgType.BINARY):
                return
            answer = await self._answer(received.data)
            async with asyncio.timeout(WRITE_TIMEOUT_S):
                if isinstance(answer, str):
                    await self._socket.send_str(answer)
                else:
                    await self._socket.send_bytes(answer)

    async def _answer(self, data: str | bytes) -> str | bytes:
        try:
            return await (self._obey(data) if isinstance(data, str) else self._draw(data))
        except FlashTalkError as error:
            self._hub.counts.refused += 1
            fields: dict[str, Any] = {"message": message_for_client(error)}
            if isinstance(error, RefusedError):
                fields |= {"code": error.code, "retry_after": error.retry_after_s}
            return message("error", **fields)
        except Exception as error:  # the border between one client and the others
            self._end()
            text = f"the session ends: {message_for_client(error)}; send 'init' again"
            return message("error", message=text)

    async def _obey(self, text: str) -> str:
        fields = parse_message(text)
        kind = fields["type"]
        if kind == "init":
            return await self._begin(_start_of(fields))
        if kind == "close":
            self._end()
            return message("close_ok")
        raise InvalidInputError(f"message {excerpt(kind, 40)!r}: unknown; use init or close")

    async def _begin(self, start: Start) -> str:
        self._end()
        self._place = self._hub.admit()
        try:
            avatar = await self._hub.find_avatar(start, self._place)
            self._session = session = ChunkByChunk(avatar)
        except BaseException:
            self._hub.release(self._place)
            raise
        self._ends_s = time.monotonic() + self._hub.limits.session_s
        self._hub.counts.sessions += 1
        height, width = session.size_px
        return message(
            "init_ok",
            frame_num=session.chunk.num_frames,
            motion_frames_num=session.chunk.num_motion_frames,
            slice_len=session.chunk.num_new_frames,
            fps=session.chunk.frame_rate_hz,
            height=height,
            width=width,
        )

    async def _draw(self, data: bytes) -> bytes:
        session = self._session
        if session is not None and time.monotonic() > self._ends_s:
            self._end()
            raise InvalidInputError("the session reached the longest time there is; send 'init'")
        if session is None:
            raise InvalidInputError("there is no session; send 'init' first")
        require(
            data[: len(SOUND)] == SOUND and len(data) == len(SOUND) + session.num_bytes,
            f"sound of {len(data)} bytes: send 'AUDI' and {session.num_bytes} bytes, a chunk of "
            f"{session.chunk.num_new_frames} frames at {session.chunk.sample_rate_hz} Hz, s16le",
        )
        drawn = self._hub.call(lambda: session.draw(data[len(SOUND) :]))
        pictures = cast("Tensor", await asyncio.wrap_future(drawn))
        return await asyncio.to_thread(_pack, pictures)

    def _end(self) -> None:
        if self._session is not None:
            self._session.cancel()
            self._session = None
            self._hub.release(self._place)


def _start_of(fields: dict[str, Any]) -> Start:
    """Return ``init`` as how a session is wanted; what it says beside is for other models.

    Raises:
        InvalidInputError: If a value cannot be used.
    """
    known = {"ref_image": "portrait", "prompt": "prompt", "seed": "seed"}
    given = {ours: fields.get(name) for name, ours in known.items()}
    wanted = {ours: None if value == "" else value for ours, value in given.items()}
    try:
        return parse_start({**wanted, "idle": "still"})
    except InvalidInputError as error:
        text = str(error).replace("start: portrait", "init: ref_image").replace("start:", "init:")
        raise InvalidInputError(text) from error


def _pack(pictures: Tensor) -> bytes:
    """Return ``(F, H, W, 3)`` uint8 as a message."""
    files = [jpeg_of(picture) for picture in pictures]
    parts = [PICTURES, LENGTH.pack(len(files))]
    for file in files:
        parts += [LENGTH.pack(len(file)), file]
    return b"".join(parts)
