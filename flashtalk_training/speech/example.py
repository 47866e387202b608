"""The bundled example: a drawn portrait and a speech that introduces the project."""

from __future__ import annotations

import json
import wave
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from flashtalk_core.files.replacing import replacing

from ..drawn_faces.faces import render, rest_motion, sample_identity
from ..drawn_faces.motion import FRAME_RATE_HZ, MOUTH_CHANNELS
from .corpus_file import SAMPLES_PER_FRAME, Corpus
from .speech import SAMPLE_RATE_HZ, Synthesiser, Voice
from .visemes import mouth_track

TEXT = (
    "Hello! I am a small drawing, and I only need one picture and your voice to speak. "
    "This project makes a portrait talk, piece by piece, for as long as you like. "
    "Bring me a photo, bring me a recording, and press play."
)
"""What the example says."""
VOICE = Voice("en-us", "f2", rate_wpm=162, pitch=55, pitch_range=60)
"""A held-out voice."""
IDENTITY_SEED = 1_000_016
"""Seed of a face that training never draws."""


def make_example(out_dir: Path, size_px: int = 512) -> None:
    """Write ``portrait.png``, ``speech.wav`` and its true mouth track ``speech.track.json``.

    Args:
        out_dir: Folder to write to; made if need be.
        size_px: Side of the portrait.
    """
    out_dir.mkdir(parents=True, exist_ok=True)
    _write_portrait(out_dir / "portrait.png", size_px)
    speech = Synthesiser().say(TEXT, VOICE)
    _write_wav(out_dir / "speech.wav", speech.samples, speech.rate_hz)
    num_frames = -(-FRAME_RATE_HZ * len(speech.samples) // speech.rate_hz)
    _write_track(out_dir / "speech.track.json", mouth_track(speech.spans, num_frames), TEXT)


def make_long_speech(corpus: Corpus, duration_s: float, out_dir: Path) -> None:
    """Write held-out speech of any length and its true mouth track.

    Args:
        corpus: Its held-out segments are said in turn, again from the first when they run out.
        duration_s: Length in seconds.
        out_dir: Folder for ``speech.wav`` and ``speech.track.json``; made if need be.
    """
    out_dir.mkdir(parents=True, exist_ok=True)
    segments = [corpus.segment(index) for index in corpus.indices(held_out=True)]
    num_frames = round(duration_s * FRAME_RATE_HZ)
    rounds = -(-num_frames // sum(len(segment.mouth) for segment in segments))
    samples = np.concatenate([segment.samples for segment in segments] * rounds)
    mouth = np.concatenate([segment.mouth for segment in segments] * rounds)
    samples = samples[: num_frames * SAMPLES_PER_FRAME]
    _write_wav(out_dir / "speech.wav", samples, SAMPLE_RATE_HZ)
    _write_track(out_dir / "speech.track.json", mouth[:num_frames], "held-out speech")


def _write_portrait(path: Path, size_px: int) -> None:
    from PIL import Image

    identity = sample_identity(1, torch.Generator().manual_seed(IDENTITY_SEED))
    # Drawn at twice the size, so that the edges are smooth.
    image = render(identity, rest_motion(1), (2 * size_px, 2 * size_px))[0, 0]
    pixels = (image * 255.0).round().byte().movedim(0, -1).numpy()
    small = Image.fromarray(pixels).resize((size_px, size_px), Image.Resampling.BOX)
    with replacing(path) as temporary:
        small.save(temporary, format="png", optimize=True)


def _write_wav(path: Path, samples: NDArray[np.float32], rate_hz: int) -> None:
    peak = max(float(np.abs(samples).max()), 1e-6)
    pcm: NDArray[np.int16] = np.round(samples * (0.7 / peak) * 32767).astype("<i2")
    with replacing(path) as temporary, wave.open(str(temporary), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate_hz)
        file.writeframes(pcm.tobytes())


def _write_track(path: Path, track: NDArray[np.float32], text: str) -> None:
    content = {
        "text": text,
        "frame_rate_hz": FRAME_RATE_HZ,
        "channels": MOUTH_CHANNELS,
        "mouth": np.round(track.astype(float), 3).tolist(),
    }
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(content), encoding="utf-8")
