"""Messages of clients and server, errors as answers; docs/LIVE_PROTOCOL.md describes them."""

from __future__ import annotations

import binascii
import json
import logging
import secrets
import struct
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np

from ..errors import FlashTalkError, InvalidInputError, require
from ..excerpt import excerpt
from ..json_text import parse_json
from ..live.decide import Idle
from ..live.shown import Shown
from ..log import printable_log
from ..media.audio.source import Block
from .limits import MAX_JSON_PARTS, MAX_PORTRAIT_BYTES, MAX_PROMPT_CHARACTERS

_log = printable_log(logging.getLogger(__name__))

Format = Literal["none", "jpeg", "i420", "rgb"]
"""What a client gets as binary messages: nothing, or a picture and its sound."""
Source = Literal["speech", "microphone"]
"""Whether sound is speech alone, or what a microphone hears, which goes through the gate."""
FRAME = struct.Struct("<4sIHHBBHII")
"""Head of a frame: magic, number, height, width, flags, channels, reserved, bytes of the picture,
samples a channel. The picture follows, then the sound, s16le, channels interleaved."""
MAGIC = b"FTF1"
HELD, SPEAKING = 1, 2
"""Flags: the picture is the last one again; the sound is of an utterance."""
_FULL_SCALE = 32767.0
_FRAME_RATE_HZ = 25
_STATUS = {
    "token": 401, "origin": 403, "host": 403, "session": 404, "type": 415, "package": 501,
    "internal": 500, "full": 503, "busy": 503,
}  # fmt: skip
"""Of answers, by the code of an error; 400 for others."""


class RefusedError(FlashTalkError):
    """The server does not take a session or a message."""

    def __init__(self, code: str, message: str, retry_after_s: int | None = None) -> None:
        """Refuse.

        Args:
            code: Of the reason, for programs.
            message: For people.
            retry_after_s: When to try again; ``None`` where that does not help.
        """
        super().__init__(message)
        self.code = code
        self.retry_after_s = retry_after_s


def code_of(error: BaseException) -> str:
    """Return what an error is, for programs."""
    if isinstance(error, RefusedError):
        return error.code
    return "input" if isinstance(error, InvalidInputError) else "internal"


def message_for_client(error: BaseException) -> str:
    """Return the message of an error for a client.

    What is none of the client's doing may name files and machines: it goes to the log, and the
    client gets the number to find it there.
    """
    if code_of(error) != "internal":
        return str(error)
    number = secrets.token_hex(4)
    _log.error("error %s, as a client was told: %s", number, error, exc_info=error)
    return f"an error of the server; its log has it as {number}"


@dataclass(frozen=True)
class Refusal:
    """What is answered where an error was raised."""

    status: int
    body: dict[str, str]
    headers: dict[str, str]
    """When to try again, where that helps."""

    @classmethod
    def of(cls, error: BaseException) -> Refusal:
        """Return what a client is told of an error."""
        code, headers = code_of(error), {}
        if isinstance(error, RefusedError) and error.retry_after_s is not None:
            headers["Retry-After"] = str(error.retry_after_s)
        body = {"code": code, "message": message_for_client(error)}
        return cls(_STATUS.get(code, 400), body, headers)


async def read_body(parts: AsyncIterator[bytes], max_bytes: int, what: str) -> bytes:
    """Return a body that comes in parts; no more than it may have is held.

    Args:
        parts: Of it.
        max_bytes: It may have.
        what: It is, for the error.

    Raises:
        RefusedError: If it is longer.
    """
    body = bytearray()
    async for part in parts:
        body += part
        if len(body) > max_bytes:
            raise RefusedError("input", f"{what} is longer than {max_bytes:,} bytes; send less")
    return bytes(body)


@dataclass(frozen=True, kw_only=True)
class Start:
    """How a client wants its session; what it does not say is the server's."""

    token: str = ""
    session: str = ""
    """A session to come back to; empty is a new one."""
    portrait: bytes | None = None
    """An image file."""
    prompt: str | None = None
    seed: int | None = None
    rate: int = 16_000
    """Of the client's sound, Hz."""
    channels: int = 1
    format: Format = "none"
    source: Source = "speech"
    idle: Idle = "bank"


def parse_message(text: str) -> dict[str, Any]:
    """Return a text message as its fields.

    Raises:
        InvalidInputError: If it is no JSON object with a ``type``.
    """
    check_parts(text)
    try:
        found = parse_json(text)
    except ValueError as error:
        raise InvalidInputError(f"message {excerpt(text, 60)}: no JSON: {error}") from error
    require(
        isinstance(found, dict) and isinstance(found.get("type"), str),
        f'message {excerpt(text, 60)}: send a JSON object with a \'type\', as {{"type": "end"}}',
    )
    assert isinstance(found, dict)
    return found


