"""One WebRTC connection to a session."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np
from aiortc import (
    MediaStreamTrack,
    RTCConfiguration,
    RTCIceServer,
    RTCPeerConnection,
    RTCSessionDescription,
)
from aiortc.mediastreams import MediaStreamError
from av import AudioFrame

from ...errors import FlashTalkError, InvalidInputError, require
from ...excerpt import excerpt
from ...live.audio.sound import LiveSound
from ...log import printable_log
from ...media.audio.source import Block
from ..outputs import Output, OutputThread
from ..protocol import RefusedError
from .ice import IceServer
from .pieces import Arrivals
from .tracks import SessionTracks

_log = printable_log(logging.getLogger(__name__))

CONNECT_S = 15.0
"""How long a connection may take to come about."""
_DIRECTIONS = {
    (False, False): "inactive",
    (False, True): "sendonly",
    (True, False): "recvonly",
    (True, True): "sendrecv",
}
"""Of a track, by whether it comes in, and whether one goes out."""


class Session(Protocol):
    """What a connection needs of its session; see :class:`ServedSession`."""

    id: str
    sound: LiveSound

    def push(self, samples: Block) -> object:
        """Append sound."""
        ...

    def end(self) -> None:
        """End the utterance."""
        ...

    def why_over(self) -> str:
        """Return why it is to end, empty if it goes on."""
        ...

    def add_output(self, name: str, output: Output) -> OutputThread:
        """Let an output take the frames from now on."""
        ...

    def remove_output(self, thread: OutputThread) -> None:
        """Let an output take no more."""
        ...


class Peer:
    """Brings sound into a session, shows it, or both."""

    def __init__(
        self,
        session: Session,
        ice_servers: Sequence[IceServer],
        on_end: Callable[[Peer], object],
        *,
        speaks: bool,
        watches: bool,
    ) -> None:
        """Prepare a connection; :meth:`answer` an offer next.

        Args:
            session: What it is for.
            ice_servers: Asked for candidates; none are by default.
            on_end: Called once it has ended, however that came.
            speaks: Whether sound comes in.
            watches: Whether pictures and sound go out.
        """
        self.session, self.speaks = session, speaks
        self._on_end = on_end
        servers = [RTCIceServer(one.url, one.username, one.credential) for one in ice_servers]
        self._connection = RTCPeerConnection(RTCConfiguration(iceServers=servers))
        self._tracks: SessionTracks | None = None
        self._output: OutputThread | None = None
        self._is_closed = False
        self._listening: asyncio.Task[None] | None = None
        self._closing: asyncio.Task[None] | None = None
        loop = asyncio.get_running_loop()
        if watches:
            self._tracks = SessionTracks(session.sound.format, loop, self._end)
            for track in (self._tracks.pictures, self._tracks.sound):
                self._connection.addTrack(track)
        self._connection.on("track", self._on_track)
        self._connection.on("connectionstatechange", self._on_state)
        self._timer = loop.call_later(CONNECT_S, self._give_up)

    async def answer(self, offer: str) -> str:
        """Return the answer to an offer, both SDP.

        Raises:
            InvalidInputError: If it cannot be used; the connection has ended then.
        """
        try:
            await self._connection.setRemoteDescription(RTCSessionDescription(offer, "offer"))
            self._settle()
            await self._connection.setLocalDescription(await self._connection.createAnswer())
        except Exception as error:  # aiortc reads what a stranger wrote
            await self.close()
            if isinstance(error, FlashTalkError):
                raise
            text = excerpt(str(error), 200) or "it is no SDP, or not all of it"
            raise InvalidInputError(f"the offer cannot be used: {text}") from error
        return str(self._connection.localDescription.sdp)

    async def close(self) -> None:
        """End; does nothing the second time."""
        if self._is_closed:
            return
        self._is_closed = True
        self._timer.cancel()
        if self._listening is not None:
            self._listening.cancel()
            self.session.end()
        if self._output is not None:
            await asyncio.to_thread(self.session.remove_output, self._output)
        await self._connection.close()
        self._on_end(self)

    def _settle(self) -> None:
        """Check that the offer has what the connection is for, and take nothing else of it."""
        came, left = set(), set()
        for transceiver in self._connection.getTransceivers():
            kind, is_offered = transceiver.kind, transceiver.mid is not None
            comes = transceiver.receiver.track is not None and kind not in came
            comes = comes and kind == "audio" and self.speaks
            leaves = is_offered and transceiver.sender.track is not None
            came |= {kind} if comes else set()
            left |= {kind} if leaves else set()
            transceiver.direction = _DIRECTIONS[comes, leaves]
        require(
            not self.speaks or bool(came),
            "the offer sends no sound; add an audio track, sendonly or sendrecv",
        )
        require(
            self._tracks is None or left == {"audio", "video"},
            "the offer takes no video and sound; add both, recvonly or sendrecv",
        )

    def _on_track(self, track: MediaStreamTrack) -> None:
        if track.kind == "audio" and self.speaks and self._listening is None:
            self._listening = asyncio.create_task(self._listen(track))

    async def _on_state(self) -> None:
        state = self._connection.connectionState
        if state in ("failed", "closed") or self.session.why_over():
            self._end()
        elif state == "connected":
            self._timer.cancel()
            if self._tracks is not None and self._output is None and not self._is_closed:
                try:
                    self._output = self.session.add_output("WebRTC", self._tracks)
                except RefusedError:  # the session is over
                    self._end()

    async def _listen(self, track: MediaStreamTrack) -> None:
        sound = self.session.sound
        arrivals = Arrivals(sound.rate_hz, sound.channels)
        drops = False
        try:
            while not self.session.why_over():
                frame = await track.recv()
                assert isinstance(frame, AudioFrame)
                assert frame.pts is not None
                samples = frame.to_ndarray().astype(np.int16, copy=False)
                samples = samples.reshape(-1, len(frame.layout.channels))
                try:
                    self.session.push(arrivals.process(frame.pts, frame.sample_rate, samples))
                    drops = False
                except FlashTalkError as error:
                    if not drops:  # once, and not fifty times a second
                        _log.warning("session %s drops sound: %s", self.session.id[:6], error)
                    drops = True
        except MediaStreamError:
            _log.debug("a client's sound has ended")
        finally:
            self._end()

    def _give_up(self) -> None:
        _log.info("a WebRTC connection did not come about in %g s and was ended", CONNECT_S)
        self._end()

    def _end(self) -> None:
        if self._closing is None:
            self._closing = asyncio.create_task(self.close())
