"""Frames a second of a whole render, and the wait for the first one."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from ..engine.build import LocalEngine
from ..engine.events import EventHandlers
from ..engine.render import render_video
from ..engine.resolve import LocalHost, resolve
from ..engine.spec import RenderSpec, Speaker
from ..geometry import num_chunks
from ..jobs.job import open_writer
from ..placement.residency import CachedNetworks
from ..weights.load import open_avatar
from .signals import write_babble


@dataclass(frozen=True)
class SpeedMeasure:
    """What was measured."""

    model: str
    device: str
    num_threads: int
    size_px: tuple[int, int]
    steps: int
    num_frames: int
    """Frames that were timed, the first chunk left out."""
    frames_per_s: float
    """From audio and image to the encoded video."""


def measure_speed(spec: RenderSpec, duration_s: float, folder: Path) -> SpeedMeasure:
    """Render a spec with babble as its speech, and time all chunks but the first.

    Args:
        spec: What to render.
        duration_s: Length of the audio that is timed, in seconds.
        folder: Where to write; what is written is removed again.
    """
    audio_path, video_path = folder / "babble.flac", folder / "speed.mp4"
    chunk = spec.chunk.over(open_avatar(spec.model.name).config.chunk)
    write_babble(audio_path, duration_s + chunk.num_new_frames / chunk.frame_rate_hz)
    spec = replace(spec, speakers=(Speaker(audio=str(audio_path)),))
    plan = resolve(spec, LocalHost())
    config, request = plan.checkpoint.config, plan.request
    writer = open_writer(plan, video_path, crf=18)
    start_s = 0.0

    def note_start(_frames: Tensor) -> None:
        nonlocal start_s
        if writer.num_written == plan.chunk.num_new_frames:
            start_s = time.monotonic()

    engine = LocalEngine(CachedNetworks(plan.checkpoint, plan.placement))
    render_video(plan, writer, engine, events=EventHandlers(frames=note_start))
    elapsed_s = time.monotonic() - start_s
    assert num_chunks(writer.num_written, plan.chunk) > 1, writer.num_written
    timed = writer.num_written - plan.chunk.num_new_frames
    for path in (audio_path, video_path):
        path.unlink()
    return SpeedMeasure(
        model=config.name,
        device=str(plan.placement.device),
        num_threads=torch.get_num_threads(),
        size_px=request.size_px,
        steps=request.sampling.steps,
        num_frames=timed,
        frames_per_s=timed / elapsed_s,
    )
