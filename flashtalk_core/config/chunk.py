"""Arithmetic of one chunk."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from ..errors import require
from ..limits import Within


def check_num_frames(num_frames: int) -> None:
    """Raise :class:`InvalidInputError` unless a chunk of any model can have ``num_frames``."""
    require(
        num_frames % 4 == 1 and num_frames >= 5,
        f"chunk frames {num_frames}: need 4n+1 and at least 5, for example 33",
        subject="chunk_frames",
    )


def check_num_motion_frames(num_motion_frames: int, num_frames: int) -> None:
    """Raise :class:`InvalidInputError` unless these motion frames fit a chunk's frames."""
    require(
        num_motion_frames % 4 == 1 and 1 <= num_motion_frames < num_frames,
        f"motion frames {num_motion_frames}: need 1, 5, 9 ... and fewer than the "
        f"{num_frames} frames of a chunk; use {max(1, num_frames - 4)} or less, or longer chunks",
        subject="motion_frames",
    )


@dataclass(frozen=True, kw_only=True)
class ChunkConfig:
    """Arithmetic of one chunk. Defaults are the authors' (``infer_params.yaml`` @ 688982e)."""

    num_frames: Annotated[int, Within(5, 1001)] = 33
    """Frames a chunk generates, motion frames included; ``4 * n + 1``."""
    num_motion_frames: int = 5
    """Leading frames repeated from the chunk before; ``4 * n + 1``."""
    frame_rate_hz: Annotated[int, Within(1, 120)] = 25
    """Frames a second of video and of audio features."""
    sample_rate_hz: Annotated[int, Within(1_000, 192_000)] = 16_000
    """Rate of the analysed audio."""
    audio_context_frames: Annotated[int, Within(1, 10_000)] = 200
    """Length of the analysed audio window in video frames (8 s)."""
    audio_lookback_frames: Annotated[int, Within(0, 10_000)] = 89
    """Video frames of the window before the first shown frame of the chunk."""

    def __post_init__(self) -> None:
        check_num_frames(self.num_frames)
        check_num_motion_frames(self.num_motion_frames, self.num_frames)
        require(
            self.sample_rate_hz % self.frame_rate_hz == 0,
            f"frame rate {self.frame_rate_hz}: {self.sample_rate_hz} samples a second are no "
            "multiple of it; use 25",
        )
        require(
            self.num_motion_frames <= self.audio_lookback_frames
            and self.num_new_frames <= self.audio_context_frames - self.audio_lookback_frames,
            f"chunk frames {self.num_frames}: the audio of a chunk must lie in its audio window of "
            f"{self.audio_context_frames} frames; use at most "
            f"{self.audio_context_frames - self.audio_lookback_frames} new frames",
            subject="chunk_frames",
        )

    @property
    def num_new_frames(self) -> int:
        """Frames a chunk adds to the video."""
        return self.num_frames - self.num_motion_frames

    @property
    def samples_per_frame(self) -> int:
        """Analysed samples for each video frame."""
        return self.sample_rate_hz // self.frame_rate_hz
