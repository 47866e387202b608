"""The encoder delay of an audio track in a Matroska file.

Without it video and audio would start late by as much. FFmpeg's muxer writes it, and shifts the
packets by it, where it knows the delay: of audio that it encoded itself and, since FFmpeg 8.1, of
audio read from MP4. Otherwise it is put where a name of the track was left to be replaced.

Source: RFC 9559, ``CodecDelay``, and RFC 8794, ``Void``.
"""

from __future__ import annotations

import io
import re
import struct
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from av.stream import Stream

DELAY_PLACEHOLDER = "sound delay to be written"
"""Name of the track until the delay takes its place."""

_HEAD_BYTES = 1 << 16
_NAME = b"\x53\x6e"
_CODEC_DELAY = b"\x56\xaa"
_VOID = b"\xec"
_SIZE_FLAG = 0x80
_WRITTEN_DELAY = re.compile(re.escape(_CODEC_DELAY) + b"[\x81-\x88]")


def muxer_writes_delay(stream: Stream) -> bool:
    """Return whether FFmpeg's muxer handles the delay of an audio track that is copied."""
    import av

    head = io.BytesIO()
    options = {"fflags": "+bitexact"}  # no random numbers, which might look like the element
    with av.open(head, "w", format="matroska", options=options) as writer:
        writer.add_stream_from_template(stream, opaque=True)
        writer.start_encoding()
    return _WRITTEN_DELAY.search(head.getvalue()) is not None


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
