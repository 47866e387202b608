"""What the server allows."""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import require

MAX_MESSAGE_BYTES = 256 * 1024
"""Of a message of sound or text."""
MAX_JSON_PARTS = 10_000
"""Commas, lists and objects in a text: as large as a portrait, it could hold millions, and nothing
else would run until they are read."""
MAX_PORTRAIT_BYTES = 20 * 2**20
MAX_FIRST_BYTES = MAX_PORTRAIT_BYTES * 4 // 3 + MAX_MESSAGE_BYTES
"""Of a first message with a portrait in Base64, by a client that may use the server."""
MAX_GUESTS = 16
"""Sockets whose clients have not sent their token yet."""
MAX_GUEST_BYTES = 64 * 1024
"""Of their first message, which is read for the token in it: 28 MB of brackets take many seconds,
in which Python does nothing else."""
HEARD_BYTES = 4 * 2**20
"""Up to which a message that is too long is answered; the connection ends at more."""
MAX_PROMPT_CHARACTERS = 2_000
WRITE_TIMEOUT_S = 10.0
"""How long a client may take for one message before it is dropped."""
UNWATCHED_S = 30.0
"""How long the video of a session is encoded while nobody watches it."""
SESSIONS_PER_SPEAKER = 4
"""Sessions for each that may speak at the same time: most listen."""


@dataclass(frozen=True, kw_only=True)
class ServerLimits:
    """Bounds of sessions."""

    sessions: int | None = None
    """Most sessions; ``None`` is four for each that may speak at the same time."""
    session_s: float = 3600.0
    """Longest session."""
    idle_s: float = 300.0
    """Longest time without speech."""
    reconnect_s: float = 30.0
    """How long a session waits for a client whose connection broke."""
    viewers: int = 16
    """Most viewers of a session."""

    def __post_init__(self) -> None:
        require(
            self.sessions is None or 1 <= self.sessions <= 1000,
            f"sessions {self.sessions}: use 1 to 1000",
        )
        for name, value in (
            ("session limit", self.session_s),
            ("idle limit", self.idle_s),
            ("reconnect", self.reconnect_s),
        ):
            require(0 < value <= 86_400, f"{name} {value:g} s: use more than 0, at most 86400")
