"""Making of the speech corpus: many voices, pauses, and a mouth for every frame."""

from __future__ import annotations

import logging
import math
import multiprocessing
import os
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .corpus_file import (
    SAMPLES_PER_FRAME,
    Corpus,
    Segment,
    join_corpora,
    pack_corpus,
    save_corpus,
)
from .script import Script
from .speech import SAMPLE_RATE_HZ, Synthesiser, Voice, resample
from .visemes import PAUSE, Span, class_track, mouth_track

_log = logging.getLogger(__name__)

SHARD_MIN = 40.0
"""Longest stretch made in one process."""
HELD_OUT_SHARE = 1 / 7
"""Share of the first shard that is never trained on; there is nothing held out in the others."""
_SPEECH_RMS = 0.08
"""Level of the loud parts of a segment, the same for every voice."""
_PEAK = 0.95
_NOISE_SEGMENTS = 0.06
"""Share of segments without speech."""
_HELD_OUT_S = (4.0, 10.0)


def make_corpus(out_path: Path, minutes: float = SHARD_MIN, seed: int = 0) -> None:
    """Synthesise a corpus and write it to one file.

    Args:
        out_path: File to write, safetensors; a minute takes about a megabyte.
        minutes: Length in all. The first :data:`SHARD_MIN` are the same in every longer corpus,
            and so is what is held out.
        seed: The same seed gives the same corpus.

    Raises:
        FlashTalkError: espeak-ng is not installed.
    """
    count = math.ceil(minutes / SHARD_MIN)
    lengths = [min(SHARD_MIN, minutes - index * SHARD_MIN) for index in range(count)]
    # The library remembers what it has spoken: a process of its own for every shard.
    with ProcessPoolExecutor(
        min(count, os.cpu_count() or 1),
        mp_context=multiprocessing.get_context("spawn"),
        max_tasks_per_child=1,
    ) as pool:
        shards = list(pool.map(make_shard, lengths, range(count), [seed] * count))
    corpus = join_corpora(shards)
    save_corpus(corpus, out_path)
    _log.info("%d segments in %s", len(corpus), out_path)


def make_shard(minutes: float, index: int, seed: int) -> Corpus:
    """Synthesise one shard; the first one holds the held-out part.

    Args:
        minutes: Its length.
        index: Which one; those after the first speak invented words as well.
        seed: Of the corpus.
    """
    synthesiser = Synthesiser()
    if index:
        rng = np.random.default_rng((seed, index))
        return pack_corpus(_train_part(synthesiser, rng, minutes * 60, invents=True))
    parts = np.random.default_rng(seed).spawn(2)
    segments = _train_part(synthesiser, parts[0], minutes * 60 * (1 - HELD_OUT_SHARE))
    segments += _held_out_part(synthesiser, parts[1], minutes * 60 * HELD_OUT_SHARE)
    return pack_corpus(segments)


def _train_part(
    synthesiser: Synthesiser, rng: np.random.Generator, duration_s: float, invents: bool = False
) -> list[Segment]:
    script = Script(rng, held_out=False, invents=invents)
    segments: list[Segment] = []
    while _length_s(segments) < duration_s:
        if rng.random() < _NOISE_SEGMENTS:
            segments.append(silent_segment(rng, rng.uniform(6.0, 14.0), held_out=False))
            continue
        voice = script.voice()
        timeline = _Timeline(rng.uniform(0.1, 2.5))
        until_s = rng.uniform(12.0, 26.0)
        while timeline.length_s < until_s:
            timeline.say(synthesiser, script.text(voice), voice)
            long = rng.random() < 0.12
            timeline.pause(rng.uniform(2.0, 5.0) if long else rng.uniform(0.05, 1.3))
        segments.append(timeline.segment(rng, voice.name, held_out=False))
    return segments


