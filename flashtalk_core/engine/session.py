"""The loop over chunks: exact in time, constant in memory, indifferent to what draws the frames.

Axis legend: f frames of one decoded group, H W pixels.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from ..config import ChunkConfig
from ..errors import InvalidInputError
from ..geometry import ChunkSpan, chunk_span, num_video_frames
from ..media.audio.info import SoundInfo
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


@dataclass(frozen=True)
class VideoLength:
    """Where a video ends: at a frame, or with a sound that may still grow."""

    end: int | SoundInfo
    frame_rate_hz: int

    def has_frame(self, index: int) -> bool:
        """Return whether the video has a frame; wait until that is known."""
        if isinstance(self.end, int):
            return index < self.end
        # ceil(rate_v * n / rate_s) > index if and only if n > index * rate_s / rate_v.
        return self.end.has_sample(index * self.end.rate_hz // self.frame_rate_hz)

    def num_frames_before(self, index: int) -> int:
        """Return how many frames the video has before ``index``; wait until that is known."""
        if self.has_frame(index - 1):
            return index
        if isinstance(self.end, int):
            return self.end
        total = self.end.total_samples
        assert total is not None, "a sound that lacks a sample has ended"
        return num_video_frames(total, self.end.rate_hz, self.frame_rate_hz)


def run_session(
    source: ChunkSource,
    end: int | SoundInfo,
    state: SessionState | None = None,
    on_state: Callable[[SessionState], None] | None = None,
) -> Iterator[Tensor]:
    """Generate a video chunk by chunk.

    Args:
        source: Draws the frames.
        end: Length of the video in frames, or the sound that it ends with, which may still grow.
            What the last chunk draws beyond the end is cut; what lies behind it is not drawn.
        state: Where to continue; ``None`` starts at the first chunk.
        on_state: Called with the state after each whole chunk; ``None`` to ignore it.

    Yields:
        Frames as they are decoded, ``(f, H, W, 3)`` uint8; in all as many as the video has,
        ``ceil(frame rate * samples / rate)`` of a sound.

    Raises:
        InvalidInputError: If ``state`` belongs to another session.
    """
    state = state or SessionState(fingerprint=source.fingerprint)
    if state.fingerprint != source.fingerprint:
        raise InvalidInputError(
            f"session state {state.fingerprint[:12]}: it was made with other settings than "
            f"{source.fingerprint[:12]}; use the same picture, sound and settings, or start anew"
        )
    length = VideoLength(end, source.chunk.frame_rate_hz)
    while length.has_frame((span := chunk_span(state.chunk_index, source.chunk)).shown.start):
        yield from cut_frames(frames := _Frames(source, span, state), length, span)
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


def cut_frames(groups: _Frames, length: VideoLength, span: ChunkSpan) -> Iterator[Tensor]:
    """Yield groups up to the end of the video; what lies behind it is not even decoded."""
    position = span.shown.start
    for group in groups:
        first, position = position, position + group.shape[0]
        yield group[: length.num_frames_before(position) - first]
        if not length.has_frame(min(position, span.shown.stop - 1)):
            return
