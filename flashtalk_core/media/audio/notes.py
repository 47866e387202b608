"""What should be known about audio that can be rendered."""

from __future__ import annotations

from .info import SILENCE_PEAK, AudioInfo

_LOUD_PEAK = 2.0
"""Peaks above this (+6 dBFS) come from damage or a wrong scale."""
_CLIPPED_PEAK = 1.06
"""Peaks above this (+0.5 dBFS) are cut off; lower ones are left by lossy codecs."""
_LONG_AUDIO_S = 12 * 3600
_MEASURABLE_S = 0.4


def audio_notes(info: AudioInfo) -> list[str]:
    """Return what should be known about audio that can be rendered, a sentence each."""
    notes = [*info.problems, *_length_notes(info), *_mouth_notes(info), *_level_notes(info)]
    return [f"audio {info.source}: {note}" for note in notes]


def soundtrack_notes(info: AudioInfo) -> list[str]:
    """Return what should be known about what is heard instead of speech, a sentence each."""
    notes = [*info.problems, *_length_notes(info), *_peak_notes(info)]
    if not info.num_samples:
        start_s = info.start_sample / info.rate_hz
        notes.append(f"it ends before second {start_s:g}, so the video will be silent")
    elif info.peak < SILENCE_PEAK:
        notes.append("it is silent, and so will the video be")
    return [f"soundtrack {info.source}: {note}" for note in notes]


def _measured_s(info: AudioInfo) -> float:
    """Return how many seconds were measured: none of audio that had not ended."""
    return (info.num_samples or 0) / info.rate_hz


def _length_notes(info: AudioInfo) -> list[str]:
    notes, measured_s = [], _measured_s(info)
    if info.missing_s:
        length_s = (info.start_sample + (info.num_samples or 0)) / info.rate_hz
        notes.append(
            f"its header states {length_s + info.missing_s:.3f} s, but only {length_s:.3f} s are "
            "there; copy it again"
        )
    if measured_s > _LONG_AUDIO_S:
        notes.append(f"{measured_s / 3600:.1f} hours long")
    return notes


def _mouth_notes(info: AudioInfo) -> list[str]:
    """Return what the mouth does that may not be expected."""
    mix = info.mix
    if info.is_silent:
        if (mix.cuts_lows or mix.offset) and info.peak >= SILENCE_PEAK:
            return ["nothing but an offset or rumble is in it, the mouth will stay closed"]
        return ["it is silent, the mouth will stay closed"]
    notes = []
    if mix.lone_channel is not None:
        notes.append(
            "its channels cancel each other out, so the mouth follows channel "
            f"{mix.lone_channel + 1} alone; invert one channel"
        )
    if mix.offset or mix.cuts_lows:
        what = "rumble lower than a voice" if mix.cuts_lows else "an offset"
        notes.append(f"it has {what}, which the mouth does not follow; the video keeps it")
    return notes


def _peak_notes(info: AudioInfo) -> list[str]:
    if info.peak > _LOUD_PEAK:
        return [f"its peak is {info.peak:.3g} times full scale and will distort; export it again"]
    if info.peak > _CLIPPED_PEAK:
        return [
            f"its peak is {info.peak:.3g} times full scale, what is above 1 is cut off in the "
            "video; export it at a lower level"
        ]
    return []


def _level_notes(info: AudioInfo) -> list[str]:
    if notes := _peak_notes(info):
        return notes
    is_measurable = not info.is_silent and _measured_s(info) >= _MEASURABLE_S
    if info.loudness_lufs is None and is_measurable:
        return [
            f"too quiet to measure its loudness, its peak is {info.peak:.2g} of full scale; the "
            "model gets it as it is, export it at a higher level"
        ]
    return []
