"""Sound whose rate or channels change midway, brought to one rate and one layout.

Axis legend: C channels, n samples.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain

import numpy as np

from ..channel_mix import mix_matrix, positions_of
from ..resampling import StreamResampler
from .blocks import silent_blocks
from .pieces import DAMAGED, Piece, Tell

_LEAST_RUN_S = 0.2
"""Shorter runs of another kind are damage: single frames of something else, put between."""

_MOST_HEAD_S = 10
"""Most that is read, and kept in memory, to find a kind that lasts."""

Kind = tuple[int, int]


def one_kind(pieces: Iterator[Piece], tell: Tell, *, is_timed: bool) -> Iterator[Piece]:
    """Yield all pieces at the rate and with the channels of the first that last.

    A few frames of another kind are left out; in sound that is only counted, silence of their
    length takes their place. What goes on differently is resampled and mixed.

    Args:
        pieces: As decoded.
        tell: Is told of damage and of changes.
        is_timed: Whether later pieces say themselves when they sound.
    """
    head, base = _first_that_lasts(pieces)
    if base is None:
        return
    converter = _Converter(base, tell)
    run: list[Piece] = []  # of another kind, which may be a real change
    lost_s = 0.0  # in shorter ones
    for piece in chain(head, pieces):
        if run and piece.kind != run[-1].kind:
            lost_s += _last_run_s(run)
            run = []
        is_back = piece.kind in (converter.kind, base.kind)
        run.append(piece)
        if not (converter.is_new or is_back or _last_run_s(run) >= _LEAST_RUN_S):
            continue
        if piece.kind != converter.kind:
            yield from converter.change(piece)
        if lost_s:
            tell(DAMAGED)
            if not is_timed:
                yield from converter.silence(lost_s)
        for each in run:
            yield from converter.convert(each)
        run, lost_s = [], 0.0
    if run or lost_s:
        tell(DAMAGED)
    yield from converter.finish()


def _first_that_lasts(pieces: Iterator[Piece]) -> tuple[list[Piece], Piece | None]:
    """Return what was read, and a piece of the kind that is kept."""
    head: list[Piece] = []
    length_s = 0.0
    for piece in pieces:
        head.append(piece)
        length_s += piece.duration_s
        if _last_run_s(head) >= _LEAST_RUN_S:
            return head, piece
        if length_s >= _MOST_HEAD_S:
            break
    lengths: dict[Kind, float] = {}
    for piece in head:
        lengths[piece.kind] = lengths.get(piece.kind, 0.0) + piece.duration_s
    longest = max(lengths, key=lambda kind: lengths[kind], default=None)
    return head, next((piece for piece in head if piece.kind == longest), None)


def _last_run_s(pieces: list[Piece]) -> float:
    """Return how long the last kind has lasted."""
    length_s = 0.0
    for piece in reversed(pieces):
        if piece.kind != pieces[-1].kind:
            break
        length_s += piece.duration_s
    return length_s


class _Converter:
    """Brings one kind after the other to the one that is kept."""

    def __init__(self, base: Piece, tell: Tell) -> None:
        self.is_new = True
        """Whether nothing was read yet: what a sound begins with is no damage."""
        self.kind: Kind = base.kind
        self._base = base
        self._tell = tell
        self._resampler: StreamResampler | None = None
        self._mix: np.ndarray | None = None
        self._starts = True

    def convert(self, piece: Piece) -> Iterator[Piece]:
        self.is_new = False
        if self._resampler is None:
            yield piece
            return
        mixed = piece.samples if self._mix is None else self._mix @ piece.samples
        # Later pieces follow on: what the resampler holds back moves their borders.
        yield from self._kept(self._resampler.process(mixed), piece if self._starts else None)
        self._starts = False

    def change(self, piece: Piece) -> Iterator[Piece]:
        """Go on with pieces of another kind."""
        yield from self.finish()
        was, self.kind = self.kind, piece.kind
        self._resampler, self._mix, self._starts = None, None, True
        if piece.kind == self._base.kind:
            return
        self._tell(
            f"changes from {_said(was)} to {_said(piece.kind)} midway; all of it is brought to "
            f"{_said(self._base.kind)}"
        )
        channels = len(self._base.samples)
        self._resampler = StreamResampler(piece.rate_hz, self._base.rate_hz, channels)
        if len(piece.samples) != channels:
            self._mix = mix_matrix(
                positions_of(piece.layout, len(piece.samples)),
                positions_of(self._base.layout, channels),
            )

    def silence(self, duration_s: float) -> Iterator[Piece]:
        num_samples = round(duration_s * self._base.rate_hz)
        for block in silent_blocks(len(self._base.samples), num_samples):
            yield from self._kept(block, None)

    def finish(self) -> Iterator[Piece]:
        if self._resampler is not None:
            yield from self._kept(self._resampler.finish(), None)

    def _kept(self, samples: np.ndarray, timed: Piece | None) -> Iterator[Piece]:
        if samples.shape[1]:
            yield self._base._replace(
                samples=samples, time_s=None if timed is None else timed.time_s
            )


def _said(kind: Kind) -> str:
    rate_hz, channels = kind
    return f"{rate_hz} Hz and {channels} channel{'s' if channels > 1 else ''}"
