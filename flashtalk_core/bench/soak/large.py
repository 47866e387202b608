"""A file of more than 4 GiB: frames of noise, written, finished and read again."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ...config.chunk import ChunkConfig
from ...engine.session import run_session
from ...geometry import num_video_frames
from ...media.audio.probe import probe_audio
from ...media.video.reading.measure import measure_video
from ...media.video.writer import Mp4Writer
from .readings import Slopes, find_slopes, read_process
from .stand_in import CheapFrames, GeneratedSound

SIZE_PX = (768, 768)
_RATE_HZ = 48_000
CHUNK = ChunkConfig()


@dataclass(frozen=True)
class LargeResult:
    """What was found of one large video."""

    file_bytes: int
    took_s: float
    finishing_s: float
    """Of it, to make the finished file from the partial one."""
    num_frames: int
    expected_frames: int
    is_exact: bool
    end_offset_ms: float
    slopes: Slopes
    """Per minute of video."""

    @property
    def passed(self) -> bool:
        """Whether the file is past 4 GiB and exact to its end, and the process steady."""
        return (
            self.file_bytes > 1 << 32
            and self.num_frames == self.expected_frames
            and self.is_exact
            and abs(self.end_offset_ms) <= 1000 / CHUNK.frame_rate_hz
            and self.slopes.is_steady
        )


def run_large(
    folder: Path,
    duration_s: float,
    report: Callable[[int, int], object] = lambda _done, _total: None,
) -> LargeResult:
    """Write noise, which takes about 21 MB a second of video, and measure the file.

    Args:
        folder: Where to write; what is written is removed again.
        duration_s: Length of the video.
        report: Called with frames done and all frames, after each chunk.
    """
    sound = GeneratedSound(round(duration_s * _RATE_HZ), _RATE_HZ)
    audio, video = probe_audio(sound), folder / "large.mp4"
    total = num_video_frames(round(duration_s * _RATE_HZ), _RATE_HZ, CHUNK.frame_rate_hz)
    source = CheapFrames(SIZE_PX, None, "noise", is_noise=True)
    readings, done = [], 0
    start_s = time.monotonic()
    with Mp4Writer(video, SIZE_PX, audio, crf=0, preset="ultrafast") as writer:
        for frames in run_session(source, audio):
            writer.write(frames)
            done += len(frames)
            readings.append(read_process(done / CHUNK.frame_rate_hz))
            report(done, total)
        end_s = time.monotonic()
    took_s = time.monotonic() - start_s
    found = measure_video(video, CHUNK.frame_rate_hz, [sound.click_sample / _RATE_HZ])
    size = video.stat().st_size
    video.unlink()
    return LargeResult(
        file_bytes=size,
        took_s=took_s,
        finishing_s=took_s - (end_s - start_s),
        num_frames=found.num_frames,
        expected_frames=total,
        is_exact=found.is_exact,
        end_offset_ms=1000 * found.click_offsets_s[0],
        slopes=find_slopes(readings, 60),
    )
