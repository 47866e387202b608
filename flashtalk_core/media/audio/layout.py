"""Names of an audio file's loudspeakers, without the memory that PyAV frees twice."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from av.audio.codeccontext import AudioCodecContext

_LISTED = re.compile(r"\d+ channels \((.+)\)")


def take_layout(codec: AudioCodecContext) -> str:
    """Return FFmpeg's name of a track's layout; call it before anything of the track is decoded.

    Channels in an order of their own (``chan`` of MOV and CAF) are a list in memory, to which
    PyAV's objects hold a copy of the pointer. PyAV 18 frees it with each of them: with every frame.
    So the decoder is given only their number.

    Returns:
        Its name, for a list in the form ``N channels (FL+FR+...)``.
    """
    layout = codec.layout
    name, count = layout.name, layout.nb_channels
    if listed_positions(name):
        codec.layout = f"{count}C"  # from here on the list is that of ``layout`` alone
    return name


def listed_positions(layout: str) -> tuple[str, ...]:
    """Return the loudspeakers that a name lists; empty if it lists none."""
    found = _LISTED.fullmatch(layout)
    return tuple(found[1].split("+")) if found else ()
