"""One stream of fragments for any number of viewers, in bounded memory.

A viewer's queue is what lies between its place and the newest fragment. All queues share the
fragments of one ring, so their bound holds for all together and a viewer costs a few numbers.
Policy: ``DROP_VIEWER``. A viewer whose next fragment has left the ring is dropped and counted, as
is one that makes room for another; the publisher never waits.
"""

from __future__ import annotations

import time
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from threading import Lock

RING_BYTES = 64 * 2**20
"""Most bytes held of a stream: some minutes of video at the usual quality."""
MAX_VIEWERS = 16
"""Most viewers of a stream at a time."""
IDLE_S = 5.0
"""How long a viewer may take nothing before it makes room for one that finds no place."""

Wake = Callable[[], None]
"""Called, by the thread that publishes, when a viewer has something to do. Must not block."""


class TooManyViewersError(Exception):
    """A stream has as many viewers as it takes."""


@dataclass(frozen=True, slots=True)
class Fragment:
    """A part of the stream."""

    data: bytes
    start_ms: int
    """Where it lies on the stream's clock."""
    is_key: bool
    """Whether a viewer can start with it."""


class Viewer:
    """One reader's place in a stream. For :class:`Broadcast` and its reader only."""

    def __init__(self, wake: Wake, now_s: float) -> None:
        self.wake = wake
        self.taken_s = now_s
        """When it took something last, or came."""
        self.place: int | None = None
        """Number of the next fragment; ``None`` until there is one to start with."""
        self.has_head = False
        self.is_dropped = False