def check_parts(text: str) -> None:
    """Check that JSON is read as quickly as a portrait is.

    Raises:
        InvalidInputError: If it has too many parts.
    """
    num_parts = sum(map(text.count, ",[{"))
    require(
        num_parts <= MAX_JSON_PARTS,
        f"message of {num_parts:,} parts: JSON of a message has a few; at most {MAX_JSON_PARTS:,} "
        "are read",
    )


def parse_start(fields: dict[str, Any]) -> Start:
    """Return a message ``start``; unknown fields are errors, so that none is ignored silently.

    Raises:
        InvalidInputError: If a field is unknown, or its value cannot be used.
    """
    fields = {name: value for name, value in fields.items() if name != "type"}
    known = Start.__dataclass_fields__
    unknown = sorted(fields.keys() - known.keys())
    require(
        not unknown,
        f"start: unknown {excerpt(', '.join(unknown), 80)}; known are {', '.join(known)}",
    )
    for name, allowed in (("format", Format), ("source", Source), ("idle", Idle)):
        value = fields.get(name)
        require(
            value is None or value in get_args(allowed),
            f"start: {name} {excerpt(str(value), 40)!r}: use {', '.join(get_args(allowed))}",
        )
    for name in ("token", "session", "prompt"):
        _check_type(fields, name, str, "a text")
    for name, least, most in (
        ("seed", 0, 2**63 - 1), ("rate", 8_000, 48_000), ("channels", 1, 2),
    ):  # fmt: skip
        _check_type(fields, name, int, "a whole number")
        value = fields.get(name)
        require(
            value is None or least <= value <= most,
            f"start: {name} {excerpt(value, 40)}: use {least} to {most}",
        )
    rate = fields.get("rate") or _FRAME_RATE_HZ
    require(
        rate % _FRAME_RATE_HZ == 0,
        f"start: rate {rate}: no multiple of {_FRAME_RATE_HZ} frames a second; send the sound at "
        "16000, 24000, 44100 or 48000",
    )
    prompt = fields.get("prompt") or ""
    require(
        not any("\ud800" <= character <= "\udfff" for character in prompt),
        "start: prompt holds half of a character (a lone surrogate); send whole ones",
    )
    require(
        len(prompt) <= MAX_PROMPT_CHARACTERS,
        f"start: prompt of {len(prompt)} characters; use at most {MAX_PROMPT_CHARACTERS}",
    )
    if fields.get("portrait") is not None:
        fields["portrait"] = _decode_portrait(fields["portrait"])
    return Start(**{name: value for name, value in fields.items() if value is not None})


def samples_of(data: bytes, channels: int) -> Block:
    """Return a message of sound, s16le with channels interleaved, as ``(C, n)`` float32.

    Raises:
        InvalidInputError: If it is no whole number of samples.
    """
    require(
        len(data) % (2 * channels) == 0,
        f"sound of {len(data)} bytes: a sample of {channels} channel(s) has {2 * channels}; send "
        "s16le, whole samples a message",
    )
    values = np.frombuffer(data, "<i2").reshape(-1, channels).T
    return (values / np.float32(_FULL_SCALE + 1)).astype(np.float32)


def pack_frame(shown: Shown, picture: bytes) -> bytes:
    """Return a frame and its sound as a binary message.

    Args:
        shown: The frame.
        picture: It, encoded as the client wants it.
    """
    height, width, _ = shown.picture.shape
    flags = HELD * shown.is_held + SPEAKING * (shown.utterance is not None)
    channels, num_samples = shown.sound.shape
    head = FRAME.pack(
        MAGIC, shown.frame, height, width, flags, channels, 0, len(picture), num_samples
    )
    return head + picture + pcm_of(shown.sound)


def pcm_of(sound: Block) -> bytes:
    """Return ``(C, n)`` float32 as s16le, channels interleaved."""
    values = np.clip(np.rint(sound.T * (_FULL_SCALE + 1)), -_FULL_SCALE - 1, _FULL_SCALE)
    return values.astype("<i2").tobytes()


def message(kind: str, **fields: Any) -> str:
    """Return a text message."""
    return json.dumps({"type": kind, **fields})


def _check_type(fields: dict[str, Any], name: str, kind: type, what: str) -> None:
    value = fields.get(name)
    is_right = value is None or (isinstance(value, kind) and not isinstance(value, bool))
    require(is_right, f"start: {name} {excerpt(str(value), 40)!r} is not {what}")


def _decode_portrait(text: object) -> bytes:
    require(isinstance(text, str), "start: portrait is no text; send an image file in Base64")
    assert isinstance(text, str)
    limit = MAX_PORTRAIT_BYTES * 4 // 3 + 4
    require(
        len(text) <= limit,
        f"start: portrait of {len(text) * 3 // 4:,} bytes; at most {MAX_PORTRAIT_BYTES:,} are "
        "taken, make it smaller",
    )
    try:
        return binascii.a2b_base64(text.encode(), strict_mode=True)
    except (binascii.Error, ValueError) as error:
        raise InvalidInputError(
            "start: portrait is no Base64; send an image file in it, without line breaks and "
            "without 'data:...,' before it"
        ) from error
