"""The bundled example: a drawn portrait and a speech that introduces the project."""

from __future__ import annotations

import json
import wave
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from .faces import render, rest_motion, sample_identity
from .motion import FRAME_RATE_HZ, MOUTH_CHANNELS
from .speech import Speech, Synthesiser, Voice
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
    _write_wav(out_dir / "speech.wav", speech)
    _write_track(out_dir / "speech.track.json", speech)


def _write_portrait(path: Path, size_px: int) -> None:
    from PIL import Image

    identity = sample_identity(1, torch.Generator().manual_seed(IDENTITY_SEED))
    # Drawn at twice the size, so that the edges are smooth.
    picture = render(identity, rest_motion(1), (2 * size_px, 2 * size_px))[0, 0]
    pixels = (picture * 255.0).round().byte().movedim(0, -1).numpy()
    small = Image.fromarray(pixels).resize((size_px, size_px), Image.Resampling.BOX)
    partial = path.with_name(path.name + ".partial")
    small.save(partial, format="png", optimize=True)
    partial.replace(path)


def _write_wav(path: Path, speech: Speech) -> None:
    peak = max(float(np.abs(speech.samples).max()), 1e-6)
    pcm: NDArray[np.int16] = np.round(speech.samples * (0.7 / peak) * 32767).astype("<i2")
    partial = path.with_name(path.name + ".partial")
    with wave.open(str(partial), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(speech.rate_hz)
        file.writeframes(pcm.tobytes())
    partial.replace(path)


def _write_track(path: Path, speech: Speech) -> None:
    num_frames = -(-FRAME_RATE_HZ * len(speech.samples) // speech.rate_hz)
    track = mouth_track(speech.spans, num_frames)
    content = {
        "text": TEXT,
        "frame_rate_hz": FRAME_RATE_HZ,
        "channels": MOUTH_CHANNELS,
        "mouth": np.round(track.astype(float), 3).tolist(),
    }
    partial = path.with_name(path.name + ".partial")
    partial.write_text(json.dumps(content), encoding="utf-8")
    partial.replace(path)
