"""What the readers of audio files return: opened audio, its segments, notes and errors.

Axis legend: C channels, n samples; a block is ``(C, n)`` float32, full scale at 1.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

from ....errors import InvalidInputError
from ....excerpt import shown_path
from ..source import Block

AddNote = Callable[[str], None]
"""Takes a note on an audio file; the same sentence counts once."""
_MOST_NOTES = 10
"""Most notes on one file: where everything is wrong, the first few say so."""
DAMAGED = "damaged in places; what cannot be read is left out"


class AudioSegment(NamedTuple):
    """Samples of one decoded frame, or of several after conversion."""

    samples: Block
    rate_hz: int
    layout: str
    """FFmpeg's name of the channel layout."""
    time_s: Fraction | None = None
    """When its first sample is played, by the clock of the file; ``None`` where none is given."""

    @property
    def kind(self) -> tuple[int, int]:
        """Rate and number of channels."""
        return self.rate_hz, len(self.samples)

    @property
    def duration_s(self) -> float:
        """Its length in seconds."""
        return self.samples.shape[1] / self.rate_hz


class OpenedAudio(NamedTuple):
    """An audio file that was opened."""

    rate_hz: int
    channels: int
    layout: str
    """FFmpeg's name of the channel layout; empty where there is none."""
    blocks: Iterator[Block]
    close: Callable[[], None]
    """Releases the file."""


def note_collector(notes: list[str]) -> AddNote:
    """Return a function that adds sentences to ``notes``."""

    def add_note(note: str) -> None:
        if len(notes) < _MOST_NOTES and note not in notes:
            notes.append(note)

    return add_note


def unopened(path: Path, said: str) -> InvalidInputError:
    """Return the error for an audio file that cannot be opened."""
    return InvalidInputError(
        f"audio {shown_path(path)}: cannot be opened ({said}); check the file and its permissions"
    )


def unreadable(path: Path, said: str) -> InvalidInputError:
    """Return the error for an audio file whose reading failed."""
    return InvalidInputError(
        f"audio {shown_path(path)}: reading it failed ({said}); it may be cut short, "
        "export it again"
    )
