"""Audio of a render: measured once, then read as the windows of the audio encoder."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from ...errors import InvalidInputError, about, require
from ...log import printable_log
from .analysis_mix import ANALYSIS_RATE_HZ, AnalysisMix, AnalysisMixer
from .decoding.reader import AudioReader
from .first_pass import FirstPass, Level
from .info import SILENCE_PEAK, AudioInfo
from .loudness import TARGET_LUFS
from .marks import measured_blocks
from .notes import audio_notes, soundtrack_notes
from .source import MAX_TIME_S, MIN_DURATION_S, AudioArray, AudioSource

_log = printable_log(logging.getLogger(__name__))

_NOTED_S = 0.1
"""Least missing part of a requested duration that is reported."""


def probe_audio(
    source: str | Path | AudioSource,
    start_s: float = 0.0,
    duration_s: float | None = None,
    *,
    target_lufs: float = TARGET_LUFS,
) -> AudioInfo:
    """Read an audio source once, in constant memory, and measure it.

    Args:
        source: Audio file, a video with an audio track, or audio in memory.
        start_s: Start of the part to render, seconds.
        duration_s: Its length in seconds; ``None`` is up to the end.
        target_lufs: Loudness the analysis signal is brought to, -70 to 0.

    Returns:
        Exact length, loudness and peak.

    Raises:
        InvalidInputError: If there is no such file, no audio in it, no samples in the part, or
            a sample that is not a number or beyond any scale.
    """
    info = _measured(source, start_s, duration_s, target_lufs)
    for note in audio_notes(info):
        _log.warning("%s", note)
    return info


def _measured(
    source: str | Path | AudioSource,
    start_s: float,
    duration_s: float | None,
    target_lufs: float,
    *,
    may_be_shorter: bool = False,
) -> AudioInfo:
    """See :func:`probe_audio`; ``may_be_shorter`` than asked for, even over before the start."""
    check_part(start_s, duration_s)
    check_target(target_lufs)
    with AudioReader(source) as reader:
        start, limit = _part_samples(reader.rate_hz, start_s, duration_s)
        first = FirstPass(reader, start)
        for block in reader.blocks(start, limit):
            first.update(block)
        first.finish()
        if not first.num_samples and not (may_be_shorter and reader.num_read):
            raise _no_samples(reader, start_s)
    short = [] if may_be_shorter else _short_part(first, duration_s)
    info = AudioInfo(
        source=reader.source,
        rate_hz=reader.rate_hz,
        channels=reader.channels,
        layout=reader.layout,
        start_sample=start,
        num_samples=first.num_samples,
        limit_samples=limit,
        peak=first.peak,
        **_figures(first.level),
        target_lufs=target_lufs,
        missing_s=reader.missing_s if first.num_samples != limit else 0.0,
        mix_peak=first.level.peak,
        analysis_mix=first.analysis_mix,
        problems=(*reader.notes, *short),
        marks=first.marks.marks(),
    )
    if first.analysis_mix != AnalysisMix.downmix(reader.layout, reader.channels):
        info = replace(info, **_figures(_level(info)))
    return info


class AnalysisStream:
    """Mono audio at the analysis rate and loudness, read in windows that move forward.

    Memory holds one window and one decoded block, whatever the length of the audio.
    """

    @about("speakers")
    def __init__(self, info: AudioInfo, rate_hz: int = ANALYSIS_RATE_HZ) -> None:
        self._reader = AudioReader(info.source)
        self._gain = np.float32(info.gain)
        self._source = self._resampled(info, rate_hz)
        self._buffer = np.zeros(0, np.float32)
        self._first = 0
        self._last_start: int | None = None

    @about("speakers")
    def read(self, start_sample: int, stop_sample: int) -> NDArray[np.float32]:
        """Return the samples of ``[start_sample, stop_sample)``.

        Args:
            start_sample: First sample at the analysis rate; may be negative, and is never
                smaller than in the call before.
            stop_sample: Sample after the last; may lie behind the end.

        Returns:
            ``(stop_sample - start_sample,)`` float32; zeros outside the audio.
        """
        assert start_sample <= stop_sample, (start_sample, stop_sample)
        assert self._last_start is None or start_sample >= self._last_start, "windows go forward"
        self._last_start = start_sample
        self._drop_before(start_sample)
        while self._first + len(self._buffer) < stop_sample:
            more = next(self._source, None)
            if more is None:
                break
            self._buffer = np.concatenate([self._buffer, more])
            self._drop_before(start_sample)
        window = np.zeros(stop_sample - start_sample, np.float32)
        have = self._buffer[max(0, start_sample - self._first) : max(0, stop_sample - self._first)]
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

    def _resampled(self, info: AudioInfo, rate_hz: int) -> Iterator[NDArray[np.float32]]:
        if info.is_silent:
            return  # inaudible noise would move the lips: the model normalises
        mixer = AnalysisMixer(info.mix, info.rate_hz, rate_hz)
        for block in measured_blocks(self._reader, info):
            yield mixer.process(block) * self._gain
        yield mixer.finish() * self._gain

    def _drop_before(self, start_sample: int) -> None:
        surplus = min(start_sample - self._first, len(self._buffer))
        if surplus > 0:
            self._buffer = self._buffer[surplus:].copy()
            self._first += surplus


def _level(info: AudioInfo) -> Level:
    """Measure the analysis signal where it is not the usual downmix."""
    with AudioReader(info.source) as reader:
        mixer, level = AnalysisMixer(info.mix, info.rate_hz, ANALYSIS_RATE_HZ), Level()
        for block in measured_blocks(reader, info):
            level.update(mixer.process(block))
        level.update(mixer.finish())
    return level


def _figures(level: Level) -> dict[str, Any]:
    return {
        "loudness_lufs": level.meter.integrated_lufs(),
        "is_silent": level.peak < SILENCE_PEAK,
    }


def check_part(start_s: float, duration_s: float | None) -> None:
    """Raise :class:`InvalidInputError` unless audio may start and last so many seconds."""
    require(
        0 <= start_s <= MAX_TIME_S,
        f"audio start {start_s} s: use 0 or a later second, up to {MAX_TIME_S}",
        subject="sound_start",
    )
    require(
        duration_s is None or MIN_DURATION_S <= duration_s <= MAX_TIME_S,
        f"audio duration {duration_s} s: use more than 0 s, from {MIN_DURATION_S} to "
        f"{MAX_TIME_S}, or leave it out for all of the audio",
        subject="sound_duration",
    )


def check_target(target_lufs: float) -> None:
    """Raise :class:`InvalidInputError` unless speech can be brought to ``target_lufs``."""
    require(
        -70 <= target_lufs <= 0,
        f"audio loudness {target_lufs} LUFS: use -70 to 0, {TARGET_LUFS:g} is the default",
        subject="sound_loudness",
    )


def check_measured(
    info: AudioInfo, start_s: float, duration_s: float | None, *, target_lufs: float
) -> None:
    """Raise :class:`InvalidInputError` unless this is what :func:`probe_audio` would measure."""
    start, limit = _part_samples(info.rate_hz, start_s, duration_s)
    remedy = "measure it again, or ask for that"
    require(
        info.start_sample == start,
        f"sound start {start_s} s: {info.source} was measured from "
        f"{info.start_sample / info.rate_hz:g} s on; {remedy}",
        subject="sound_start",
    )
    measured = info.limit_samples
    until = "up to its end" if measured is None else f"for {measured / info.rate_hz:g} s"
    require(
        measured == limit,
        f"sound duration {'up to the end' if duration_s is None else f'{duration_s} s'}: "
        f"{info.source} was measured {until}; {remedy}",
        subject="sound_duration",
    )
    require(
        info.target_lufs == target_lufs,
        f"sound loudness {target_lufs} LUFS: {info.source} was measured for "
        f"{info.target_lufs:g}; {remedy}",
        subject="sound_loudness",
    )


def _part_samples(rate_hz: int, start_s: float, duration_s: float | None) -> tuple[int, int | None]:
    """Return the first sample of a part, and how many it has at most; ``None`` is all."""
    limit = None if duration_s is None else max(1, round(duration_s * rate_hz))
    return round(start_s * rate_hz), limit


def _short_part(first: FirstPass, duration_s: float | None) -> list[str]:
    found_s = first.num_samples / first.rate_hz
    if duration_s is None or duration_s - found_s < _NOTED_S:
        return []
    return [f"it ends {found_s:.3f} s after its start, {duration_s:g} s were asked for"]


def _no_samples(reader: AudioReader, start_s: float) -> InvalidInputError:
    if not reader.num_read:
        return InvalidInputError(
            f"audio {reader.source}: it holds 0 samples; record or export it again"
        )
    length_s = reader.num_read / reader.rate_hz
    return InvalidInputError(
        f"audio start {start_s} s: {reader.source} lasts {length_s:.3f} s; start earlier",
        subject="sound_start",
    )


def measure_soundtrack(
    source: str | AudioArray | AudioInfo, start_s: float, speech: AudioInfo
) -> AudioInfo:
    """Measure what is heard in the video instead of the speech, as far as it is heard.

    It may end earlier: silence follows, or is all of it.

    Args:
        source: A path, or audio in memory; one that was measured is measured again if it was for
            other speech, such as that of one speaker of two.
        start_s: Where the speech begins, seconds; it begins there, too.
        speech: As it was measured.

    Raises:
        InvalidInputError: If it cannot be read, or holds no samples.
    """
    assert speech.duration_s is not None, "the speech was measured"
    duration_s = max(speech.duration_s, MIN_DURATION_S)
    audio: str | Path | AudioSource
    if isinstance(source, AudioInfo):
        part = source.start_sample, source.limit_samples
        if part == _part_samples(source.rate_hz, start_s, duration_s):
            return source
        audio = source.source
    else:
        audio = source
    with about("soundtrack", instead_of="sound_start"), about("soundtrack", instead_of="speakers"):
        info = _measured(audio, start_s, duration_s, TARGET_LUFS, may_be_shorter=True)
    for note in soundtrack_notes(info):
        _log.warning("%s", note)
    return info
