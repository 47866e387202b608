"""Some chunks of a finished video, rendered again and spliced in."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..engine.events import NO_EVENTS, RenderEvents
from ..engine.plan import Engine, RenderPlan
from ..engine.state import SessionState
from ..errors import require
from ..excerpt import excerpt, shown_path
from ..files.output_path import OutputPath, check_output, unwritable
from ..files.whole_file import replacing
from ..geometry import chunk_span, num_chunks, num_video_frames
from ..media.audio.probe import AnalysisStream
from ..media.isobmff.defragment import write_plain_mp4
from ..media.video.finishing import taken_over
from ..media.video.splice import EncoderSettings, with_frames, write_fragments
from ..media.video.stored import StoredPacket, StoredVideo
from .blend import blend_into
from .stored_frames import check_fits, motion_frames_of, read_frames

BLEND_FRAMES = 12
"""Frames at the end of the range that change over into those of the older video."""
_RANGE = re.compile(r"([0-9]{1,9})(?:-([0-9]{1,9}))?")


@dataclass(frozen=True)
class ChunkRange:
    """Chunks, counted from 0, the last one included."""

    first: int
    last: int

    @classmethod
    def parse(cls, text: str) -> ChunkRange:
        """Read ``12`` or ``12-14``, counted from 1 as the progress does.

        Raises:
            InvalidInputError: If it is neither.
        """
        found = _RANGE.fullmatch(text.strip())
        first = int(found[1]) if found else 0
        last = int(found[2] or found[1]) if found else 0
        require(
            0 < first <= last,
            f"chunks {excerpt(text)!r}: use a number from 1 on, or two such as 12-14",
            subject="redo",
        )
        return cls(first - 1, last - 1)


def redo_chunks(
    stored: StoredVideo,
    plan: RenderPlan,
    chunks: ChunkRange,
    engine: Engine,
    *,
    crf: int,
    metadata: Mapping[str, str],
    events: RenderEvents = NO_EVENTS,
) -> OutputPath:
    """Render chunks of a finished video again; it is replaced when all of them are there.

    They go on from the frame before, and their last frames change over into those of the older
    video, whose next chunk began with them. Everything else keeps its packets.

    Args:
        stored: The finished video.
        plan: With the settings for these chunks; its audio is as long as that of the video.
        chunks: What to render.
        engine: Generates them.
        crf: H.264 quality of the video.
        metadata: Texts for the file.
        events: Receives what happens; may raise to stop, which leaves the video as it is.

    Raises:
        FlashTalkError: If they are not in the video, it does not fit the plan, or it cannot be
            written.
    """
    _check(stored, plan, chunks)
    output = check_output(stored.path)
    settings = EncoderSettings(stored, plan.audio, crf, plan.chunk.num_new_frames, metadata)
    try:
        with taken_over(output):
            frames = _generate(stored, plan, chunks, engine, events)
            first = chunks.first * plan.chunk.num_new_frames
            fresh = {packet.number: packet for packet in settings.encode(frames, first)}
            _splice(stored, settings, fresh, output, plan.chunk.frame_rate_hz)
    except OSError as error:
        raise unwritable(output.final, error) from error
    return output


def _check(stored: StoredVideo, plan: RenderPlan, chunks: ChunkRange) -> None:
    """Check what needs no weights; see :func:`redo_chunks`."""
    check_fits(stored, plan)
    total = num_chunks(stored.num_frames, plan.chunk)
    require(
        chunks.last < total,
        f"chunks {chunks.first + 1}-{chunks.last + 1}: {shown_path(stored.path)} has {total}; "
        "choose some of them",
        subject="redo",
    )
    samples = plan.audio.total_samples
    assert samples is not None, "the audio is a file"
    num_frames = num_video_frames(samples, plan.audio.rate_hz, plan.chunk.frame_rate_hz)
    require(
        num_frames == stored.num_frames,
        f"audio {plan.audio.source}: it makes {num_frames} frames, and "
        f"{shown_path(stored.path)} has {stored.num_frames}; use the audio of its render, or "
        "leave it out: that of the video is taken",
        subject="speakers",
    )


def _generate(
    stored: StoredVideo,
    plan: RenderPlan,
    chunks: ChunkRange,
    engine: Engine,
    events: RenderEvents,
) -> NDArray[np.uint8]:
    """Return the new frames of the range, ``(F, H, W, 3)``."""
    first = chunk_span(chunks.first, plan.chunk).shown.start
    stop = min(chunk_span(chunks.last, plan.chunk).shown.stop, stored.num_frames)
    motion = motion_frames_of(stored, first, plan.chunk) if chunks.first else None
    groups: list[Tensor] = []
    with (
        AnalysisStream(plan.audio, plan.chunk.sample_rate_hz) as samples,
        engine.open(plan, samples, events) as source,
    ):
        events.ready()
        state = SessionState(chunks.first, motion, source.fingerprint)
        for index in range(chunks.first, chunks.last + 1):
            for group in source.generate(chunk_span(index, plan.chunk), state):
                groups.append(group.frames.clone())
                events.frames(group.frames)
                state = group.state or state
    frames = torch.cat(groups)[: stop - first].numpy()
    if stop < stored.num_frames:
        count = min(BLEND_FRAMES, len(frames))
        older = read_frames(stored, range(stop - count, stop)).numpy()
        frames[-count:] = blend_into(frames[-count:], older)
    return frames


def _splice(
    stored: StoredVideo,
    settings: EncoderSettings,
    fresh: Mapping[int, StoredPacket],
    output: OutputPath,
    frame_rate_hz: int,
) -> None:
    """Replace the video by one with the new packets."""
    rate_hz, fragmented = stored.audio_rate_hz, output.finishing
    image_ticks = -(-stored.num_frames * rate_hz // frame_rate_hz)
    durations = {b"vide": image_ticks, b"soun": stored.num_audio_samples}
    try:
        write_fragments(fragmented, settings.head(), with_frames(stored.packets(), fresh))
        with replacing(output.final) as aside:
            write_plain_mp4(fragmented, aside, rate_hz, durations)
    finally:
        fragmented.unlink(missing_ok=True)
