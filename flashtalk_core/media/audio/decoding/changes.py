"""Audio whose rate or channels change midway, converted to one rate and one layout.

Axis legend: C channels, n samples.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain

import numpy as np

from ..channel_mix import mix_matrix, positions_of
from ..resampling import StreamResampler
from .blocks import silent_blocks
from .segments import DAMAGED, AddNote, AudioSegment

_LEAST_RUN_S = 0.2
"""Shorter runs of another kind are damage: single frames of something else, put between."""

_MOST_HEAD_S = 10
"""Most that is read, and kept in memory, to find a kind that lasts."""

Kind = tuple[int, int]


def one_kind(
    segments: Iterator[AudioSegment], add_note: AddNote, *, is_timed: bool
) -> Iterator[AudioSegment]:
    """Yield all segments at the rate and with the channels of the first that last.

    A few frames of another kind are left out; where samples are only counted, silence of their
    length takes their place. What goes on differently is resampled and mixed.

    Args:
        segments: As decoded.
        add_note: Called with notes on damage and on changes.
        is_timed: Whether later segments carry times.
    """
    head, base = _first_that_lasts(segments)
    if base is None:
        return
    converter = _Converter(base, add_note)
    run: list[AudioSegment] = []  # of another kind, which may be a real change
    lost_s = 0.0  # in shorter ones
    for segment in chain(head, segments):
        if run and segment.kind != run[-1].kind:
            lost_s += _last_run_s(run)
            run = []
        is_back = segment.kind in (converter.kind, base.kind)
        run.append(segment)
        if not (converter.is_new or is_back or _last_run_s(run) >= _LEAST_RUN_S):
            continue
        if segment.kind != converter.kind:
            yield from converter.change(segment)
        if lost_s:
            add_note(DAMAGED)
            if not is_timed:
                yield from converter.silence(lost_s)
        for each in run:
            yield from converter.convert(each)
        run, lost_s = [], 0.0
    if run or lost_s:
        add_note(DAMAGED)
    yield from converter.finish()


def _first_that_lasts(
    segments: Iterator[AudioSegment],
) -> tuple[list[AudioSegment], AudioSegment | None]:
    """Return what was read, and a segment of the kind that all are converted to."""
    head: list[AudioSegment] = []
    length_s = 0.0
    for segment in segments:
        head.append(segment)
        length_s += segment.duration_s
        if _last_run_s(head) >= _LEAST_RUN_S:
            return head, segment
        if length_s >= _MOST_HEAD_S:
            break
    lengths: dict[Kind, float] = {}
    for segment in head:
        lengths[segment.kind] = lengths.get(segment.kind, 0.0) + segment.duration_s
    longest = max(lengths, key=lambda kind: lengths[kind], default=None)
    return head, next((segment for segment in head if segment.kind == longest), None)


def _last_run_s(segments: list[AudioSegment]) -> float:
    """Return how long the last kind has lasted."""
    length_s = 0.0
    for segment in reversed(segments):
        if segment.kind != segments[-1].kind:
            break
        length_s += segment.duration_s
    return length_s


class _Converter:
    """Converts one kind after the other to the base kind."""

    def __init__(self, base: AudioSegment, add_note: AddNote) -> None:
        self.is_new = True
        """Whether nothing was read yet: what a file begins with is no damage."""
        self.kind: Kind = base.kind
        self._base = base
        self._add_note = add_note
        self._resampler: StreamResampler | None = None
        self._mix: np.ndarray | None = None
        self._starts = True

    def convert(self, segment: AudioSegment) -> Iterator[AudioSegment]:
        self.is_new = False
        if self._resampler is None:
            yield segment
            return
        mixed = segment.samples if self._mix is None else self._mix @ segment.samples
        # Later segments follow on: what the resampler holds back moves their borders.
        yield from self._converted(
            self._resampler.process(mixed), segment if self._starts else None
        )
        self._starts = False

    def change(self, segment: AudioSegment) -> Iterator[AudioSegment]:
        """Go on with segments of another kind."""
        yield from self.finish()
        was, self.kind = self.kind, segment.kind
        self._resampler, self._mix, self._starts = None, None, True
        if segment.kind == self._base.kind:
            return
        self._add_note(
            f"changes from {_said(was)} to {_said(segment.kind)} midway; all of it is converted to "
            f"{_said(self._base.kind)}"
        )
        channels = len(self._base.samples)
        self._resampler = StreamResampler(segment.rate_hz, self._base.rate_hz, channels)
        if len(segment.samples) != channels:
            self._mix = mix_matrix(
                positions_of(segment.layout, len(segment.samples)),
                positions_of(self._base.layout, channels),
            )

    def silence(self, duration_s: float) -> Iterator[AudioSegment]:
        num_samples = round(duration_s * self._base.rate_hz)
        for block in silent_blocks(len(self._base.samples), num_samples):
            yield from self._converted(block, None)

    def finish(self) -> Iterator[AudioSegment]:
        if self._resampler is not None:
            yield from self._converted(self._resampler.finish(), None)

    def _converted(self, samples: np.ndarray, timed: AudioSegment | None) -> Iterator[AudioSegment]:
        if samples.shape[1]:
            yield self._base._replace(
                samples=samples, time_s=None if timed is None else timed.time_s
            )


def _said(kind: Kind) -> str:
    rate_hz, channels = kind
    return f"{rate_hz} Hz and {channels} channel{'s' if channels > 1 else ''}"
