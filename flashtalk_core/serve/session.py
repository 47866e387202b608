"""A session of the server: live sound in, events out, and outputs that take its frames."""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections import deque
from collections.abc import Callable, Iterable
from threading import Event, Lock, Thread
from typing import Any, Protocol

from ..config.chunk import ChunkConfig
from ..engine.plan import RenderPlan
from ..live.audio.framer import AudioFormat
from ..live.audio.gate import Gate, SpeechDetector
from ..live.audio.sound import LiveSound
from ..live.audio.utterance import Played
from ..live.clock import LEAD_S, PlayoutClock
from ..live.decide import ChunkCost, Policy
from ..live.idle import IdleLoop
from ..live.realtime import DrawingThread, run_clock
from ..live.scheduler import Seat
from ..live.session import Drawer, LiveSession
from ..live.shown import Shown
from ..log import printable_log
from ..media.audio.source import Block
from ..streaming.broadcast import Broadcast
from .limits import UNWATCHED_S, ServerLimits
from .meters import SessionMeter
from .outputs import QUEUED_FRAMES, RECORDED_FRAMES, Output, OutputThread, finish
from .protocol import RefusedError, Start, message_for_client

_log = printable_log(logging.getLogger(__name__))

_ID_BYTES = 24
_RING_BYTES = 16 * 2**20
_MAX_EVENTS = 256
"""Events that are kept for a client that is away; the oldest are dropped."""
_OVER = "the session is over; start a new one"
_LAYOUTS = {1: "mono", 2: "stereo"}

Fields = dict[str, Any]
Encoder = Callable[[Broadcast, tuple[int, int], AudioFormat], Output]
"""Makes what encodes frames of a size, with their sound, for the viewers of a stream."""
Recorder = Callable[[tuple[int, int], AudioFormat, str], Output]
"""Makes what writes them into a file, with a note of how they were made."""

Detector = Callable[[int], SpeechDetector]
"""Makes what judges sound of a rate, Hz."""


class Portrayed(Protocol):
    """Who speaks: a portrait that is ready; see :class:`.avatars.Avatar`."""

    @property
    def plan(self) -> RenderPlan:
        """Of the portrait."""
        ...

    @property
    def note(self) -> str:
        """That pictures are generated, and how."""
        ...

    @property
    def policy(self) -> Policy:
        """How sessions are played."""
        ...

    @property
    def idle(self) -> IdleLoop:
        """What is shown in silence."""
        ...

    @property
    def costs(self) -> dict[int, ChunkCost]:
        """Of its chunks, by new frames."""
        ...

    @property
    def chunks(self) -> list[ChunkConfig]:
        """Lengths of its chunks, the shortest first."""
        ...

    @property
    def fingerprint(self) -> str:
        """Of its states."""
        ...

    def drawer(self, sound: LiveSound) -> Drawer:
        """Return what draws for a session with such sound."""
        ...


