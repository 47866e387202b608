"""The encoder delay of a sound track in a Matroska file.

FFmpeg's muxer writes it only for sound that it encoded itself; without it picture and sound
would start late by as much. It is put where a name of the track was left to be replaced.

Source: RFC 9559, ``CodecDelay``, and RFC 8794, ``Void``.
"""

from __future__ import annotations

import struct
from fractions import Fraction
from pathlib import Path

DELAY_PLACEHOLDER = "sound delay to be written"
"""Name of the track until the delay takes its place."""

_HEAD_BYTES = 1 << 16
_NAME = b"\x53\x6e"
_CODEC_DELAY = b"\x56\xaa"
_VOID = b"\xec"
_SIZE_FLAG = 0x80


def write_delay(path: Path, delay_s: Fraction) -> None:
    """Replace the placeholder's element in ``path`` by the delay, in whole nanoseconds."""
    text = DELAY_PLACEHOLDER.encode()
    name = _NAME + bytes([_SIZE_FLAG | len(text)]) + text
    value = struct.pack(">Q", round(delay_s * 10**9))
    element = _CODEC_DELAY + bytes([_SIZE_FLAG | len(value)]) + value
    room = len(name) - len(element) - 2
    with path.open("r+b") as file:
        position = file.read(_HEAD_BYTES).find(name)
        assert position >= 0, "the muxer writes the names of tracks into the head"
        file.seek(position)
        file.write(element + _VOID + bytes([_SIZE_FLAG | room]) + bytes(room))
