"""How a session is wanted: the first message to the server."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from .items import Pictures

_MAX_PORTRAIT_BYTES = 20 * 2**20


@dataclass(frozen=True, kw_only=True)
class Start:
    """Wishes for a session; what is ``None`` is the server's own."""

    rate: int = 24_000
    """Of the sound, Hz: 8000 to 48000, a multiple of 25."""
    channels: int = 1
    pictures: Pictures = "rgb"
    """What comes back: RGB, ``i420``, ``jpeg`` for slow networks, or ``none``."""
    idle: Literal["bank", "still", "draw"] = "bank"
    portrait: bytes | None = field(default=None, repr=False)
    """An image file; see :func:`read_portrait`."""
    prompt: str | None = None
    seed: int | None = None

    def __post_init__(self) -> None:
        if not 8_000 <= self.rate <= 48_000 or self.rate % 25:
            raise ValueError(f"rate {self.rate}: use 8000 to 48000 Hz, a multiple of 25")
        if self.channels not in (1, 2):
            raise ValueError(f"channels {self.channels}: use 1 or 2")

    @property
    def bytes_per_second(self) -> int:
        """Of the sound."""
        return 2 * self.channels * self.rate

    def message(self, session: str = "") -> str:
        """Return the message ``start``; ``session`` is one to come back to."""
        fields: dict[str, Any] = {"type": "start", "format": self.pictures}
        if session:
            return json.dumps({**fields, "session": session})
        fields |= {name: getattr(self, name) for name in ("rate", "channels", "idle")}
        fields |= {
            name: value for name in ("prompt", "seed") if (value := getattr(self, name)) is not None
        }
        if self.portrait is not None:
            fields["portrait"] = base64.b64encode(self.portrait).decode()
        return json.dumps(fields)


def read_portrait(path: str | Path) -> bytes:
    """Return an image file for :class:`Start`.

    Raises:
        ValueError: If it cannot be read, or is larger than servers take.
    """
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise ValueError(f"portrait {path}: cannot be read ({error.strerror})") from error
    if len(data) > _MAX_PORTRAIT_BYTES:
        raise ValueError(
            f"portrait {path}: {len(data):,} bytes; at most {_MAX_PORTRAIT_BYTES:,}, make "
            "it smaller"
        )
    return data
