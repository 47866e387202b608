"""Time stamps of the packets of a video track."""

from __future__ import annotations

from array import array
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from .container import packets_of

if TYPE_CHECKING:
    from av import Packet
    from av.container import InputContainer
    from av.video.stream import VideoStream

# Formats that are cut and joined as streams, and the leaps of time that are no pause in one.
_JOINED = frozenset(("mpegts", "mpeg"))
_BACK_S, _AHEAD_S = Fraction(1, 10), 10


class Stamps(NamedTuple):
    """When frames are shown, in ticks of the track and in the order they are stored."""

    shown: array[int]
    keys: array[int]
    num_without: int
    """Packets without a time."""
    last: tuple[int, int]
    """The latest time, and how long that frame lasts."""
    is_joined: bool
    """Whether clocks follow one another, brought to one: decoders give times of their own."""


def read_stamps(path: Path, container: InputContainer, track: VideoStream) -> Stamps:
    """Read through the packets of a track; nothing is decoded.

    Raises:
        InvalidInputError: If the file cannot be read.
    """
    shown, keys, num_without, last = array("q"), array("q"), 0, (-(2**63), 0)
    in_order = lacks_times(container)
    clock = _JoinedClock(track) if container.format.name in _JOINED else None
    for packet in packets_of(path, container, track, warns=True):
        ticks = packet.dts if packet.pts is None or in_order else packet.pts
        if ticks is None:
            num_without += packet.size > 0  # the last one is empty
            continue
        if clock is not None:
            ticks = clock.time_of(packet, ticks)
        if packet.is_keyframe:
            keys.append(ticks)
        if packet.is_discard:
            continue  # cut away by the container's edit list; it may still be decoded from
        shown.append(ticks)
        last = max(last, (ticks, max(0, packet.duration or 0)))
    return Stamps(shown, keys, num_without, last, clock is not None and clock.has_leapt)


class _JoinedClock:
    """Brings streams that were joined end to end, each with its own clock, to one."""

    def __init__(self, track: VideoStream) -> None:
        self.has_leapt = False
        tick_s = Fraction(track.time_base or 1)
        self._back, self._ahead = round(_BACK_S / tick_s), round(_AHEAD_S / tick_s)
        self._shift = self._delay = 0
        self._next: int | None = None
        """When the next packet is to be decoded, by the clock of the last one."""

    def time_of(self, packet: Packet, ticks: int) -> int:
        """Return the time of a packet by the first clock; packets come in decoding order."""
        if packet.dts is None:
            return ticks + self._shift
        if self._next is not None:
            leap = packet.dts - self._next
            if not -self._back <= leap <= self._ahead:
                self._shift -= leap
                self.has_leapt = True
        self._next = packet.dts + (packet.duration or 0)
        # The two times of a packet may be of different clocks where they meet.
        if 0 <= ticks - packet.dts <= self._ahead:
            self._delay = ticks - packet.dts
        return packet.dts + self._delay + self._shift


def lacks_times(container: InputContainer) -> bool:
    """Whether a container stores no presentation times."""
    return container.format.name == "avi"  # what FFmpeg makes up is wrong with B frames
