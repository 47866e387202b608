"""The player's clock: silence in gaps, one audio track at a time, and sample 0 at 0 s.

Axis legend: C channels, n samples; a block is ``(C, n)``.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

from ...isobmff.boxes import file_boxes
from ..source import Block
from .blocks import silent_blocks
from .segments import AddNote, AudioSegment

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.stream import Stream

# Formats whose frames are counted by FFmpeg: their times say nothing that their order does not.
_COUNTED = frozenset((
    "aac", "ac3", "aiff", "amr", "ape", "au", "avi", "caf", "dts", "eac3", "loas", "mp3", "tta",
    "voc", "w64", "wav", "wv",
))  # fmt: skip
# Formats that are cut and joined as streams, each part with a clock of its own.
_JOINED = frozenset(("mpegts", "mpeg", "ogg"))

MAX_GAP_S = 1800
"""Longer gaps are no recording that paused, but times that are wrong."""
_MAX_SILENCE_S = 12 * 3600
"""Most silence in all gaps together: a file of a few kilobytes can ask for years."""
_MAX_JOINED_GAP_S = 10
_MAX_OVERLAP_S = 1.0
_MAX_JOINED_OVERLAP_S = 0.1
_MOST_JITTER_S = 0.015
_TINY_S = 0.012
"""Frames shorter than this, short blocks of Vorbis above all, have times that differ by more."""
_AHEAD = 5
"""Segments that are looked at before one is moved: a single time may be wrong."""


@dataclass(frozen=True)
class Clock:
    """How the times in a file are to be taken."""

    zero_s: Fraction | None
    """What the file calls the moment a player calls 0 s; ``None`` is where the audio begins."""
    is_timed: bool = True
    """Whether frames carry times; else they are counted."""
    max_gap_s: float = MAX_GAP_S
    max_overlap_s: float = _MAX_OVERLAP_S


def clock_of(path: Path, container: InputContainer, track: Stream) -> Clock:
    """Return the clock of a file, as players take it.

    Args:
        path: The file.
        container: The same, opened.
        track: Its audio track that is used.
    """
    name = container.format.name
    if name in _COUNTED:
        return Clock(None, is_timed=False)
    zero_s = player_zero_s(path, container, track)
    if name in _JOINED:
        return Clock(zero_s, max_gap_s=_MAX_JOINED_GAP_S, max_overlap_s=_MAX_JOINED_OVERLAP_S)
    return Clock(zero_s)


def player_zero_s(path: Path, container: InputContainer, track: Stream) -> Fraction | None:
    """Return which time of a file a player calls 0 s.

    MP4 and MOV say it themselves, by edit lists. Elsewhere, and in live streams of MP4 fragments,
    it is where the first track begins.

    Returns:
        Seconds by the clock of the file; ``None`` where only one audio track is in it, which then
        begins at 0 s.
    """
    if "mp4" in container.format.name and not _is_in_fragments(path):
        return Fraction(0)
    others = [
        each
        for each in container.streams
        if each.type in ("video", "audio") and each is not track and not is_still(each)
    ]
    starts = [start for start in map(_start_s, [*others, track]) if start is not None]
    if not others or not starts:
        return None
    # Before 0 s lies what decoders need ahead.
    return max(Fraction(0), min(starts))


def _is_in_fragments(path: Path) -> bool:
    with path.open("rb") as file:
        return any(span.kind == b"moof" for span in file_boxes(file))


def is_still(stream: Stream) -> bool:
    """Whether a track is a cover image."""
    return bool(stream.disposition.value & 0x400)  # AV_DISPOSITION_ATTACHED_PIC


def _start_s(stream: Stream) -> Fraction | None:
    if stream.start_time is None or not stream.time_base:
        return None
    return stream.start_time * stream.time_base


def in_time(segments: Iterator[AudioSegment], clock: Clock, add_note: AddNote) -> Iterator[Block]:
    """Yield segments of one kind as one signal, each at its time.

    Times that differ from the count of samples by less than half a frame are rounding, and so are
    those that only some frames show. Memory stays the same however long a gap is.

    Args:
        segments: All of one rate and number of channels.
        clock: How their times are to be taken.
        add_note: Called with notes on impossible times.
    """
    waiting: deque[AudioSegment] = deque()
    position, silence, zero_s = 0, 0, clock.zero_s
    for segment in _and_end(segments):
        if segment is not None:
            waiting.append(segment)
            if zero_s is None and segment.time_s is not None:
                before = sum(each.samples.shape[1] for each in waiting) - segment.samples.shape[1]
                zero_s = segment.time_s - Fraction(position + before, segment.rate_hz)
        while waiting and (segment is None or len(waiting) > _AHEAD):
            shift = _shift(waiting, position, zero_s)
            head = waiting.popleft()
            shift_s = shift / head.rate_hz
            left_s = min(clock.max_gap_s, _MAX_SILENCE_S - silence / head.rate_hz)
            if zero_s is not None and not -clock.max_overlap_s <= shift_s <= left_s:
                add_note(
                    f"its time stamps jump by {shift_s:.1f} s at {position / head.rate_hz:.3f} s, "
                    "which is no pause; it is taken as continuous"
                )
                zero_s += Fraction(shift, head.rate_hz)
                shift = 0
            silence += max(0, shift)
            for block in _placed(head.samples, shift):
                position += block.shape[1]
                yield block


def _and_end(segments: Iterator[AudioSegment]) -> Iterator[AudioSegment | None]:
    yield from segments
    yield None


def _shift(waiting: deque[AudioSegment], position: int, zero_s: Fraction | None) -> int:
    """Return how many samples later than counted the first segment starts; 0 if it follows on."""
    head = waiting[0]
    if zero_s is None or head.time_s is None:
        return 0
    is_tiny = head.duration_s < _TINY_S
    jitter_s = _MOST_JITTER_S if is_tiny else min(_MOST_JITTER_S, head.duration_s / 2)
    late: list[int] = []
    count = position
    for segment in waiting:
        if segment.time_s is not None:
            late.append(round((segment.time_s - zero_s) * segment.rate_hz) - count)
            if abs(late[-1]) <= jitter_s * head.rate_hz:
                return 0  # nearly always with the first: exact times are slow
        count += segment.samples.shape[1]
    is_one_way = min(late) > 0 or max(late) < 0
    return min(late, key=abs) if is_one_way else 0


def _placed(block: Block, shift: int) -> Iterator[Block]:
    """Yield a block after silence, or without what overlaps the block before."""
    if shift > 0:
        yield from silent_blocks(len(block), shift)
        yield block
    elif -shift < block.shape[1]:
        yield block[:, -shift:]
