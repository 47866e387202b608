"""When each of two speakers is heard."""

from __future__ import annotations

import re

from ....clock import read_time
from ....errors import InvalidInputError, require
from ....excerpt import excerpt
from ..source import MAX_TIME_S

Turns = tuple[tuple[float, float], ...]
"""Seconds of the video from and to which a speaker is heard, in order; empty is always."""

_TWO_DIGITS = re.compile(r"\d\d(\D|$)")
"""What is behind a colon in ``1:05``, and without a space behind a speaker."""


def check_place(offset_s: float, turns: Turns, who: str) -> None:
    """Raise :class:`InvalidInputError` unless a speaker can begin then and be heard in ``turns``.

    Args:
        offset_s: Seconds of the video.
        turns: See :data:`Turns`.
        who: Begins the message.
    """
    require(
        0 <= offset_s <= MAX_TIME_S,
        f"{who} begins at {offset_s:g} s: use a second from 0 to {MAX_TIME_S}",
        subject="speakers",
    )
    last_s = 0.0
    for begin_s, end_s in turns:
        require(
            begin_s < end_s,
            f"{who} has a turn from {begin_s:g} to {end_s:g} s: its end is "
            f"{'at' if begin_s == end_s else 'before'} its start; write the earlier second first",
            subject="speakers",
        )
        require(
            last_s <= begin_s and end_s <= MAX_TIME_S,
            f"{who} has a turn from {begin_s:g} to {end_s:g} s after one that ends at "
            f"{last_s:g} s: list turns in order of time, up to second {MAX_TIME_S}",
            subject="speakers",
        )
        last_s = end_s


def parse_turns(text: str) -> tuple[Turns, ...]:
    """Read a timeline such as ``1: 0-3.5, 2: 3.5-6, 1: 6-8`` as the turns of each speaker.

    Separators are commas, semicolons or new lines; see :func:`.read_time` for times.

    Raises:
        InvalidInputError: If it is none; its subject is ``turns``.
    """
    found: list[list[tuple[float, float]]] = [[], []]
    for entry in filter(str.strip, text.replace(";", ",").replace("\n", ",").split(",")):
        who, _, period = entry.partition(":")
        begin, _, end = period.partition("-")
        require(
            _TWO_DIGITS.match(begin) is None or begin.count(":") >= end.count(":"),
            f"turn {excerpt(entry.strip())!r}: it may begin with a speaker or with minutes; write "
            "the speaker, a colon and a space before the times, such as '1: 1:05-1:10'",
            subject="turns",
        )
        try:
            times = read_time(begin), read_time(end)
            turns = found[("1", "2").index(who.strip())]
        except ValueError:
            raise InvalidInputError(
                f"turn {excerpt(entry.strip())!r}: use the speaker, 1 or 2, and times of the "
                "video, such as '1: 0-3.5, 2: 3.5-6' or '1: 0:00-1:05'",
                subject="turns",
            ) from None
        turns.append(times)
    require(
        all(found),
        f"turns {excerpt(text)!r}: speaker {1 if not found[0] else 2} has none; give each one, "
        "such as '1: 0-3.5, 2: 3.5-6'",
        subject="turns",
    )
    return tuple(map(tuple, found))
