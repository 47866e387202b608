"""Streams by an id that cannot be guessed."""

from __future__ import annotations

import secrets
from threading import Lock

from .broadcast import Broadcast

MAX_SESSIONS = 4
"""Most streams at a time; a further one ends the oldest. ComfyUI renders one after the other."""
_ID_BYTES = 24


class StreamSessions:
    """The streams that can be watched now. Any thread may call anything."""

    def __init__(self, max_sessions: int = MAX_SESSIONS) -> None:
        """Start without streams.

        Args:
            max_sessions: Most streams at a time.
        """
        self._max_sessions = max_sessions
        self._lock = Lock()
        self._streams: dict[str, Broadcast] = {}

    def __len__(self) -> int:
        return len(self._streams)

    def open(self) -> tuple[str, Broadcast]:
        """Start a stream; return its id and the stream."""
        session, stream, ended = secrets.token_urlsafe(_ID_BYTES), Broadcast(), list[Broadcast]()
        with self._lock:
            while len(self._streams) >= self._max_sessions:
                ended.append(self._streams.pop(next(iter(self._streams))))
            self._streams[session] = stream
        for old in ended:
            old.close()
        return session, stream

    def find(self, session: str) -> Broadcast | None:
        """Return a stream by its id, ``None`` if there is none."""
        return self._streams.get(session)

    def close(self, session: str) -> None:
        """End a stream. Its memory is free once its viewers have what is left."""
        with self._lock:
            stream = self._streams.pop(session, None)
        if stream is not None:
            stream.close()
