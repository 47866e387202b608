"""Speakers as a user writes them: ``left:voice.wav``, when each begins, whose turn it is."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from ...errors import require
from ...excerpt import excerpt
from ...files.paths import is_file
from ...media.audio.dialogue.turns import parse_turns
from ...media.places import is_place
from ..spec import Speaker

# The colon behind the disk of a path on Windows belongs to the path.
_MASK_AND_AUDIO = re.compile(r"((?:[A-Za-z]:(?=[/\\]))?[^:]*)(?::(.*))?", re.DOTALL)

UNUSED_AUDIO = "not used; each speaker has audio of their own"
"""What is to be said of audio for speakers without their own."""


def read_speakers(
    given: Sequence[str],
    audio: str,
    starts_s: Sequence[float] = (),
    turns: str = "",
    place: Callable[[str], str] = str,
) -> tuple[Speaker, ...]:
    """Return the speakers of a render.

    Args:
        given: For each speaker ``MASK`` or ``MASK:AUDIO``; none is one speaker.
        audio: That of speakers without their own.
        starts_s: When the audio of each begins, seconds of the video; missing ones are 0.
        turns: Timeline; see :func:`.parse_turns`. Empty: each is always heard.
        place: Makes a whole path of one in ``given``.

    Raises:
        InvalidInputError: If one cannot be read.
    """
    require(
        len(starts_s) <= max(1, len(given)),
        f"speaker starts {' '.join(f'{each:g}' for each in starts_s)}: {max(1, len(given))} "
        "speaker(s); give one start for each at most",
        subject="speakers",
    )
    require(
        not turns.strip() or len(given) == 2,
        f"turns {excerpt(turns)!r}: they need two speakers; name both, such as left and right",
        subject="turns",
    )
    speakers = [_read(text, audio, place) for text in given] or [Speaker(audio=audio)]
    for number, start_s in enumerate(starts_s):
        speakers[number] = replace(speakers[number], offset_s=start_s)
    if turns.strip():
        pairs = zip(speakers, parse_turns(turns), strict=True)
        speakers = [replace(each, turns=own) for each, own in pairs]
    return tuple(speakers)


def _read(text: str, audio: str, place: Callable[[str], str]) -> Speaker:
    mask, own = _parts(text.strip(), place)
    require(
        bool(mask) and own != "",
        f"speaker {excerpt(text)!r}: write where they are, and their audio after a colon, such as "
        "left:voice.wav, mask.png:voice.wav or 0,0,300,400:voice.wav",
        subject="speakers",
    )
    word = mask.lower()
    where = word if is_place(word) else place(mask)
    return Speaker(audio=audio if own is None else place(own), mask=where)


def _parts(text: str, place: Callable[[str], str]) -> tuple[str, str | None]:
    """Return mask and audio, ``None`` without any.

    The mask is the longest beginning that is a file: its name may have a colon in it.
    """
    found = _MASK_AND_AUDIO.fullmatch(text)
    assert found is not None, "any text has a first part"
    mask, own = found.groups()
    if own is None or is_place(mask.lower()):
        return mask, own
    ends = [len(text), *(each.start() for each in reversed(list(re.finditer(":", text))))]
    for end in ends:
        if is_file(Path(place(text[:end]))):
            return text[:end], text[end + 1 :] if end < len(text) else None
    return mask, own
