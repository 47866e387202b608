"""What a session sends: frames with their sound, and events, each where it belongs among them."""

from __future__ import annotations

import io
import struct
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

HEAD = struct.Struct("<4sIHHBBHII")
"""Magic, number, height, width, flags, channels, 0, bytes of the picture, samples a channel."""
MAGIC = b"FTF1"
_HELD, _SPEECH = 1, 2

Pictures: TypeAlias = Literal["none", "jpeg", "i420", "rgb"]


class RefusedError(Exception):
    """The server did not take a session."""

    def __init__(self, code: str, message: str, retry_after_s: float | None = None) -> None:
        """Refuse.

        Args:
            code: Of the reason, as ``full`` or ``token``.
            message: For people.
            retry_after_s: When to try again; ``None`` where that does not help.
        """
        super().__init__(message)
        self.code = code
        self.retry_after_s = retry_after_s


@dataclass(frozen=True)
class Ready:
    """A session, as the server began it."""

    session: str
    """Its id, which is the permission to watch, feed and end it."""
    stream: str
    """Path of its video on the server."""
    height: int
    width: int
    frame_rate: int
    utterance: int
    """Number of the last utterance that the server knows of."""

    @classmethod
    def parse(cls, fields: dict[str, Any]) -> Ready:
        """Read a message ``ready``."""
        return cls(**{name: fields[name] for name in cls.__dataclass_fields__})


@dataclass(frozen=True)
class Frame:
    """A picture and its 40 ms of sound."""

    number: int
    """From 0; it begins anew where a session does."""
    height: int
    width: int
    pictures: Pictures
    """How ``picture`` is encoded."""
    picture: bytes
    sound: bytes
    """s16le, channels interleaved."""
    channels: int
    is_held: bool
    """Whether the picture is the last one again."""
    is_speech: bool
    """Whether the sound is of an utterance."""

    @classmethod
    def parse(cls, data: bytes, pictures: Pictures) -> Frame:
        """Read a binary message.

        Raises:
            ValueError: If it is none of this protocol.
        """
        if len(data) < HEAD.size or data[:4] != MAGIC:
            raise ValueError(f"binary message {data[:8]!r}: no frame of a FlashTalk server")
        _, number, height, width, flags, channels, _, num_bytes, num_samples = HEAD.unpack_from(
            data
        )
        sound_at = HEAD.size + num_bytes
        if len(data) != sound_at + 2 * channels * num_samples:
            raise ValueError(f"frame {number}: {len(data)} bytes are not what its head says")
        return cls(
            number, height, width, pictures, data[HEAD.size : sound_at], data[sound_at:],
            channels, bool(flags & _HELD), bool(flags & _SPEECH),
        )  # fmt: skip

    def rgb(self) -> bytes:
        """Return the picture as RGB, rows from the top, 3 bytes a pixel.

        Raises:
            ValueError: If the session sends pictures that this cannot decode.
        """
        if self.pictures == "rgb":
            return self.picture
        if self.pictures != "jpeg":
            raise ValueError(f"pictures {self.pictures!r}: use 'rgb' or 'jpeg'")
        try:
            from PIL import Image
        except ImportError as error:
            raise ValueError("pictures 'jpeg' need Pillow: pip install pillow") from error
        with Image.open(io.BytesIO(self.picture)) as image:
            return image.convert("RGB").tobytes()


@dataclass(frozen=True)
class Speaking:
    """The next frame is the first of an utterance."""

    utterance: int
    """As :meth:`LiveAvatar.push` counts."""


@dataclass(frozen=True)
class Idle:
    """The next frame is the first of silence after speech."""


@dataclass(frozen=True)
class Played:
    """An utterance is over; comes exactly once for each, after its last frame."""

    utterance: int
    """As :meth:`LiveAvatar.push` counts."""
    seconds: float
    """What of it was played."""
    interrupted: bool
    """Whether that was not all of it."""


@dataclass(frozen=True)
class Refused:
    """The server did not take a message, or had to end the session."""

    code: str
    message: str


Item: TypeAlias = Frame | Speaking | Idle | Played | Refused
