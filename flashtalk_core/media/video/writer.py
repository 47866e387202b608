"""Video file written while it is rendered: playable at any moment, faststart when finished.

Axis legend: F frames, H W pixels; frames are channel last, as encoders take them.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from ...errors import OutputError
from ...files.output_lock import lock_output
from ...files.output_path import check_output, error_line, unwritable
from ...log import printable_log
from ..audio.info import AudioInfo
from ..isobmff.boxes import cut_to_whole_fragments, has_whole_fragment
from .encoder import PacketSink, VideoEncoder
from .finishing import FinishedFile, check_in_place, taken_over
from .older_partials import OlderPartials, num_saved_frames
from .partial_file import PartialFile, PartialMark
from .video_track import Preset

_log = printable_log(logging.getLogger(__name__))


class Mp4Writer:
    """Writes frames and the user's own audio into ``<stem>.partial.mp4``, then ``<stem>.mp4``.

    Use it as a context manager. The partial file is a fragmented MP4 that plays, with audio,
    whatever stops the render; an older final file is replaced only by a complete one, and an
    older partial file is put aside until this render has saved as much.
    """

    def __init__(
        self,
        path: str | Path,
        size_px: tuple[int, int],
        audio: AudioInfo,
        frame_rate_hz: int = 25,
        *,
        soundtrack: AudioInfo | None = None,
        crf: int = 18,
        preset: Preset = "fast",
        chunk_frames: int = 28,
        metadata: Mapping[str, str] | None = None,
        sinks: Sequence[PacketSink] = (),
        resumed: PartialMark | None = None,
    ) -> None:
        """Check everything that can be checked; nothing is written yet.

        Args:
            path: Final name, in ``.mp4``.
            size_px: Height and width of the frames.
            audio: Audio of the video, which ends with it.
            frame_rate_hz: Frames a second.
            soundtrack: What is heard instead; ``None`` is ``audio``. See :class:`VideoEncoder`.
            crf: H.264 quality, 0 (best) to 51; 18 looks like the source.
            preset: x264's trade of speed for size.
            chunk_frames: Frames of a chunk; each begins with a key frame.
            metadata: Texts stored in the file, by any names; ``None`` for no text.
            sinks: Get each packet as well, once it is in the file.
            resumed: Where to continue the partial file that an interrupted render of the same
                video has left; ``None`` begins a new one.

        Raises:
            OutputError: If the file cannot be written.
            InvalidInputError: If the size or the quality is out of range.
        """
        self.output = check_output(path)
        self._older = OlderPartials(self.output)
        self._left = ""
        self._num_saved: int | None = None  # in the partial file, once it is abandoned
        self._file = PartialFile(self.output.partial, self._older.put_aside, resumed)
        self._finished = FinishedFile(self.output, self._file)
        self._encoder = VideoEncoder(
            size_px,
            audio,
            frame_rate_hz,
            soundtrack=soundtrack,
            crf=crf,
            preset=preset,
            chunk_frames=chunk_frames,
            metadata=metadata,
            output=self._file.muxer_output,
            sinks=(self._file, *sinks),
        )
        self._held = ExitStack()

    @property
    def is_complete(self) -> bool:
        """Whether the finished file is in its place."""
        return self._finished.is_complete

    @property
    def num_frames(self) -> int | None:
        """Frames of the video, ``ceil(frame rate * samples / rate)``; ``None`` until known."""
        return self._encoder.num_frames

    @property
    def num_written(self) -> int:
        """Frames written so far."""
        return self._encoder.num_written

    def __enter__(self) -> Self:
        with self._reported_errors(), ExitStack() as held:
            held.enter_context(taken_over(self.output))
            held.callback(self._file.release)
            self._encoder.open()
            head = self._file.open()
            if head:
                counts = self._file.num_samples
                self._encoder.skip(counts["video"], counts["audio"], head)
            self._held = held.pop_all()
        return self

    def mark(self) -> PartialMark:
        """Return where the partial file can be continued; call it at the end of a chunk.

        Raises:
            OutputError: If what was written does not reach the disk, or is not there any more.
        """
        with self._reported_errors():
            mark = self._file.mark()
            check_in_place(self._file, self.output)
            return mark

    def write(self, frames: NDArray[np.uint8] | Tensor) -> None:
        """Encode frames and the audio that belongs to them.

        Args:
            frames: ``(F, H, W, 3)`` uint8; no more than :attr:`num_frames` in all.

        Raises:
            OutputError: If the disk is full or the file cannot be written for another reason.
        """
        with self._reported_errors():
            self._encoder.write(frames)

    def complete_moved(self) -> None:
        """Complete a video that a stopped run has in part in the finished file already.

        Raises:
            OutputError: If the disk does not allow it, or another render writes the same output.
        """
        with self._reported_errors(), lock_output(self.output.final, self.output.lock):
            self._finished.complete_moved()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exception: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            with self._held:
                if exception is None and self.num_written == self.num_frames:
                    self._complete()
                else:
                    self._abandon()
            if exception is None:
                self._encoder.check_complete()
        except BaseException as error:
            self.note_end(error)
            raise
        finally:
            self._file.release()
        if exception is not None:
            self.note_end(exception)

    def note_end(self, exception: BaseException) -> None:
        """Add to what stopped a render where its frames are, unless it says so itself."""
        with suppress(Exception):  # memory may have run out; the error itself is reported
            for note in (self._where_it_is(exception), self._left):
                if note and note not in getattr(exception, "__notes__", ()):
                    exception.add_note(note)

    def _where_it_is(self, exception: BaseException) -> str:
        final, partial = self.output.final, self.output.partial
        if self.is_complete:
            return f"the video was complete by then: {final}"
        if self._finished.is_moving:
            return (
                f"all frames are in {partial} and {self.output.finishing}; the same command puts "
                "them together"
            )
        says_so = isinstance(exception, OutputError) and exception.partial == partial
        if says_so or not self._file.is_in_place:
            return ""
        # A stop may have come between a frame and its count, or before the file was looked at.
        count = num_saved_frames(partial) if self._num_saved is None else self._num_saved
        if count is None:
            return f"what is left of this render is in {partial}"
        total = self.num_frames
        share = "all" if count == total else f"the first {count} of"
        which = f"the first {count}" if total is None else f"{share} {total}"
        return f"{which} frames are in {partial}"

    def _close(self) -> None:
        """Flush the encoders and end the partial file; all of it, whatever fails."""
        if not self._encoder.is_open:
            return
        try:
            self._encoder.close()
        finally:
            self._file.finish()

    def _complete(self) -> None:
        """Make the finished file from the partial one."""
        with self._reported_errors():
            self._close()
            check_in_place(self._file, self.output)
            self._finished.make(self._encoder.track, self.num_written, self._encoder.frame_rate_hz)
        self._left = self._older.remove_outdone(self.num_written)
        if self._left:
            _log.warning("%s is complete; %s", self.output.final, self._left)

    def _abandon(self) -> None:
        """End the partial file as well as the disk allows, and leave it."""
        if self.is_complete or self._finished.is_moving:
            return
        # Whatever fails here, or stops it a second time: what stopped the render is raised.
        for step in (self._close, self._tidy_partial, self._settle_older):
            with suppress(BaseException):
                step()

    def _tidy_partial(self) -> None:
        """Leave the partial file playable, or not at all."""
        if self._file.is_in_place and not cut_to_whole_fragments(self.output.partial):
            self._file.remove()

    def _settle_older(self) -> None:
        """Keep what earlier renders saved, unless this one has saved as much."""
        self._older.put_back()
        self._num_saved = num_saved_frames(self.output.partial) if self._file.is_in_place else None
        self._left = self._older.remove_outdone(self._num_saved or 0)

    @contextmanager
    def _reported_errors(self) -> Iterator[None]:
        """Raise what stopped the writing as one line; what was written is in order by then."""
        import av

        try:
            yield
        except (OSError, av.FFmpegError) as error:
            if self._finished.is_moving:  # all is there, and is left as it is
                raise unwritable(self.output.final, error) from error
            partial = self.output.partial
            # What another render has left under that name is not this one's.
            size = partial.stat().st_size if self._file.is_in_place else 0
            self._abandon()
            is_playable = self._file.is_in_place and has_whole_fragment(partial)
            line = error_line(self.output.final, partial, size, is_playable, error)
            raise OutputError(line, partial=partial if is_playable else None) from error
        except BaseException:
            self._abandon()
            raise
