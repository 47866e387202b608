"""Some chunks of a finished video, rendered again and spliced in."""

from __future__ import annotations

import re
from collections.abc import Generator, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from ..engine.events import NO_EVENTS, RenderEvents
from ..engine.plan import Engine, RenderPlan
from ..engine.render import describe
from ..engine.state import SessionState
from ..errors import require
from ..excerpt import excerpt, shown_path
from ..files.output_path import OutputPath, check_output, unwritable
from ..files.whole_file import replacing
from ..geometry import chunk_span, num_chunks, num_video_frames
from ..media.audio.dialogue.analysis import open_analysis
from ..media.audio.probe import probe_audio
from ..media.isobmff.moving import move_to_plain_mp4
from ..media.video.finishing import taken_over
from ..media.video.splice import EncoderSettings, with_frames, write_fragments
from ..media.video.stored import StoredPacket, StoredVideo
from .blend import blend_into
from .stored_frames import (
    check_fits,
    motion_frames_of,
    read_frames,
    warn_of_another_portrait,
    with_note,
)

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
    events: RenderEvents = NO_EVENTS,
) -> OutputPath:
    """Render chunks of a finished video again; it is replaced when all of them are there.

    They go on from the frame before, and their last frames change over into those of the older
    video, whose next chunk began with them. Everything else keeps its packets, and the file its
    texts; its comment says of these chunks how they were generated.

    Args:
        stored: The finished video.
        plan: With the settings for these chunks; its audio is as long as that of the video.
        chunks: What to render.
        engine: Generates them.
        crf: H.264 quality of the video.
        events: Receives what happens; may raise to stop, which leaves the video as it is.

    Raises:
        FlashTalkError: If they are not in the video, it does not fit the plan, or it cannot be
            written.
    """
    _check(stored, plan, chunks)
    output = check_output(stored.path)
    metadata = with_note(stored, f"chunks {chunks.first + 1}-{chunks.last + 1} {describe(plan)}")
    # What is heard stays as it is; it may be another sound than the speech.
    is_own = plan.audio.source == stored.path
    heard = plan.audio if is_own else probe_audio(stored.path)
    settings = EncoderSettings(stored, heard, crf, plan.chunk.num_new_frames, metadata)
    try:
        with taken_over(output):
            first = chunks.first * plan.chunk.num_new_frames
            images = _changing_over(stored, plan, chunks, engine, events)
            fresh = {packet.number: packet for packet in settings.encode(images, first)}
            _splice(stored, settings, fresh, output, plan.chunk.frame_rate_hz)
    except OSError as error:
        raise unwritable(output.final, error) from error
    return output


def _check(stored: StoredVideo, plan: RenderPlan, chunks: ChunkRange) -> None:
    """Check what needs no weights; see :func:`redo_chunks`."""
    check_fits(stored, plan)
    warn_of_another_portrait(stored, plan)
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


def _changing_over(
    stored: StoredVideo,
    plan: RenderPlan,
    chunks: ChunkRange,
    engine: Engine,
    events: RenderEvents,
) -> Iterator[NDArray[np.uint8]]:
    """Yield the new images of the range, ``(H, W, 3)``; the last ones become those of the video."""
    first = chunk_span(chunks.first, plan.chunk).shown.start
    stop = min(chunk_span(chunks.last, plan.chunk).shown.stop, stored.num_frames)
    has_older = stop < stored.num_frames
    num_blended = min(BLEND_FRAMES, stop - first) if has_older else 0
    with closing(_generate(stored, plan, chunks, engine, events)) as images:
        yield from islice(images, stop - first - num_blended)
        if num_blended:
            older = read_frames(stored, range(stop - num_blended, stop)).numpy()
            yield from blend_into(np.stack(list(islice(images, num_blended))), older)


def _generate(
    stored: StoredVideo,
    plan: RenderPlan,
    chunks: ChunkRange,
    engine: Engine,
    events: RenderEvents,
) -> Generator[NDArray[np.uint8]]:
    """Yield the images of whole chunks, ``(H, W, 3)``, as they are decoded."""
    first = chunk_span(chunks.first, plan.chunk).shown.start
    motion = motion_frames_of(stored, first, plan.chunk) if chunks.first else None
    with (
        open_analysis(plan.voices, plan.chunk.sample_rate_hz) as samples,
        engine.open(plan, samples, events) as source,
    ):
        events.ready()
        state = SessionState(chunks.first, motion, source.fingerprint)
        for index in range(chunks.first, chunks.last + 1):
            for group in source.generate(chunk_span(index, plan.chunk), state):
                state = group.state or state
                events.frames(group.frames)
                yield from group.frames.clone().numpy()  # the next group may take its memory


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
        write_fragments(fragmented, settings.head(), with_frames(stored, fresh))
        with replacing(output.final) as aside:
            # Moved, not copied: with the video itself there are two of it on the disk, not three.
            move_to_plain_mp4(fragmented, aside, rate_hz, durations)
    finally:
        fragmented.unlink(missing_ok=True)
