"""Frames a second of a whole render, and the wait for the first one."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from ..engine.plan import RenderPlan
from ..engine.render import open_writer, render_video
from ..engine.request import AvatarRequest
from ..geometry import num_chunks
from ..media.audio.probe import probe_sound
from ..media.image.portrait import open_picture
from ..placement.residency import Placement, StayLoaded
from ..weights.load import AvatarCheckpoint
from .sounds import write_babble


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
    """From sound and picture to the encoded video."""


def measure_speed(
    checkpoint: AvatarCheckpoint,
    picture: Path,
    device: torch.device,
    dtype: torch.dtype,
    duration_s: float,
    folder: Path,
) -> SpeedMeasure:
    """Render at the model's own size and steps, and time all chunks but the first.

    Args:
        checkpoint: The model.
        picture: Portrait.
        device: Where it runs.
        dtype: Of its weights.
        duration_s: Length of the sound.
        folder: Where to write; what is written is removed again.
    """
    config = checkpoint.config
    sound_path, video_path = folder / "babble.flac", folder / "speed.mp4"
    write_babble(sound_path, duration_s + config.chunk.num_new_frames / config.chunk.frame_rate_hz)
    plan = RenderPlan(
        checkpoint=checkpoint,
        request=AvatarRequest(
            picture=open_picture(picture),
            prompt=config.prompt,
            size_px=config.size_px,
            sampling=config.sampling,
        ),
        sound=probe_sound(sound_path),
        placement=Placement(device, dtype),
    )
    writer = open_writer(plan, video_path, crf=18)
    start_s = 0.0

    def note_start(_frames: Tensor) -> None:
        nonlocal start_s
        if writer.num_written == config.chunk.num_new_frames:
            start_s = time.monotonic()

    render_video(plan, writer, StayLoaded(checkpoint, plan.placement), on_frames=note_start)
    elapsed_s = time.monotonic() - start_s
    assert num_chunks(writer.num_written, config.chunk) > 1, writer.num_written
    timed = writer.num_written - config.chunk.num_new_frames
    for path in (sound_path, video_path):
        path.unlink()
    return SpeedMeasure(
        model=config.name,
        device=str(device),
        num_threads=torch.get_num_threads(),
        size_px=config.size_px,
        steps=config.sampling.steps,
        num_frames=timed,
        frames_per_s=timed / elapsed_s,
    )
