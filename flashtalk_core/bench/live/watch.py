"""What left the clock of a live session when."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from ...live.clock import LiveSink
from ...live.shown import Shown


@dataclass
class UtteranceRow:
    """One utterance."""

    utterance: int
    said_s: float
    """When its first sample was there, seconds since the session's start."""
    response_s: float | None = None
    """From then until its first frame was due to be shown; ``None`` where none was."""
    played_s: float = 0.0
    """Seconds of it that left."""
    interrupted: bool = False
    held_frames: int = 0
    """Frames of it that showed the last picture again."""


@dataclass
class ClearRow:
    """One interruption."""

    clear_s: float
    """When it was taken, seconds since the session's start."""
    frames_out: int
    """Frames of speech that left afterwards."""
    sound_stops_s: float
    """From then until the last frame that had left before was over."""


@dataclass
class Watch:
    """A sink that notes when frames left, and passes them on."""

    rate_hz: int
    sinks: Sequence[LiveSink] = ()
    utterances: dict[int, UtteranceRow] = field(default_factory=dict)
    clears: list[ClearRow] = field(default_factory=list)
    late_s: list[float] = field(default_factory=list)
    """How long after its due time each frame left; negative is early."""

    def note_said(self, utterance: int, now_s: float) -> None:
        """Note that sound of an utterance was there."""
        if utterance:
            self.utterances.setdefault(utterance, UtteranceRow(utterance, now_s))

    def note_clear(self, now_s: float, playhead: int) -> None:
        """Note an interruption, and the first frame that had not left."""
        self.clears.append(ClearRow(now_s, 0, max(0.0, playhead / self.rate_hz - now_s)))

    def show(self, shown: Shown, now_s: float) -> None:
        """Take a frame; see ``LiveSink``."""
        due_s = shown.frame / self.rate_hz
        self.late_s.append(now_s - due_s)
        if shown.utterance is not None:
            row = self.utterances[shown.utterance]
            if row.response_s is None:  # its first frame
                row.response_s = due_s - row.said_s
            row.held_frames += shown.is_held
            for clear in self.clears:
                # What was said before the interruption, and left after it.
                clear.frames_out += row.said_s <= clear.clear_s < now_s
        for played in shown.played:
            row = self.utterances[played.utterance]
            row.played_s, row.interrupted = float(played.seconds), played.interrupted
        for sink in self.sinks:
            sink.show(shown, now_s)
