"""The live sessions that run now, for those who make requests about them."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from typing import Any

from ...flashtalk_core.serve.client_sound import ClientSound
from ...flashtalk_core.serve.meters import ServerCounts


@dataclass(eq=False)
class OpenSession:
    """A session that a node runs, and what others want of it."""

    session: Any
    """A ``ServedSession``."""
    factor: float
    """Time of a chunk over its length."""
    counts: ServerCounts = field(default_factory=ServerCounts)
    reason: str = ""
    """Why it is to end; empty while it goes on."""
    heard: ClientSound | None = None
    """The microphone of the page."""

    def end(self, reason: str) -> None:
        """Ask the node to end it; returns at once."""
        self.reason = reason
        self.session.live.wake()


@cache
def open_sessions() -> dict[str, OpenSession]:
    """Return the sessions of this process by id."""
    return {}
