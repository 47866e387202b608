"""A finished video that goes on with more speech."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from ..config.chunk import ChunkConfig
from ..engine.plan import RenderPlan
from ..engine.spec import RenderSpec
from ..errors import require
from ..excerpt import shown_path
from ..files.output_path import OutputPath, check_output
from ..geometry import num_video_frames
from ..media.image.portrait import to_model_range
from ..media.video.reading.reader import probe_video, read_frames_at
from ..media.video.splice import EncoderSettings, up_to, write_fragments
from ..media.video.stored import StoredVideo
from .changes import whole_paths
from .job import Job, JobOptions, render_key
from .record import JobRecord


def joined_audio_path(output: Path) -> Path:
    """Return where the audio of an extended video is as long as it is rendered."""
    return output.with_name(f"{output.stem}.partial.wav")


def open_extended(
    stored: StoredVideo, plan: RenderPlan, spec: RenderSpec, path: Path, options: JobOptions
) -> Job:
    """Return a job whose first chunks are those of a finished video.

    Its last chunk is rendered again if it was cut short: now it is followed by speech.

    Args:
        stored: The finished video.
        plan: Of the whole video; its audio begins with that of ``stored``.
        spec: That the plan was made from.
        path: The new file.
        options: How it is written, with the quality of ``stored``.

    Raises:
        FlashTalkError: If the video does not fit the plan, or cannot be written.
    """
    job = Job(plan, spec, path, options)
    if job.num_done:
        return job  # an interrupted run of the same
    check_fits(stored, plan)
    num_chunks = stored.num_frames // plan.chunk.num_new_frames
    require(
        num_chunks > 0,
        f"video {shown_path(stored.path)}: {stored.num_frames} frames, and to go on takes a chunk "
        f"of {plan.chunk.num_new_frames}; render all of it again",
    )
    _begin(stored, plan, spec, check_output(path), options, num_chunks)
    job = Job(plan, spec, path, options)
    assert job.num_done, "what was written is what an interrupted render leaves"
    return job


def check_fits(stored: StoredVideo, plan: RenderPlan) -> None:
    """Check that a finished video is of the size of a plan.

    Raises:
        InvalidInputError: If it is not.
    """
    size_px = plan.request.size_px
    require(
        stored.size_px == size_px,
        f"video {shown_path(stored.path)}: {stored.size_px[0]}x{stored.size_px[1]}, and the "
        f"render has {size_px[0]}x{size_px[1]}; use --size {stored.size_px[0]}x"
        f"{stored.size_px[1]}",
        subject="size",
    )


def motion_frames_of(stored: StoredVideo, first: int, chunk: ChunkConfig) -> Tensor:
    """Return what a chunk that begins with frame ``first`` goes on from.

    The frames of the file, which are those that viewers have seen, are as good as the float32 ones
    that an interrupted render keeps, up to what H.264 takes from them.

    Returns:
        ``(1, 3, M, H, W)`` float32 in ``[-1, 1]``.
    """
    indices = range(first - chunk.num_motion_frames, first)
    return to_model_range(read_frames(stored, indices).permute(3, 0, 1, 2))[None]


def read_frames(stored: StoredVideo, indices: Sequence[int]) -> Tensor:
    """Return frames of a finished video, ``(F, H, W, 3)`` uint8."""
    frames = read_frames_at(stored.path, indices, probe_video(stored.path))
    return (frames * 255).round().to(torch.uint8)


def _begin(
    stored: StoredVideo,
    plan: RenderPlan,
    spec: RenderSpec,
    output: OutputPath,
    options: JobOptions,
    num_chunks: int,
) -> None:
    """Write the partial file and the state that an interrupted render would have left."""
    num_frames = num_chunks * plan.chunk.num_new_frames
    settings = EncoderSettings(
        stored, plan.audio, options.crf, plan.chunk.num_new_frames, options.metadata
    )
    packets = up_to(stored.packets(), num_frames, settings.num_audio_packets(num_frames))
    mark = write_fragments(output.partial, settings.head(), packets)
    total = plan.audio.total_samples
    assert total is not None, "the audio is a file"
    JobRecord(
        key=render_key(plan, options.crf),
        spec=whole_paths(spec),
        crf=options.crf,
        chunk_index=num_chunks,
        fingerprint=plan.fingerprint(),
        num_frames=num_frames,
        total_frames=num_video_frames(total, plan.audio.rate_hz, plan.chunk.frame_rate_hz),
        num_bytes=mark.num_bytes,
        crc32=mark.crc32,
        num_attempts=1,
        motion_frames=motion_frames_of(stored, num_frames, plan.chunk),
    ).write(output.state)
