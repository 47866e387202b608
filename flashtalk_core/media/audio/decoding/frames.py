"""Frames of an audio track as PyAV decodes them, and what was lost between them.

Axis legend: C channels, n samples; a block is ``(C, n)`` float32, full scale at 1.
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ....borders import library_border
from ...container import demuxed
from ..channel_mix import is_unnamed
from ..layout import listed_positions, take_layout
from ..source import Block
from .blocks import silent_blocks
from .segments import DAMAGED, AddNote, AudioSegment, unreadable

if TYPE_CHECKING:
    from av import Packet
    from av.audio.frame import AudioFrame
    from av.audio.stream import AudioStream
    from av.container import InputContainer

# Planar channels from which on PyAV looks for one more plane than there is, and fails or crashes.
_TOO_MANY_PLANES = 8
# FFmpeg's sample formats: numpy's type and full scale. 24-bit audio arrives as s32.
_FORMATS: dict[str, tuple[type[np.generic], float]] = {
    "u8": (np.uint8, 2.0**7),
    "s16": (np.int16, 2.0**15),
    "s32": (np.int32, 2.0**31),
    "s64": (np.int64, 2.0**63),
    "flt": (np.float32, 1.0),
    "dbl": (np.float64, 1.0),
}
_MOST_LOST_S = 1
"""Longest silence that stands for one packet that cannot be read."""


def decoded_segments(
    path: Path, container: InputContainer, stream: AudioStream, *, is_timed: bool, add_note: AddNote
) -> Iterator[AudioSegment]:
    """Decode an audio track, stepping over damaged packets as players do.

    Args:
        path: What errors name.
        container: The file, not read so far.
        stream: Its track.
        is_timed: Whether frames carry times. Where they are only counted, silence takes the place
            of what is lost.
        add_note: Called with a note on damage.

    Raises:
        InvalidInputError: If the file cannot be read to its end.
    """
    layout = take_layout(stream.codec_context)
    lost_s, last = Fraction(0), None
    for packet in _packets(path, container, stream, add_note):
        frames = _decoded(path, packet, add_note)
        if frames is None:
            lost_s += min(Fraction(_MOST_LOST_S), _packet_s(packet))
            continue
        for frame in frames:
            if not frame.samples or _is_delay(frame):
                continue
            segment = _segment(path, frame, layout)
            if lost_s and last is not None and not is_timed:
                for silence in silent_blocks(len(last.samples), round(lost_s * last.rate_hz)):
                    yield last._replace(samples=silence)
            lost_s, last = Fraction(0), segment if is_timed else segment._replace(time_s=None)
            yield last


def _packets(
    path: Path, container: InputContainer, stream: AudioStream, add_note: AddNote
) -> Iterator[Packet[AudioStream]]:
    return demuxed(container, [stream], partial(unreadable, path), lambda _: add_note(DAMAGED))


def _decoded(path: Path, packet: Packet[AudioStream], add_note: AddNote) -> list[AudioFrame] | None:
    """Return the frames of a packet; ``None`` if it is damaged."""
    import av

    with library_border(lambda said: unreadable(path, said)):
        try:
            return list(packet.decode())
        except av.error.EOFError:
            return []
        except (av.error.InvalidDataError, av.error.PatchWelcomeError):
            add_note(DAMAGED)
            return None


def _packet_s(packet: Packet[AudioStream]) -> Fraction:
    if not packet.duration or packet.duration < 0 or not packet.time_base:
        return Fraction(0)
    return packet.duration * packet.time_base


def _is_delay(frame: AudioFrame) -> bool:
    """Return whether most of a frame lies before 0 s: older FFmpeg leaves it in Matroska."""
    if frame.pts is None or frame.pts >= 0 or not frame.time_base or not frame.sample_rate:
        return False
    return frame.pts * frame.time_base + Fraction(frame.samples, 2 * frame.sample_rate) < 0


def _segment(path: Path, frame: AudioFrame, layout: str) -> AudioSegment:
    time_s = None if frame.pts is None or not frame.time_base else frame.pts * frame.time_base
    with library_border(lambda said: unreadable(path, said)):
        samples, name = _to_float(frame), frame.layout.name
        is_of_track = is_unnamed(name) and len(listed_positions(layout)) == len(samples)
        return AudioSegment(samples, frame.sample_rate, layout if is_of_track else name, time_s)


def _to_float(frame: AudioFrame) -> Block:
    size, channels = frame.samples, len(frame.layout.channels)
    if frame.format.is_planar and channels >= _TOO_MANY_PLANES:
        frame = _interleaved(frame)
    kind = frame.format.name.removesuffix("p")
    dtype, full_scale = _FORMATS[kind]
    planes = [memoryview(plane) for plane in frame.planes]
    if frame.format.is_planar:
        rows = [np.frombuffer(planes[c], dtype, size) for c in range(channels)]
        values = np.stack(rows)
    else:
        values = np.frombuffer(planes[0], dtype, size * channels).reshape(size, channels).T
    if kind == "u8":
        values = values.astype(np.float32) - 128
    with np.errstate(over="ignore"):  # a double beyond float32 becomes inf and is reported so
        return (values / full_scale).astype(np.float32, copy=False)


def _interleaved(frame: AudioFrame) -> AudioFrame:
    from av import AudioResampler

    (packed,) = AudioResampler(format=frame.format.packed).resample(frame)
    return packed