class ServedSession:
    """One avatar that listens; any thread may call anything but :meth:`show`."""

    def __init__(
        self,
        avatar: Portrayed,
        start: Start,
        drawing: DrawingThread,
        limits: ServerLimits,
        encoder: Encoder,
        recorder: Recorder | None = None,
        detector: Detector | None = None,
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        """Begin with idle frames.

        Args:
            avatar: Who speaks.
            start: How the client wants it.
            drawing: Draws the chunks.
            limits: Of the server.
            encoder: Makes what encodes for viewers, once there are some.
            recorder: Makes what records what was shown; ``None`` records nothing.
            detector: Makes what judges what a microphone hears, beside its level; ``None`` goes by
                level alone.
            now_s: Gives the time, that of ``drawing``.

        Raises:
            FlashTalkError: If the sound or the recording cannot be as it is wanted.
        """
        self.id = secrets.token_urlsafe(_ID_BYTES)
        self.avatar, self.start = avatar, start
        self.error: BaseException | None = None
        chunks = avatar.chunks
        gate = _gate(start, detector)
        self.sound = LiveSound(
            start.rate,
            start.channels,
            layout=_LAYOUTS[start.channels],
            chunk=chunks[-1],
            gate=gate,
            name=f"session {self.id[:6]}",
        )
        self.live = LiveSession(
            self.sound,
            avatar.idle,
            chunks,
            dict(avatar.costs),
            avatar.policy,
            avatar.fingerprint,
        )
        self._limits, self._drawing, self._now_s = limits, drawing, now_s
        self.began_s = self._spoke_s = now_s()
        self._left_s: float | None = None
        rate_hz = chunks[-1].frame_rate_hz
        clock = PlayoutClock(self.live, rate_hz, self.began_s)
        self.meter = SessionMeter(clock.due_s)
        self._lock, self._encoding = Lock(), Lock()
        self.turn = asyncio.Lock()
        """Held by who speaks a whole utterance."""
        self._events: deque[Fields] = deque(maxlen=_MAX_EVENTS)
        self._wake: Callable[[], object] = lambda: None
        self._client = 0
        self._utterance: int | None = None
        self._outputs: tuple[OutputThread, ...] = ()
        self._stream: Broadcast | None = None
        self._encoder_thread: OutputThread | None = None
        self._watched_s = self.began_s
        self._stop = Event()
        self._is_silent = False
        """Whether no sound is taken any more, since nothing could be told of it."""
        self._encoder = encoder
        if recorder is not None:
            writer = recorder(self.size_px, self.sound.format, avatar.note)
            self.add_output("recorder", writer, RECORDED_FRAMES)
        self._seat = Seat(self.live, clock, avatar.drawer(self.sound))
        drawing.add(self._seat, self._fail)
        self._clock = Thread(target=self._run_clock, name="live-clock", daemon=True)
        self._clock.start()

    @property
    def size_px(self) -> tuple[int, int]:
        """Height and width of the pictures."""
        return self.avatar.plan.request.size_px

    # Whoever speaks

    @property
    def last_utterance(self) -> int:
        """Number of the utterance that began last; 0 before the first."""
        return self.sound.last_number

    @property
    def waiting_s(self) -> float:
        """Sound that has not left, seconds."""
        return self.sound.waiting_s

    def push(self, samples: Block, utterance: int | None = None) -> bool:
        """Append sound; see :meth:`LiveSession.push`.

        Returns:
            Whether it will be spoken: it is not of an utterance that ended, nor silence.

        Raises:
            FlashTalkError: If it cannot be taken, or the session is over.
        """
        with self.live.changed:
            if self._is_silent:
                raise RefusedError("session", _OVER)
            before = self.sound.num_pushes
            self.live.push(samples, utterance)
            is_taken = self.sound.num_pushes != before
            if is_taken:
                self._spoke_s = self._now_s()
                self.meter.note_said(self.sound.last_number, self._spoke_s)
            return is_taken

    def end(self) -> None:
        """End the utterance."""
        self.live.end()

    def clear(self) -> None:
        """Stop speaking."""
        with self.live.changed:
            self.meter.note_clear(self._now_s(), self.live.playhead)
            self.live.clear()

    def attach(self, wake: Callable[[], object]) -> int:
        """Let a client be told of events, instead of one that is there; return its number.

        ``wake`` is called where there are events, and once another client has taken over. What one
        that is there was saying is over then, as where it leaves.
        """
        with self._lock:
            is_there = self._client > 0 and self._left_s is None
            before, self._wake, self._left_s = self._wake, wake, None
            self._client += 1
            client = self._client
        if is_there:
            self.end()
        _call(before)
        _call(wake)
        return client

    def detach(self, client: int) -> None:
        """Note that a client has gone; it may come back, and what waits of events is kept."""
        with self._lock:
            if client != self._client:
                return
            self._wake, self._left_s = lambda: None, self._now_s()
        self.end()

    def forsake(self) -> None:
        """Note that the client it was begun for never heard of it: nobody may come to it."""
        with self._lock:
            if not self._client:
                self._left_s = self._now_s()

    def is_client(self, client: int) -> bool:
        """Return whether no other client has taken over."""
        return client == self._client

    def take_events(self, client: int) -> list[Fields]:
        """Return the events since the last call; none for a client that was replaced."""
        with self._lock:
            if client != self._client:
                return []
            found = list(self._events)
            self._events.clear()
            return found

    def give_back(self, events: list[Fields]) -> None:
        """Keep events of :meth:`take_events` that did not reach the client, before newer ones."""
        with self._lock:
            room = _MAX_EVENTS - len(self._events)
            self._events.extendleft(reversed(events[-room:] if room else []))
            wake = self._wake
        _call(wake)

    # Whoever watches

    def stream(self) -> Broadcast:
        """Return the fragments for viewers; they are encoded from the first call on.

        Raises:
            FlashTalkError: If the session is over, or its video cannot be encoded.
        """
        with self._encoding:
            if self._stream is not None and not self._stream.is_closed:
                self._watched_s = self._now_s()  # somebody is about to
                return self._stream
            stream = Broadcast(_RING_BYTES, self._limits.viewers)
            encoder = self._encoder(stream, self.size_px, self.sound.format)
            self._encoder_thread = self.add_output(
                "encoder", encoder, on_first=lambda frame: self._tell("stream", frame=frame)
            )
            self._stream, self._watched_s = stream, self._now_s()
            return stream

    def end_unwatched(self) -> None:
        """Encode no longer if nobody has watched for a while; the next viewer begins anew.

        Returns at once, so whoever draws may call it.
        """
        if not self._encoding.acquire(blocking=False):
            return  # somebody begins to watch
        try:
            stream, thread = self._stream, self._encoder_thread
            if stream is None or stream.is_closed or thread is None:
                return
            if stream.num_viewers:
                self._watched_s = self._now_s()
            if self._now_s() - self._watched_s < UNWATCHED_S:
                return
            self._stream = self._encoder_thread = None
        finally:
            self._encoding.release()
        self._forget(thread)
        thread.end()

    def add_output(
        self,
        name: str,
        output: Output,
        capacity: int = QUEUED_FRAMES,
        on_first: Callable[[int], object] = lambda _: None,
    ) -> OutputThread:
        """Let an output take the frames from now on, until it falls behind.

        Raises:
            RefusedError: If the session is over; the output is closed then.
        """
        with self._lock:
            if not self._stop.is_set():
                thread = OutputThread(name, output, self._forget, capacity, on_first)
                self._outputs = (*self._outputs, thread)
                return thread
        output.close(is_whole=False)
        raise RefusedError("session", _OVER)

    def remove_output(self, thread: OutputThread) -> None:
        """Let an output take no more."""
        self._forget(thread)
        finish([thread])

    # The server

    @property
    def silence_s(self) -> float:
        """Time since somebody spoke, or was heard."""
        return self._now_s() - self._spoke_s

    def why_over(self) -> str:
        """Return why the session is to end, empty if it goes on."""
        now_s = self._now_s()
        if self._stop.is_set():
            return "error" if self.error is not None else "closed"
        if now_s - self.began_s > self._limits.session_s:
            return "limit"
        if now_s - self._spoke_s > self._limits.idle_s:
            return "idle"
        left_s = self._left_s
        if left_s is not None and now_s - left_s > self._limits.reconnect_s:
            return "gone"
        return ""

    def close(self, reason: str) -> None:
        """End the session: outputs get what left the clock."""
        self._stop.set()
        self._drawing.remove(self._seat)
        self.live.wake()
        self._clock.join()
        self._tell_rest()
        with self._lock:
            outputs, self._outputs = self._outputs, ()
        finish(outputs)
        self.sound.close()
        self._tell("closed", reason=reason)

    def welcome(self, stream: str, factor: float) -> Fields:
        """Return what a client is told of it.

        Args:
            stream: Path of the video.
            factor: Time of a chunk over its length.
        """
        height, width = self.size_px
        return {
            "session": self.id,
            "utterance": self.sound.last_number,
            "stream": stream,
            "height": height,
            "width": width,
            "frame_rate": self.avatar.plan.chunk.frame_rate_hz,
            "rate": self.start.rate,
            "channels": self.start.channels,
            "format": self.start.format,
            "source": self.start.source,
            "chunk_frames": [chunk.num_new_frames for chunk in self.avatar.chunks],
            "factor": round(factor, 3),
        }

    def row(self) -> Fields:
        """Return what ``/stats`` says of it; its id is a secret, its beginning is not."""
        return {
            "session": self.id[:6],
            "seconds": round(self._now_s() - self.began_s, 1),
            "outputs": len(self._outputs),
            "viewers": 0 if self._stream is None else self._stream.num_viewers,
            "waiting_frames": self.sound.waiting_frames,
            "drawn_frames": self.live.num_drawn,
            "clock_moves": self._seat.clock.num_moves,
            **self.meter.row(self.live.counts),
        }

    # Parts

    def show(self, shown: Shown, now_s: float) -> None:
        """Take a frame as it leaves the clock; see ``LiveSink``."""
        self.meter.note_shown(shown, now_s, LEAD_S)
        for output in self._outputs:
            output.put(shown)
        self._tell_played(shown.frame, shown.played)
        if shown.utterance != self._utterance:
            self._utterance = shown.utterance
            if shown.utterance is None:
                self._tell("idle", frame=shown.frame)
            else:
                self._tell("speaking", utterance=shown.utterance, frame=shown.frame)
        if shown.utterance is not None:
            self._spoke_s = now_s

    def _tell_played(self, frame: int, reports: Iterable[Played]) -> None:
        for played in reports:
            self._tell(
                "played",
                utterance=played.utterance,
                frame=frame,
                seconds=float(played.seconds),
                interrupted=played.interrupted,
            )

    def _tell_rest(self) -> None:
        """Report the utterances that had not left whole; no frame leaves any more."""
        with self.live.changed:
            self._is_silent = True
            self.live.clear()
            reports = self.sound.take_played()
        self._tell_played(self.live.playhead, reports)

    def _run_clock(self) -> None:
        try:
            run_clock(self._seat, self, self._stop, self._now_s)
        except Exception as error:  # the border between one session and the others
            self._fail(error)

    def _fail(self, error: BaseException) -> None:
        _log.error("session %s ends: %s", self.id[:6], error, exc_info=error)
        self.error = error
        self._tell(
            "error", code="internal", message=f"the session ends: {message_for_client(error)}"
        )
        self._stop.set()
        self.live.wake()

    def _tell(self, kind: str, **fields: Any) -> None:
        with self._lock:
            self._events.append({"type": kind, **fields})
            wake = self._wake
        _call(wake)

    def _forget(self, thread: OutputThread) -> None:
        with self._lock:
            self._outputs = tuple(one for one in self._outputs if one is not thread)


def _gate(start: Start, detector: Detector | None) -> Gate | None:
    """Return what makes silence of what is no speech; ``None`` where speech alone is sent."""
    if start.source != "microphone":
        return None
    return Gate(start.rate, detector=None if detector is None else detector(start.rate))


def _call(wake: Callable[[], object]) -> None:
    try:
        wake()
    except RuntimeError:  # of a loop that is closed
        _log.debug("the server is going down")