def _held_out_part(
    synthesiser: Synthesiser, rng: np.random.Generator, duration_s: float
) -> list[Segment]:
    """Return single utterances of 4 to 10 s, and a little silence."""
    script = Script(rng, held_out=True)
    segments = [silent_segment(rng, 10.0, held_out=True) for _ in range(2)]
    while _length_s(segments) < duration_s:
        voice = script.voice()
        timeline = _Timeline(rng.uniform(0.0, 0.8))
        timeline.say(synthesiser, script.text(voice), voice)
        while timeline.length_s < _HELD_OUT_S[0]:
            timeline.pause(rng.uniform(0.3, 1.6))
            timeline.say(synthesiser, script.text(voice), voice)
        timeline.pause(rng.uniform(0.2, 0.8))
        if timeline.length_s <= _HELD_OUT_S[1]:
            segments.append(timeline.segment(rng, voice.name, held_out=True))
    return segments


def _length_s(segments: list[Segment]) -> float:
    return sum(len(segment.samples) for segment in segments) / SAMPLE_RATE_HZ


class _Timeline:
    """Audio and phonemes of a segment while it grows."""

    def __init__(self, lead_s: float) -> None:
        self.audio_inputs: list[NDArray[np.float32]] = []
        self.spans: list[Span] = []
        self.num_samples = 0
        self.pause(lead_s)

    @property
    def length_s(self) -> float:
        return self.num_samples / SAMPLE_RATE_HZ

    def pause(self, duration_s: float) -> None:
        end_s = self.length_s + duration_s
        self.spans.append(Span(PAUSE, self.length_s, end_s))
        self._append(np.zeros(round(duration_s * SAMPLE_RATE_HZ), np.float32))

    def say(self, synthesiser: Synthesiser, text: str, voice: Voice) -> None:
        speech = synthesiser.say(text, voice)
        offset = self.length_s
        self.spans += [Span(s, offset + a, offset + b) for s, a, b in speech.spans]
        self._append(resample(speech.samples, speech.rate_hz, SAMPLE_RATE_HZ))

    def _append(self, audio: NDArray[np.float32]) -> None:
        self.audio_inputs.append(audio)
        self.num_samples += len(audio)

    def segment(self, rng: np.random.Generator, voice: str, held_out: bool) -> Segment:
        num_frames = -(-self.num_samples // SAMPLES_PER_FRAME)
        samples = np.zeros(num_frames * SAMPLES_PER_FRAME, np.float32)
        samples[: self.num_samples] = level_speech(np.concatenate(self.audio_inputs))
        level = 0.0 if rng.random() < 0.3 else 10 ** rng.uniform(-4.0, -2.4)
        samples += level * coloured_noise(rng, len(samples))
        track = mouth_track(self.spans, num_frames)
        return Segment(samples, track, class_track(self.spans, num_frames), voice, held_out)


def silent_segment(rng: np.random.Generator, duration_s: float, held_out: bool) -> Segment:
    """Return silence, or noise of a room, with the mouth closed."""
    num_frames = round(duration_s * SAMPLE_RATE_HZ) // SAMPLES_PER_FRAME
    level = 0.0 if rng.random() < 0.4 else 10 ** rng.uniform(-4.0, -1.5)
    samples = level * coloured_noise(rng, num_frames * SAMPLES_PER_FRAME)
    track = mouth_track([], num_frames)
    return Segment(samples, track, class_track([], num_frames), "silence", held_out)


def level_speech(samples: NDArray[np.float32]) -> NDArray[np.float32]:
    """Bring the loud parts of speech to one level, so that no voice is louder than another."""
    peak = float(np.abs(samples).max())
    if peak == 0.0:
        return samples
    loud = samples[np.abs(samples) > 0.05 * peak]
    gain = min(_SPEECH_RMS / float(np.sqrt(np.mean(loud**2))), _PEAK / peak)
    return (gain * samples).astype(np.float32)


def coloured_noise(rng: np.random.Generator, num_samples: int) -> NDArray[np.float32]:
    """Return noise of unit deviation, from white to brown."""
    spectrum = np.fft.rfft(rng.standard_normal(num_samples))
    slope = rng.uniform(0.0, 1.2)
    spectrum /= np.maximum(np.arange(len(spectrum)), num_samples * 40 / SAMPLE_RATE_HZ) ** slope
    noise = np.fft.irfft(spectrum, num_samples)
    return (noise / noise.std()).astype(np.float32)
