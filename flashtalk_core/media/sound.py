"""Sound of a render: measured once, then read as the windows the audio encoder hears."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from ..config import require
from ..errors import InvalidInputError
from ..excerpt import excerpt
from ..log import printable_log
from .input_path import check_input
from .loudness import TARGET_LUFS, LoudnessMeter, loudness_gain
from .resampling import MonoResampler
from .sound_array import Block, SoundArray, SoundSource
from .sound_marks import SoundMarks, measured_blocks
from .sound_reader import SoundReader

_log = printable_log(logging.getLogger(__name__))

ANALYSIS_RATE_HZ = 16_000
"""Rate of the sound the audio encoder hears."""
SILENCE_PEAK = 1e-4
"""Sound that never exceeds this (-80 dBFS) is called silent."""
LOUD_PEAK = 2.0
"""Peaks above this (+6 dBFS) come from damage or a wrong scale and are warned about."""
MAX_PEAK = 1e10
"""Peaks above this, whose squares overflow later, are refused."""
MAX_TIME_S = 360_000
"""Latest start and longest duration that can be asked for: 100 hours."""
MIN_DURATION_S = 0.001
"""Shortest duration that can be asked for."""
LONG_SOUND_S = 12 * 3600
"""Longer sound is rendered, but warned about."""


@dataclass(frozen=True, kw_only=True)
class SoundInfo:
    """The part of a sound that is rendered, and what the first pass measured in it."""

    source: SoundSource
    rate_hz: int
    channels: int
    layout: str
    """FFmpeg's name of the channel layout; empty or ``N channels`` where the file has none."""
    start_sample: int
    """First sample of the part, at the sound's own rate."""
    num_samples: int
    """Samples of the part at the sound's own rate, without encoder delay and padding."""
    loudness_lufs: float | None
    """Integrated loudness of the mono analysis signal; ``None`` where it cannot be measured."""
    peak: float
    """Largest absolute sample of any channel; full scale is 1."""
    is_silent: bool
    """Whether the mono analysis signal stays below :data:`SILENCE_PEAK`."""
    target_lufs: float = TARGET_LUFS
    """Loudness the analysis signal is brought to."""
    missing_s: float = 0.0
    """Seconds that the header of the file states but that are not in it."""
    marks: tuple[int, ...] = ()
    """Checksums of the part, by which later passes know that they read the same."""

    def __repr__(self) -> str:
        name = self.source.name  # a path is long, an array larger still
        what = f"{self.duration_s:.2f} s at {self.rate_hz} Hz, {self.channels} channel(s)"
        return f"SoundInfo({excerpt(name)}, {what})"

    @property
    def duration_s(self) -> float:
        """Length in seconds."""
        return self.num_samples / self.rate_hz

    @property
    def gain(self) -> float:
        """Factor that brings the analysis signal to the target loudness."""
        return loudness_gain(self.loudness_lufs, self.target_lufs)

    @property
    def identity(self) -> str:
        """Text that tells this sound from others, and from a changed file of the same name.

        Raises:
            InvalidInputError: If its file is no longer there.
        """
        part = f"{self.start_sample} {self.num_samples} {self.target_lufs!r}"
        if isinstance(self.source, SoundArray):
            return f"array {self.source.digest} {part}"
        found = check_input(self.source, "sound").stat()
        return f"file {found.st_size} {found.st_mtime_ns} {part} {self.source.resolve()}"


def probe_sound(
    source: str | Path | SoundArray,
    start_s: float = 0.0,
    duration_s: float | None = None,
    *,
    target_lufs: float = TARGET_LUFS,
) -> SoundInfo:
    """Read a sound once, in constant memory, and measure it.

    Args:
        source: Sound file, a video with a sound track, or sound in memory.
        start_s: Start of the part to render, seconds.
        duration_s: Its length in seconds; ``None`` is up to the end.
        target_lufs: Loudness the analysis signal is brought to, -70 to 0.

    Returns:
        Exact length, loudness and peak.

    Raises:
        InvalidInputError: If there is no such file, no sound in it, no samples in the part, or
            a sample that is not a number or beyond any scale.
    """
    _check_part(start_s, duration_s)
    _check_target(target_lufs)
    with SoundReader(source) as reader:
        start = round(start_s * reader.rate_hz)
        limit = None if duration_s is None else max(1, round(duration_s * reader.rate_hz))
        measure = _Measure(reader, start)
        for block in reader.blocks(start, limit):
            measure.update(block)
        measure.finish()
        require(measure.num_samples > 0, _no_samples(reader, start_s))
        info = SoundInfo(
            source=reader.source,
            rate_hz=reader.rate_hz,
            channels=reader.channels,
            layout=reader.layout,
            start_sample=start,
            num_samples=measure.num_samples,
            loudness_lufs=measure.meter.integrated_lufs(),
            peak=measure.peak,
            is_silent=measure.mono_peak < SILENCE_PEAK,
            target_lufs=target_lufs,
            missing_s=reader.missing_s if measure.num_samples != limit else 0.0,
            marks=measure.marks.marks(),
        )
    for note in sound_notes(info):
        _log.warning("%s", note)
    return info


