"""A render that goes on after whatever ended it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ..engine.events import NO_EVENTS, EventHandlers, RenderEvents
from ..engine.plan import Engine, RenderPlan
from ..engine.plan import fingerprint as hash_of
from ..engine.render import describe, render_video
from ..engine.spec import RenderSpec
from ..engine.state import SessionState
from ..errors import InvalidInputError, require
from ..excerpt import reason
from ..files.output_path import check_output
from ..geometry import num_video_frames
from ..log import printable_log
from ..media.video.encoder import PacketSink
from ..media.video.finishing import is_half_moved
from ..media.video.partial_file import PartialMark, check_mark
from ..media.video.writer import Mp4Writer
from ..placement.rounding import num_encoder_threads
from .changes import describe_changes
from .folder import limit_jobs
from .leftovers import tell_leftovers
from .record import JobRecord
from .spec_paths import whole_paths

_log = printable_log(logging.getLogger(__name__))


def render_key(plan: RenderPlan, crf: int) -> str:
    """Return a hash of everything that determines a video file, its name and texts excepted."""
    return hash_of(plan=plan.video_fingerprint(), crf=crf, threads=num_encoder_threads())


def resumable_keys(plan: RenderPlan, crf: int) -> tuple[str, ...]:
    """Return the keys of interrupted renders that go on as this one, its own first."""
    before = plan.as_begun_before()
    return tuple(render_key(each, crf) for each in (plan, before) if each is not None)


@dataclass(frozen=True, kw_only=True)
class JobOptions:
    """How a render is written."""

    crf: int
    """H.264 quality, 0 (best) to 51."""
    metadata: Mapping[str, str]
    """Texts for the file."""
    sinks: Sequence[PacketSink] = ()
    """Get each packet as well."""
    start_anew: bool = False
    """Whether what an interrupted render has left is put aside instead of continued."""
    otherwise: str = "starts anew"
    """What this one does where an interrupted render is there that cannot go on, for a message."""


def open_writer(
    plan: RenderPlan,
    path: Path,
    *,
    crf: int,
    metadata: Mapping[str, str] | None = None,
    sinks: Sequence[PacketSink] = (),
    resumed: PartialMark | None = None,
) -> Mp4Writer:
    """Check that the video can be written; see :class:`Mp4Writer`."""
    return Mp4Writer(
        path,
        plan.format.size_px,
        plan.audio,
        plan.format.rate_hz,
        soundtrack=plan.soundtrack,
        crf=crf,
        chunk_frames=plan.format.chunk_frames,
        metadata=metadata,
        sinks=sinks,
        resumed=resumed,
    )


class Job:
    """One render to one file: begins, or goes on after the last chunk that was finished."""

    def __init__(self, plan: RenderPlan, spec: RenderSpec, path: Path, options: JobOptions) -> None:
        """Check that the video can be written, and what there is of it; nothing is written yet.

        Args:
            plan: Of the video.
            spec: That the plan was made from.
            path: Final name, in ``.mp4``.
            options: How it is written.

        Raises:
            FlashTalkError: See :class:`.Mp4Writer`.
        """
        self._plan = plan
        self._spec = whole_paths(spec)
        self._crf = options.crf
        self._otherwise = options.otherwise
        self._output = check_output(path)
        self._can_save = plan.is_repeatable
        self._has_warned = self._has_saved = False
        self.key = render_key(plan, options.crf) if self._can_save else ""
        """Hash of everything that determines the video; empty if nothing identifies its audio."""
        is_moved = is_half_moved(self._output)
        self._mark: PartialMark | None = None
        self._older = None if options.start_anew else self._find(is_moved=is_moved)
        self.is_rendered = self._older is not None and is_moved
        """Whether all chunks are there, and only the finished file is not in place."""
        self.writer = open_writer(
            plan,
            path,
            crf=options.crf,
            metadata=options.metadata,
            sinks=options.sinks,
            resumed=self._mark,
        )

    @property
    def num_done(self) -> int:
        """Generated frames that an interrupted run has, and that are not rendered again."""
        if self._older is None:
            return 0
        return self._older.chunk_index * self._plan.chunk.num_new_frames

    @property
    def num_chunks_done(self) -> int:
        """Chunks that are not rendered again."""
        return 0 if self._older is None else self._older.chunk_index

    @property
    def path(self) -> Path:
        """The finished file."""
        return self._output.final

    @property
    def num_frames(self) -> int | None:
        """Frames that are generated for the video; ``None`` until known.

        A stage may make more of them: see :attr:`.Mp4Writer.num_frames`.
        """
        audio = self._plan.audio
        if audio.total_samples is None:
            return None
        rate_hz = self._plan.chunk.frame_rate_hz
        return num_video_frames(audio.total_samples, audio.rate_hz, rate_hz)

    def note_end(self, error: BaseException) -> None:
        """Add to what stopped it where its frames are; see :meth:`.Mp4Writer.note_end`."""
        self.writer.note_end(error)

    def render(self, engine: Engine, events: RenderEvents = NO_EVENTS) -> None:
        """Render what is missing; a state is on the disk after each chunk.

        Raises:
            FlashTalkError: See :func:`.render_video`.
        """
        if self.is_rendered:
            self.writer.complete_moved()
            self._remove_state()
            return

        def save(state: SessionState) -> None:
            self._save(state)
            events.state(state)

        kept = EventHandlers(
            loading=events.loading,
            ready=events.ready,
            step=events.step,
            stage=events.stage,
            frames=events.frames,
            state=save,
        )
        tell_leftovers(self._output.final.parent)
        try:
            render_video(self._plan, self.writer, engine, events=kept, state=self._taken_state())
        finally:
            if self.writer.is_complete:  # a stop may come after that
                self._remove_state()

    def _taken_state(self) -> SessionState | None:
        """Return where the session goes on; its frames are not kept here as well."""
        if self._older is None:
            return None
        state = self._older.state
        self._older = replace(self._older, motion_frames=None)
        return state

    def _find(self, *, is_moved: bool) -> JobRecord | None:
        """Return how far an interrupted run of this very render has come, if it can go on."""
        path = self._output.state
        if not self._can_save or not path.is_file() or not self._output.partial.is_file():
            return None
        try:
            record = JobRecord.read(path)
            self._go_on_as_begun(record)
            if record.key != self.key:
                changes = describe_changes(record.spec, self._spec)
                raise InvalidInputError(f"with other settings: {changes}")
            self._check_counts(record)
            if not is_moved:
                self._mark = check_mark(self._output.partial, record.mark, record.num_frames)
        except (InvalidInputError, OSError) as error:
            _log.warning(
                "%s: an interrupted render is there, and this one %s (%s)",
                self._output.final,
                self._otherwise,
                reason(error),
            )
            return None
        return record

    def _go_on_as_begun(self, record: JobRecord) -> None:
        """Take the defaults of an earlier version if it began the render."""
        before = self._plan.as_begun_before()
        if before is not None and record.key == render_key(before, self._crf):
            self._plan, self.key = before, record.key

    def _check_counts(self, record: JobRecord) -> None:
        """Check what nothing but the plan can tell.

        Raises:
            InvalidInputError: If the record counts other chunks than frames.
        """
        chunk_frames = self._plan.format.chunk_frames
        require(
            record.num_frames == record.chunk_index * chunk_frames,
            f"its state is damaged: {record.num_frames} frames are no {record.chunk_index} chunks "
            f"of {chunk_frames}",
        )

    def _save(self, state: SessionState) -> None:
        """Write the state of the job; a video is not lost because that fails."""
        if not self._can_save or state.motion_frames is None:
            return
        mark = self.writer.mark()
        total = self.writer.num_frames
        assert total is not None, "audio with an identity has an end"
        record = JobRecord(
            key=self.key,
            spec=self._spec,
            crf=self._crf,
            chunk_index=state.chunk_index,
            fingerprint=state.fingerprint,
            num_frames=self.writer.num_written,
            total_frames=total,
            num_bytes=mark.num_bytes,
            crc32=mark.crc32,
            num_attempts=1 if self._older is None else self._older.num_attempts + 1,
            motion_frames=state.motion_frames,
        )
        try:
            record.write(self._output.state)
        except OSError as error:
            if not self._has_warned:  # once, not for each chunk
                self._has_warned = True
                _log.warning(
                    "%s: how far this render has come cannot be saved (%s); if it is interrupted, "
                    "chunks from here on are rendered again",
                    self._output.final,
                    reason(error),
                )
            return
        if not self._has_saved:  # not before: an older state may be this render's own
            self._has_saved = True
            limit_jobs(self._output.state)

    def _remove_state(self) -> None:
        try:
            self._output.state.unlink(missing_ok=True)
        except OSError as error:
            _log.warning("%s stays behind: %s", self._output.state, reason(error))


def render_file(
    plan: RenderPlan,
    spec: RenderSpec,
    path: Path,
    engine: Engine,
    *,
    crf: int,
    events: RenderEvents = NO_EVENTS,
    resumed: Callable[[int], object] = lambda _: None,
) -> int:
    """Render a plan into a file, or what an interrupted run has left to do.

    Args:
        plan: Of the video.
        spec: That the plan was made from.
        path: Final name, in ``.mp4``.
        engine: Generates the chunks.
        crf: H.264 quality, 0 (best) to 51.
        events: Receives what happens; may raise to stop.
        resumed: Called with the number of frames that are there, if there are some.

    Returns:
        Frames of the video.

    Raises:
        FlashTalkError: See :class:`Job`. A note of whatever is raised says where the frames are
            that were rendered.
    """
    job = Job(plan, spec, path, JobOptions(crf=crf, metadata={"comment": describe(plan)}))
    if job.num_done:
        resumed(job.num_done)
    try:
        job.render(engine, events)
    except BaseException as error:
        job.note_end(error)
        raise
    return job.num_frames or 0
