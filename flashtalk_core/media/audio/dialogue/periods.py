"""When voices of a dialogue have audio; turns without any, and minutes without a voice."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ....errors import require
from .turns import Turns

LONG_SILENCE_S = 60.0
"""Longest silence of everybody that is not reported."""


@dataclass(frozen=True)
class VoicePeriod:
    """When there is audio of a voice, in seconds of the video."""

    begin_s: float
    end_s: float
    turns: Turns
    """Those of its speaker."""


def dialogue_notes(voices: Sequence[VoicePeriod]) -> list[str]:
    """Return what is without effect or unusual about voices in a video, a sentence each."""
    turns = [
        f"{_never_heard(number, voice, turn)}, so it is never heard"
        for number, voice in enumerate(voices, 1)
        for turn in voice.turns
        if not _is_heard(voice, turn)
    ]
    return [*turns, *_gap_notes(voices)]


def check_heard(voices: Sequence[VoicePeriod]) -> None:
    """Raise :class:`InvalidInputError` if none of a speaker's turns has audio."""
    for number, voice in enumerate(voices, 1):
        require(
            not voice.turns or any(_is_heard(voice, turn) for turn in voice.turns),
            f"{_never_heard(number, voice, (voice.turns or ((0, 0),))[0])}, so speaker {number} is "
            "never heard; give them a turn within it, in seconds of the video",
            subject="turns",
        )


def _is_heard(voice: VoicePeriod, turn: tuple[float, float]) -> bool:
    return turn[0] < voice.end_s and turn[1] > voice.begin_s


def _never_heard(number: int, voice: VoicePeriod, turn: tuple[float, float]) -> str:
    if turn[1] <= voice.begin_s:
        where = f"begins at {voice.begin_s:.2f} s"
    elif voice.begin_s:
        where = f"ends at {voice.end_s:.2f} s of the video"
    else:
        where = f"lasts {voice.end_s:.2f} s"
    return f"turn {number}: {turn[0]:g}-{turn[1]:g}: the audio {where}"


def _gap_notes(voices: Sequence[VoicePeriod]) -> list[str]:
    notes, end_s = [], 0.0
    for voice in sorted(voices, key=lambda each: each.begin_s):
        if voice.begin_s - end_s > LONG_SILENCE_S:
            minutes = (voice.begin_s - end_s) / 60
            notes.append(
                f"nobody speaks from {end_s:.2f} to {voice.begin_s:.2f} s of the video, "
                f"{minutes:.0f} minute(s); starts are in seconds"
            )
        end_s = max(end_s, voice.end_s)
    return notes
