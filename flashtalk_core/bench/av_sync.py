"""Length and sync of video and audio, driven by a stand-in for the model.

The loop over chunks and the writer are the real ones; only the frames are not generated.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch

from ..config.chunk import ChunkConfig
from ..engine.events import NO_EVENTS, RenderEvents
from ..engine.session import run_session
from ..engine.state import FrameGroup, SessionState
from ..geometry import ChunkSpan, num_video_frames
from ..media.audio.probe import probe_audio
from ..media.video.reading.measure import measure_video
from ..media.video.writer import Mp4Writer
from .signals import RATE_HZ, write_clicks

DURATIONS_S = (0.04, 0.5, 1.12, 1.13, 37.5)
LONG_S = 36_000.0
MAX_OFFSET_S = 0.01
"""Largest distance of a click in the video from the one in the audio."""

_GROUP_FRAMES = 4
_CLICK_MARGIN_S = 0.1


class PlainFrames:
    """A chunk source that generates plain grey frames, a group of four at a time."""

    fingerprint = "plain frames"

    def __init__(self, size_px: tuple[int, int] = (32, 32)) -> None:
        """Generate frames of ``size_px``, in chunks as the method has them."""
        self.size_px = size_px
        self.chunk = ChunkConfig()

    def generate(self, span: ChunkSpan, state: SessionState) -> Iterator[FrameGroup]:
        """Yield ``(4, H, W, 3)`` uint8 groups; see :class:`ChunkSource`."""
        after = SessionState(state.chunk_index + 1, None, state.fingerprint)
        for first in range(span.shown.start, span.shown.stop, _GROUP_FRAMES):
            stop = min(first + _GROUP_FRAMES, span.shown.stop)
            grey = (torch.arange(first, stop) % 8 * 30).to(torch.uint8)[:, None, None, None]
            frames = grey.expand(-1, *self.size_px, 3)
            yield FrameGroup(frames, after if stop == span.shown.stop else None)


@dataclass(frozen=True)
class SyncMeasure:
    """What was measured in one video."""

    duration_s: float
    num_samples: int
    expected_frames: int
    num_frames: int
    has_exact_times: bool
    """Whether frame ``k`` is shown at exactly ``k / 25`` seconds, for every ``k``."""
    num_samples_out: int
    click_offsets_ms: tuple[float, ...]
    """Of the clicks at start and end; NaN where none was found."""

    @property
    def passed(self) -> bool:
        """Whether all is as promised."""
        return (
            self.num_frames == self.expected_frames
            and self.has_exact_times
            and self.num_samples_out == self.num_samples
            and all(abs(offset) <= 1000 * MAX_OFFSET_S for offset in self.click_offsets_ms)
        )


def measure_sync(duration_s: float, folder: Path, events: RenderEvents = NO_EVENTS) -> SyncMeasure:
    """Write a video of ``duration_s`` with clicks in its audio and measure it.

    Args:
        duration_s: Length of the audio; one sample longer or shorter than a whole frame counts.
        folder: Where to write; what is written is removed again.
        events: Gets the frames once they are written.
    """
    source = PlainFrames()
    num_samples = round(duration_s * RATE_HZ)
    clicks = _click_samples(num_samples)
    audio_path, video_path = folder / "clicks.flac", folder / "clicks.mp4"
    write_clicks(audio_path, num_samples, clicks)
    audio = probe_audio(audio_path)
    with Mp4Writer(video_path, source.size_px, audio, preset="ultrafast") as writer:
        for frames in run_session(source, audio):
            writer.write(frames)
            events.frames(frames)
    found = measure_video(video_path, 25, [at / RATE_HZ for at in clicks])
    for path in (audio_path, video_path):
        path.unlink()
    return SyncMeasure(
        duration_s=duration_s,
        num_samples=num_samples,
        expected_frames=num_video_frames(num_samples, RATE_HZ, 25),
        num_frames=found.num_frames,
        has_exact_times=found.is_exact,
        num_samples_out=found.num_samples,
        click_offsets_ms=tuple(1000 * offset for offset in found.click_offsets_s),
    )


def _click_samples(num_samples: int) -> list[int]:
    """Return a click near the start and one near the end, or one where there is no room."""
    margin = round(_CLICK_MARGIN_S * RATE_HZ)
    if num_samples < 3 * margin:
        return [num_samples // 2]
    return [margin, num_samples - margin]
