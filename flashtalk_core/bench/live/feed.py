"""A recording as a microphone or a text-to-speech service would send it.

Axis legend: C channels, n samples.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ...errors import require
from ...live.session import LiveSession
from ...media.audio.decoding.reader import AudioReader
from ...media.audio.probe import check_part
from ...media.audio.source import Block
from .watch import Watch

_PIECE_S = 0.02
_LEAD_IN_S = 1.0
"""Idle frames that are shown first."""

Event = tuple[float, Callable[[float], None]]
"""When something happens, seconds since the session's start, and what; it is told the time."""


@dataclass(frozen=True)
class Samples:
    """A recording in memory."""

    block: Block
    """``(C, n)``."""
    rate_hz: int
    layout: str


def read_samples(path: Path, start_s: float, duration_s: float | None) -> Samples:
    """Read a part of a recording.

    Raises:
        InvalidInputError: If there is no such file, or no sound in that part of it.
    """
    check_part(start_s, duration_s)
    with AudioReader(path) as reader:
        rate_hz = reader.rate_hz
        limit = None if duration_s is None else round(duration_s * rate_hz)
        blocks = list(reader.blocks(round(start_s * rate_hz), limit))
        require(bool(blocks), f"audio {path}: nothing after {start_s:g} s; start earlier")
        return Samples(np.concatenate(blocks, axis=1), rate_hz, reader.layout)


def feed(
    session: LiveSession,
    watch: Watch,
    samples: Samples,
    speed: float,
    clears_s: Sequence[float],
) -> list[Event]:
    """Return what to do with a session when, in order.

    Args:
        session: Takes the sound.
        watch: Is told when an utterance began, and when one was interrupted.
        samples: What is said, from one second on, in pieces of 20 ms.
        speed: Seconds of sound that arrive in a second.
        clears_s: When to interrupt, seconds after the sound began.
    """
    step = round(_PIECE_S * samples.rate_hz)
    total = samples.block.shape[1]

    def pushing(piece: Block) -> Callable[[float], None]:
        def push(now_s: float) -> None:
            session.push(piece)
            watch.note_said(session.sound.last_number, now_s)

        return push

    def clear(now_s: float) -> None:
        watch.note_clear(now_s, session.playhead)
        session.clear()

    events: list[Event] = []
    for start in range(0, total, step):
        piece = samples.block[:, start : start + step]
        arrives_s = (start + piece.shape[1]) / samples.rate_hz / speed
        events.append((_LEAD_IN_S + arrives_s, pushing(piece)))
    end_s = _LEAD_IN_S + total / samples.rate_hz / speed
    events.append((end_s, lambda _now_s: session.end()))
    events += [(_LEAD_IN_S + after_s, clear) for after_s in clears_s]
    return sorted(events, key=lambda event: event[0])
