"""A day of video at simulated speed: everything but the networks is the real thing."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from ...config.chunk import ChunkConfig
from ...config.sampling import SamplingConfig
from ...engine.events import EventHandlers
from ...engine.plan import PlannedSpeaker, RenderPlan
from ...engine.request import AvatarRequest
from ...engine.spec import RenderSpec
from ...engine.state import SessionState
from ...geometry import num_video_frames
from ...jobs.job import Job, JobOptions
from ...media.audio.info import AudioInfo
from ...media.audio.probe import probe_audio
from ...media.video.reading.measure import measure_video
from ...placement.place import Placement
from ...weights.load import open_avatar
from .readings import Reading, Slopes, find_slopes, read_process
from .stand_in import CheapEngine, GeneratedSound

SIZE_PX = (32, 32)
CHUNK = ChunkConfig()
_READINGS = 200
_HOUR_S = 3600
_CRF = 30


class _Stopped(Exception):
    """Ends a part on purpose."""


@dataclass(frozen=True)
class DayResult:
    """What was found of one long video."""

    hours: float
    is_growing: bool
    """Whether the length of the audio was unknown until its end."""
    took_s: float
    num_parts: int
    resume_s: float
    """From the start of the last part to its first frame; 0 if there was one part."""
    num_frames: int
    expected_frames: int
    is_exact: bool
    """Whether frame ``k`` is shown at exactly ``k / 25`` seconds, for every ``k``."""
    num_samples: int
    expected_samples: int
    end_offset_ms: float
    """How much later than it should be the click before the end is heard."""
    last_tick: int
    """Of the audio, on the clock of the file; beyond 2^31 from 12.4 hours at 48 kHz on."""
    file_mb: float
    disk_mb_per_hour: float
    """Growth of the partial file."""
    state_kb: float
    num_log_lines: int
    slopes: Slopes
    """Per hour of video."""

    @property
    def passed(self) -> bool:
        """Whether all is exact, the end in time to the frame, and the process steady."""
        return (
            self.num_frames == self.expected_frames
            and self.is_exact
            and self.num_samples == self.expected_samples
            and abs(self.end_offset_ms) <= 1000 / CHUNK.frame_rate_hz
            and self.slopes.is_steady
        )


class _LogCounter(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.count = 0

    def emit(self, record: logging.LogRecord) -> None:
        del record
        self.count += 1


def run_day(
    folder: Path,
    hours: float,
    rate_hz: int,
    num_parts: int = 1,
    *,
    is_growing: bool = False,
    report: Callable[[int, int], object] = lambda _done, _total: None,
) -> DayResult:
    """Render hours of video with a stand-in for the networks, and measure it.

    Args:
        folder: Where to write; what is written is removed again.
        hours: Length of the video.
        rate_hz: Of its audio.
        num_parts: Runs: all but the last are interrupted, each after an equal share.
        is_growing: Whether the length is unknown until the end. Such a render is not resumed.
        report: Called with frames done and all frames, now and then.
    """
    assert num_parts == 1 or not is_growing, "audio without an identity is not continued"
    num_samples = round(hours * _HOUR_S * rate_hz)
    sound = GeneratedSound(num_samples, rate_hz, is_growing=is_growing)
    info = AudioInfo.growing(sound) if is_growing else probe_audio(sound)
    plan = _plan(info)
    video = folder / "day.mp4"
    total = num_video_frames(num_samples, rate_hz, CHUNK.frame_rate_hz)
    counter = _LogCounter()
    logger = logging.getLogger(__name__.partition(".")[0])
    logger.addHandler(counter)
    watch = _Watch(total, report)
    start_s = time.monotonic()
    try:
        for part in range(1, num_parts + 1):
            watch.begin(total if part == num_parts else total * part // num_parts)
            with suppress(_Stopped):
                _job(plan, video).render(CheapEngine(), watch.events(video))
    finally:
        logger.removeHandler(counter)
    took_s = time.monotonic() - start_s
    found = measure_video(video, CHUNK.frame_rate_hz, [sound.click_sample / rate_hz])
    size = video.stat().st_size
    video.unlink()
    return DayResult(
        hours=hours,
        is_growing=is_growing,
        took_s=took_s,
        num_parts=num_parts,
        resume_s=watch.resume_s if num_parts > 1 else 0.0,
        num_frames=found.num_frames,
        expected_frames=total,
        is_exact=found.is_exact,
        num_samples=found.num_samples,
        expected_samples=num_samples,
        end_offset_ms=1000 * found.click_offsets_s[0],
        last_tick=found.num_samples,
        file_mb=size / 1e6,
        disk_mb_per_hour=watch.partial_bytes / 1e6 / hours,
        state_kb=watch.state_bytes / 1e3,
        num_log_lines=counter.count,
        slopes=find_slopes(watch.readings, _HOUR_S),
    )


class _Watch:
    """Reads the process and the files while a render runs, and stops it at a frame."""

    def __init__(self, total: int, report: Callable[[int, int], object]) -> None:
        self.readings: list[Reading] = []
        self.partial_bytes = self.state_bytes = 0
        self.resume_s = 0.0
        self._total, self._report = total, report
        self._done = self._stop = 0
        self._next = 0.0
        self._is_first = True
        self._start_s = 0.0

    def begin(self, stop: int) -> None:
        """Begin a part that ends at a frame."""
        self._stop, self._is_first, self._start_s = stop, True, time.monotonic()

    def events(self, video: Path) -> EventHandlers:
        """Return what is called in mid-run."""

        def state(found: SessionState) -> None:
            if self._is_first:
                self.resume_s, self._is_first = time.monotonic() - self._start_s, False
            self._done = found.chunk_index * CHUNK.num_new_frames
            if self._done >= self._next:
                self._read(video)
            if self._done >= self._stop < self._total:
                raise _Stopped

        return EventHandlers(state=state)

    def _read(self, video: Path) -> None:
        self._next = self._done + self._total / _READINGS
        self.readings.append(read_process(self._done / CHUNK.frame_rate_hz))
        self.partial_bytes = video.with_suffix(".partial.mp4").stat().st_size
        state = video.with_suffix(".partial.state")
        self.state_bytes = state.stat().st_size if state.exists() else 0
        self._report(self._done, self._total)


def _plan(info: AudioInfo) -> RenderPlan:
    """Return a plan of which only the size and the audio are used."""
    import torch

    request = AvatarRequest(
        image=Image.new("RGB", SIZE_PX),
        prompt="a person talks",
        size_px=SIZE_PX,
        sampling=SamplingConfig(steps=1),
    )
    return RenderPlan(
        checkpoint=open_avatar("tiny"),
        request=request,
        speakers=(PlannedSpeaker(info),),
        placement=Placement(torch.device("cpu"), torch.float32),
    )


def _job(plan: RenderPlan, video: Path) -> Job:
    return Job(plan, RenderSpec(), video, JobOptions(crf=_CRF, metadata={}))
