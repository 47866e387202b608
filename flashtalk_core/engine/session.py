"""The loop over chunks: exact in time, constant in memory, independent of the frame generator.

Axis legend: f frames of one decoded group, H W pixels.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from torch import Tensor

from ..errors import InvalidInputError
from ..geometry import chunk_span, num_video_frames
from ..media.audio.info import AudioInfo
from .events import NO_EVENTS, RenderEvents
from .state import ChunkSource, SessionState


@dataclass(frozen=True)
class VideoLength:
    """End of a video: a frame, or that of audio that may still grow."""

    end: int | AudioInfo
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
        assert total is not None, "audio that lacks a sample has ended"
        return num_video_frames(total, self.end.rate_hz, self.frame_rate_hz)


def run_session(
    source: ChunkSource,
    end: int | AudioInfo,
    state: SessionState | None = None,
    events: RenderEvents = NO_EVENTS,
) -> Iterator[Tensor]:
    """Generate a video chunk by chunk.

    Args:
        source: Generates the frames.
        end: Length of the video in frames, or the audio that it ends with, which may still grow.
            Frames of the last chunk beyond the end are cut; later ones are not generated.
        state: Where to continue; ``None`` starts at the first chunk.
        events: Gets the state after each whole chunk; may raise to stop.

    Yields:
        Frames as they are decoded, ``(f, H, W, 3)`` uint8; in all as many as the video has,
        ``ceil(frame rate * samples / rate)`` of an audio track.

    Raises:
        InvalidInputError: If ``state`` belongs to another session.
    """
    state = state or SessionState(fingerprint=source.fingerprint)
    if state.fingerprint != source.fingerprint:
        raise InvalidInputError(
            f"session state {state.fingerprint[:12]}: it was made with other settings than "
            f"{source.fingerprint[:12]}; use the same image, audio and settings, or start again"
        )
    length = VideoLength(end, source.chunk.frame_rate_hz)
    while length.has_frame((span := chunk_span(state.chunk_index, source.chunk)).shown.start):
        position, next_state = span.shown.start, None
        for group in source.generate(span, state):
            first, position = position, position + group.frames.shape[0]
            yield group.frames[: length.num_frames_before(position) - first]
            if not length.has_frame(min(position, span.shown.stop - 1)):
                return  # frames after the end are not decoded
            next_state = group.state
        assert next_state is not None, "a whole chunk ends with its state"
        state = next_state
        events.state(state)
