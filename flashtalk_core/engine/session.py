"""The loop over chunks: exact in time, constant in memory, indifferent to what draws the frames.

Axis legend: f frames of one decoded group, H W pixels.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from typing import Protocol

from torch import Tensor

from ..config import ChunkConfig
from ..errors import InvalidInputError
from ..geometry import ChunkSpan, chunk_span, num_chunks
from .state import SessionState

ChunkFrames = Generator[Tensor, None, SessionState]


class ChunkSource(Protocol):
    """Draws the frames of one chunk after the other."""

    @property
    def chunk(self) -> ChunkConfig:
        """Arithmetic of a chunk."""
        ...

    @property
    def fingerprint(self) -> str:
        """Hash of everything that decides the picture; a state goes on under the same only."""
        ...

    def generate(self, span: ChunkSpan, state: SessionState) -> ChunkFrames:
        """Yield the chunk's new frames, ``(f, H, W, 3)`` uint8, and return the next state."""
        ...


def run_session(
    source: ChunkSource,
    total_frames: int,
    state: SessionState | None = None,
    on_state: Callable[[SessionState], None] | None = None,
) -> Iterator[Tensor]:
    """Generate a video chunk by chunk.

    Args:
        source: Draws the frames.
        total_frames: Length of the video; what the last chunk draws beyond it is cut.
        state: Where to continue; ``None`` starts at the first chunk.
        on_state: Called with the state after each whole chunk; ``None`` to ignore it.

    Yields:
        Frames as they are decoded, ``(f, H, W, 3)`` uint8, ``total_frames`` in all.

    Raises:
        InvalidInputError: If ``state`` belongs to another session.
    """
    state = state or SessionState(fingerprint=source.fingerprint)
    if state.fingerprint != source.fingerprint:
        raise InvalidInputError(
            f"session state {state.fingerprint[:12]}: it was made with other settings than "
            f"{source.fingerprint[:12]}; use the same picture, sound and settings, or start anew"
        )
    while state.chunk_index < num_chunks(total_frames, source.chunk):
        span = chunk_span(state.chunk_index, source.chunk)
        yield from cut_frames(frames := _Frames(source, span, state), total_frames, span)
        if frames.next_state is None:
            return
        state = frames.next_state
        if on_state is not None:
            on_state(state)


class _Frames:
    """Frames of a chunk, and the state behind them once they have run out."""

    def __init__(self, source: ChunkSource, span: ChunkSpan, state: SessionState) -> None:
        self._source, self._span, self._state = source, span, state
        self.next_state: SessionState | None = None

    def __iter__(self) -> Iterator[Tensor]:
        self.next_state = yield from self._source.generate(self._span, self._state)


def cut_frames(groups: _Frames, total_frames: int, span: ChunkSpan) -> Iterator[Tensor]:
    """Yield groups up to the end of the video; what lies behind it is not even decoded."""
    left = total_frames - span.shown.start
    for group in groups:
        yield group[:left]
        left -= group.shape[0]
        if left <= 0 and span.shown.stop > total_frames:
            return