class AnalysisStream:
    """Mono sound at the analysis rate and loudness, read in windows that move forward.

    Memory holds one window and one decoded block, whatever the length of the sound.
    """

    def __init__(self, info: SoundInfo, rate_hz: int = ANALYSIS_RATE_HZ) -> None:
        self._reader = SoundReader(info.source)
        self._gain = np.float32(info.gain)
        self._source = self._resampled(info, rate_hz)
        self._kept = np.zeros(0, np.float32)
        self._first = 0
        self._last_start: int | None = None

    def read(self, start_sample: int, stop_sample: int) -> NDArray[np.float32]:
        """Return the samples of ``[start_sample, stop_sample)``.

        Args:
            start_sample: First sample at the analysis rate; may be negative, and is never
                smaller than in the call before.
            stop_sample: Sample after the last; may lie behind the end.

        Returns:
            ``(stop_sample - start_sample,)`` float32; zeros outside the sound.
        """
        assert start_sample <= stop_sample, (start_sample, stop_sample)
        assert self._last_start is None or start_sample >= self._last_start, "windows go forward"
        self._last_start = start_sample
        self._drop_before(start_sample)
        while self._first + len(self._kept) < stop_sample:
            more = next(self._source, None)
            if more is None:
                break
            self._kept = np.concatenate([self._kept, more])
            self._drop_before(start_sample)
        window = np.zeros(stop_sample - start_sample, np.float32)
        have = self._kept[max(0, start_sample - self._first) : max(0, stop_sample - self._first)]
        offset = max(0, self._first - start_sample)
        window[offset : offset + len(have)] = have
        return window

    def close(self) -> None:
        """Release the source."""
        self._reader.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _resampled(self, info: SoundInfo, rate_hz: int) -> Iterator[NDArray[np.float32]]:
        resampler = MonoResampler(info.rate_hz, rate_hz)
        for block in measured_blocks(self._reader, info):
            yield resampler.process(block) * self._gain
        yield resampler.finish() * self._gain

    def _drop_before(self, start_sample: int) -> None:
        surplus = min(start_sample - self._first, len(self._kept))
        if surplus > 0:
            self._kept = self._kept[surplus:].copy()
            self._first += surplus


class _Measure:
    """Running figures of the first pass."""

    def __init__(self, reader: SoundReader, start: int) -> None:
        self.meter = LoudnessMeter(ANALYSIS_RATE_HZ)
        self.marks = SoundMarks()
        self.num_samples = 0
        self.peak = 0.0
        self.mono_peak = 0.0
        self._reader = reader
        self._start = start
        self._resampler = MonoResampler(reader.rate_hz, ANALYSIS_RATE_HZ)

    def update(self, block: Block) -> None:
        if not np.isfinite(block).all():
            first = int(np.flatnonzero(~np.isfinite(block).all(axis=0))[0])
            at_s = (self._start + self.num_samples + first) / self._reader.rate_hz
            raise InvalidInputError(
                f"sound {self._reader.source}: a sample at {at_s:.3f} s is NaN or infinite, need "
                "finite numbers; export it again as 16-bit WAV"
            )
        self.num_samples += block.shape[1]
        self.marks.update(block)
        self.peak = max(self.peak, float(np.abs(block).max()))
        require(
            self.peak <= MAX_PEAK,
            f"sound {self._reader.source}: a sample is {self.peak:.3g} times full scale, the limit "
            f"is {MAX_PEAK:.0e}; export it again as 16-bit WAV",
        )
        self._hear(self._resampler.process(block))

    def finish(self) -> None:
        self._hear(self._resampler.finish())

    def _hear(self, mono: NDArray[np.float32]) -> None:
        if len(mono):
            self.mono_peak = max(self.mono_peak, float(np.abs(mono).max()))
            self.meter.update(mono)


def _check_part(start_s: float, duration_s: float | None) -> None:
    require(
        0 <= start_s <= MAX_TIME_S,
        f"sound start {start_s} s: use 0 or a later second, up to {MAX_TIME_S}",
    )
    require(
        duration_s is None or MIN_DURATION_S <= duration_s <= MAX_TIME_S,
        f"sound duration {duration_s} s: use more than 0 s, from {MIN_DURATION_S} to "
        f"{MAX_TIME_S}, or leave it out for the whole sound",
    )


def _check_target(target_lufs: float) -> None:
    require(
        -70 <= target_lufs <= 0,
        f"sound loudness {target_lufs} LUFS: use -70 to 0, {TARGET_LUFS:g} is the default",
    )


def _no_samples(reader: SoundReader, start_s: float) -> str:
    if not reader.num_read:
        return f"sound {reader.source}: it holds 0 samples; record or export it again"
    length_s = reader.num_read / reader.rate_hz
    return f"sound start {start_s} s: {reader.source} lasts {length_s:.3f} s; start earlier"


def sound_notes(info: SoundInfo) -> list[str]:
    """Return what should be known about a sound that can be rendered, a sentence each."""
    notes = []
    if info.missing_s:
        length_s = (info.start_sample + info.num_samples) / info.rate_hz
        notes.append(
            f"its header states {length_s + info.missing_s:.3f} s, but only {length_s:.3f} s are "
            "there; copy it again"
        )
    if info.is_silent and info.peak >= SILENCE_PEAK:
        notes.append(
            "its channels cancel each other out, so the mouth will stay closed; invert one channel"
        )
    elif info.is_silent:
        notes.append("it is silent, the mouth will stay closed")
    if info.peak > LOUD_PEAK:
        notes.append(
            f"its peak is {info.peak:.3g} times full scale and will distort; export it again"
        )
    if info.duration_s > LONG_SOUND_S:
        notes.append(f"{info.duration_s / 3600:.1f} hours long")
    return [f"sound {info.source}: {note}" for note in notes]
