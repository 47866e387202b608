"""A finished video that goes on with more speech."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from ..engine.plan import RenderPlan
from ..engine.render import describe
from ..engine.spec import RenderSpec
from ..errors import require
from ..excerpt import shown_path
from ..files.output_path import OutputPath, check_output, unwritable
from ..geometry import num_video_frames
from ..media.audio.appended import is_appended_audio
from ..media.video.finishing import taken_over
from ..media.video.older_partials import OlderPartials
from ..media.video.splice import EncoderSettings, up_to, write_fragments
from ..media.video.stored import StoredVideo
from .record import JobRecord
from .spec_paths import whole_paths
from .stored_frames import check_fits, motion_frames_of, warn_of_another_portrait, with_note


def begin_extended(
    stored: StoredVideo,
    plan: RenderPlan,
    spec: RenderSpec,
    path: Path,
    *,
    key: str,
    crf: int,
) -> None:
    """Leave what an interrupted render would have left after the chunks of a finished video.

    A last chunk that was cut short is left out: now it is followed by speech. The file keeps the
    texts of the finished video; its comment says how the rest was generated.

    Args:
        stored: The finished video.
        plan: Of the whole video; its audio begins with that of ``stored``.
        spec: That the plan was made from.
        path: The new file.
        key: Of the job; see :func:`.job.render_key`.
        crf: H.264 quality of ``stored``.

    Raises:
        FlashTalkError: If the video does not fit the plan, or cannot be written.
    """
    check_fits(stored, plan)
    warn_of_another_portrait(stored, plan)
    output, chunk = check_output(path), plan.chunk
    num_chunks = stored.num_frames // chunk.num_new_frames
    require(
        num_chunks > 0,
        f"video {shown_path(stored.path)}: {stored.num_frames} frames, and to go on takes a chunk "
        f"of {chunk.num_new_frames}; render all of it again",
    )
    num_frames = num_chunks * chunk.num_new_frames
    metadata = with_note(stored, f"from chunk {num_chunks + 1} on {describe(plan)}")
    settings = EncoderSettings(stored, plan.audio, crf, chunk.num_new_frames, metadata)
    packets = up_to(stored.packets(), num_frames, settings.num_audio_packets(num_frames))
    total = plan.audio.total_samples
    assert total is not None, "the audio is a file"

    def write() -> None:
        mark = write_fragments(output.partial, settings.head(), packets)
        JobRecord(
            key=key,
            spec=whole_paths(spec),
            crf=crf,
            chunk_index=num_chunks,
            fingerprint=plan.fingerprint(),
            num_frames=num_frames,
            total_frames=num_video_frames(total, plan.audio.rate_hz, chunk.frame_rate_hz),
            num_bytes=mark.num_bytes,
            crc32=mark.crc32,
            motion_frames=motion_frames_of(stored, num_frames, chunk),
        ).write(output.state)

    try:
        with taken_over(output):
            _with_older_aside(output, write)
    except OSError as error:
        raise unwritable(output.final, error) from error


@contextmanager
def removing_joined_audio(output: OutputPath) -> Iterator[None]:
    """Remove the audio of an extended video at the end, unless its render can go on.

    A file of another program under that name stays.
    """
    try:
        yield
    finally:
        if not output.state.exists() and is_appended_audio(output.audio):
            output.audio.unlink(missing_ok=True)


def _with_older_aside(output: OutputPath, write: Callable[[], None]) -> None:
    """Write a partial file and its state; those of an earlier render stay if that fails."""
    older = OlderPartials(output)
    older.put_aside()
    try:
        write()
    except BaseException:
        output.partial.unlink(missing_ok=True)  # the finished video has all of it
        older.put_back()
        raise