class Broadcast:
    """Holds the newest fragments of a stream and distributes them. Any thread may call anything."""

    def __init__(
        self,
        ring_bytes: int = RING_BYTES,
        max_viewers: int = MAX_VIEWERS,
        clock_s: Callable[[], float] = time.monotonic,
    ) -> None:
        """Start an empty stream.

        Args:
            ring_bytes: Most bytes of fragments that are held; the newest one always is.
            max_viewers: Most viewers at a time.
            clock_s: Gives the time in seconds.
        """
        self._clock_s = clock_s
        self._ring_bytes = ring_bytes
        self._max_viewers = max_viewers
        self._lock = Lock()
        self._head: bytes | None = None
        self._fragments: dict[int, Fragment] = {}
        self._first = self._next = 0
        self._num_bytes = 0
        self._viewers: list[Viewer] = []
        # Numbers and times of the key fragments that are held: a viewer that joins searches them
        # while the publisher waits.
        self._keys: list[int] = []
        self._key_times_ms: list[int] = []
        self._num_dropped = 0
        self._is_closed = False

    @property
    def num_viewers(self) -> int:
        """Viewers at this moment."""
        return len(self._viewers)

    @property
    def num_dropped(self) -> int:
        """Viewers that were too slow, so far."""
        return self._num_dropped

    @property
    def num_bytes(self) -> int:
        """Bytes of the fragments that are held."""
        return self._num_bytes

    @property
    def is_closed(self) -> bool:
        """Whether nothing follows."""
        return self._is_closed

    def begin(self, head: bytes) -> None:
        """Take what every viewer gets first."""
        with self._lock:
            self._head = head

    def add(self, data: bytes, start_ms: int, *, is_key: bool) -> None:
        """Append a fragment and wake the viewers.

        Args:
            data: Bytes of the fragment.
            start_ms: Where it lies on the stream's clock, milliseconds; never decreases.
            is_key: Whether a viewer can start with it.
        """
        with self._lock:
            if self._is_closed:
                return
            if is_key:
                self._keys.append(self._next)
                self._key_times_ms.append(start_ms)
                for viewer in self._viewers:
                    if viewer.place is None:
                        viewer.place = self._next
            self._fragments[self._next] = Fragment(data, start_ms, is_key)
            self._next += 1
            self._num_bytes += len(data)
            self._shrink()
            awake = self._drop_slow()
        self._wake(awake)

    def close(self) -> None:
        """End the stream: viewers get what is left of it, and none can join any more."""
        with self._lock:
            self._is_closed = True
            awake = list(self._viewers)
        self._wake(awake)

    def join(self, wake: Wake, from_ms: int | None = None) -> Viewer:
        """Add a viewer; if there is no place, instead of one that takes nothing.

        Args:
            wake: Called when there may be something to take, or the viewer is dropped.
            from_ms: Where to start: with the last key fragment at or before this time, or the first
                one that is left. ``None`` is the newest key fragment.

        Raises:
            TooManyViewersError: If the stream has as many viewers as it takes, and all watch.
        """
        viewer, replaced = Viewer(wake, self._clock_s()), list[Viewer]()
        with self._lock:
            if len(self._viewers) >= self._max_viewers:
                replaced.append(self._drop_idlest(viewer.taken_s))
            viewer.place = self._key_before(from_ms)
            self._viewers.append(viewer)
        self._wake(replaced)
        return viewer

    def leave(self, viewer: Viewer, *, is_dropped: bool = False) -> None:
        """Remove a viewer; does nothing if it is gone already.

        Args:
            viewer: From :meth:`join`.
            is_dropped: Count it as one that was too slow.
        """
        with self._lock:
            if viewer in self._viewers:
                self._viewers.remove(viewer)
                viewer.is_dropped = is_dropped
                self._num_dropped += is_dropped

    def take(self, viewer: Viewer) -> bytes | None:
        """Return the viewer's next bytes, empty if the stream is over, ``None`` if it must wait.

        A dropped viewer gets ``None`` for ever; see :attr:`Viewer.is_dropped`.
        """
        with self._lock:
            if viewer.is_dropped:
                return None
            if self._head is not None and not viewer.has_head:
                viewer.has_head = True
                viewer.taken_s = self._clock_s()
                return self._head
            if viewer.place is None or viewer.place == self._next:
                return b"" if self._is_closed else None
            viewer.place += 1
            viewer.taken_s = self._clock_s()
            return self._fragments[viewer.place - 1].data

    def _key_before(self, from_ms: int | None) -> int | None:
        """Return the fragment to start with for a time; ``None`` stands for the newest one."""
        if not self._keys:
            return None  # there is none yet, or one GOP is larger than the ring
        index = len(self._keys) if from_ms is None else bisect_right(self._key_times_ms, from_ms)
        return self._keys[max(0, index - 1)]

    def _shrink(self) -> None:
        """Forget the oldest fragments that are too many."""
        while self._num_bytes > self._ring_bytes and self._first + 1 < self._next:
            self._num_bytes -= len(self._fragments.pop(self._first).data)
            self._first += 1
        gone = bisect_left(self._keys, self._first)
        del self._keys[:gone], self._key_times_ms[:gone]

    def _wake(self, viewers: Iterable[Viewer]) -> None:
        """Wake viewers; one that cannot be woken is dropped, without effect on others."""
        for viewer in viewers:
            try:
                viewer.wake()
            except Exception:  # the border between a render and those who watch it
                self.leave(viewer, is_dropped=True)

    def _drop_idlest(self, now_s: float) -> Viewer:
        idlest = min(self._viewers, key=lambda viewer: viewer.taken_s)
        if now_s - idlest.taken_s < IDLE_S:
            raise TooManyViewersError
        self._viewers.remove(idlest)
        idlest.is_dropped = True
        self._num_dropped += 1
        return idlest

    def _drop_slow(self) -> list[Viewer]:
        """Drop viewers whose next fragment is gone; return all that are to be woken."""
        awake = list(self._viewers)
        for viewer in awake:
            if viewer.place is not None and viewer.place < self._first:
                viewer.is_dropped = True
                self._num_dropped += 1
        self._viewers = [viewer for viewer in awake if not viewer.is_dropped]
        return awake
