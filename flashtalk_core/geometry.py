"""Pixel, latent, token and audio-frame arithmetic, all in integers.

Axis legend: F pixel frames, T latent frames, H W pixels, h w latent cells, L tokens.
"""

from __future__ import annotations

from dataclasses import dataclass

from .config.chunk import ChunkConfig
from .config.networks import DiTConfig
from .errors import require
from .excerpt import excerpt

SIZE_STEP_PX = 16
"""Height and width are multiples of this: VAE stride 8 times patch 2."""
MAX_SIZE_PX = 2048
"""Largest side that is accepted."""
TEMPORAL_STRIDE = 4
"""Pixel frames for each latent frame after the first."""
SPATIAL_STRIDE = 8
"""Pixels that a latent cell spans in height and in width."""


def num_latent_frames(num_frames: int) -> int:
    """Return latent frames T for ``num_frames`` F = 4n + 1 pixel frames."""
    return (num_frames - 1) // TEMPORAL_STRIDE + 1


def num_video_frames(num_samples: int, rate_hz: int, frame_rate_hz: int) -> int:
    """Return ``ceil(frame_rate * samples / rate)``, the length of the video in frames."""
    return -(-frame_rate_hz * num_samples // rate_hz)


def num_chunks(total_frames: int, chunk: ChunkConfig) -> int:
    """Return chunks needed to show ``total_frames`` frames."""
    return -(-total_frames // chunk.num_new_frames)


@dataclass(frozen=True)
class ChunkSpan:
    """Audio frames, video frames and audio window of chunk ``index``; all half-open."""

    index: int
    shown: range
    """Frames of the video this chunk shows, before the cut at the end."""
    audio: range
    """Audio frames the model is given; starts ``num_motion_frames`` before ``shown``."""
    window: range
    """Audio frames analysed around them (8 s with real context); may lie outside the file."""

    @property
    def audio_in_window(self) -> range:
        """``audio`` as indices into ``window``."""
        start = self.audio.start - self.window.start
        return range(start, start + len(self.audio))


def chunk_span(index: int, chunk: ChunkConfig) -> ChunkSpan:
    """Return the spans of chunk ``index``.

    Chunk k shows frames [28k, 28k+28), is given audio frames [28k-5, 28k+28) and analyses
    [28k-89, 28k+111) with the default configuration.
    """
    return span_at(index * chunk.num_new_frames, index, chunk)


def span_at(first: int, index: int, chunk: ChunkConfig) -> ChunkSpan:
    """Return the spans of chunk ``index`` that shows frames from ``first`` on.

    A live session counts frames, since its chunks differ in length and begin anywhere.
    """
    shown = range(first, first + chunk.num_new_frames)
    audio = range(first - chunk.num_motion_frames, shown.stop)
    start = first - chunk.audio_lookback_frames
    return ChunkSpan(index, shown, audio, range(start, start + chunk.audio_context_frames))


def check_size(size_px: tuple[int, int]) -> None:
    """Raise :class:`InvalidInputError` unless height and width can be rendered."""
    shown = "x".join(excerpt(side, 20) for side in size_px)
    nearest = "x".join(str(_nearest(side)) for side in size_px)
    for name, value in zip(("height", "width"), size_px, strict=True):
        require(
            value % SIZE_STEP_PX == 0 and SIZE_STEP_PX * 2 <= value <= MAX_SIZE_PX,
            f"size {shown}: {name} {excerpt(value, 20)} must be a multiple of {SIZE_STEP_PX} from "
            f"{SIZE_STEP_PX * 2} to {MAX_SIZE_PX}; try {nearest}",
            subject="size",
        )


def _nearest(value: int) -> int:
    within = max(SIZE_STEP_PX * 2, min(MAX_SIZE_PX, value))
    return round(within / SIZE_STEP_PX) * SIZE_STEP_PX


def token_grid(latent_shape: tuple[int, int, int], config: DiTConfig) -> tuple[int, int, int]:
    """Return tokens along (T, h, w) for a latent of shape ``latent_shape``."""
    frames, height, width = latent_shape
    patch = config.patch_size
    return frames // patch[0], height // patch[1], width // patch[2]
