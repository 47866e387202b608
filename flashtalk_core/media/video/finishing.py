"""The files of an output before a command writes it, and how the finished one comes to be."""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ...errors import InvalidInputError, OutputError
from ...excerpt import shown_path
from ...files.deferred_stops import deferred_stops
from ...files.output_lock import lock_output
from ...files.output_path import OutputPath
from ...files.whole_file import create, put_in_place, remove_asides, sync_file
from ...log import printable_log
from ..isobmff.defragment import write_plain_mp4
from ..isobmff.moving import BLOCK_BYTES, finish_moving, is_moving, move_to_plain_mp4
from .audio_track import AudioTrack
from .partial_file import PartialFile

_log = printable_log(logging.getLogger(__name__))


@contextmanager
def taken_over(output: OutputPath) -> Iterator[None]:
    """Hold an output, whatever an earlier command left of it; each command writes it inside.

    What can be in :attr:`.OutputPath.finishing` alone is rescued, so that the name is free. The
    partial file is left alone: only :class:`.OlderPartials` makes room there.

    Raises:
        OutputError: If another render holds the output.
        OSError: If a file cannot be read or written.
    """
    with lock_output(output.final, output.lock):
        rescue_moved(output)
        output.finishing.unlink(missing_ok=True)
        remove_asides(output.state)
        yield


def check_in_place(file: PartialFile, output: OutputPath) -> None:
    """Stop a render that nobody would find under its name.

    Raises:
        OutputError: If another program has moved, removed or replaced the partial file.
    """
    if file.is_lost:
        raise OutputError(
            f"output {shown_path(output.final)}: another program has moved, removed or replaced "
            f"{shown_path(output.partial)}; put it back with the files beside it, and the same "
            "command goes on, or render again"
        )


def has_room(partial: Path) -> bool:
    """Return whether the disk has room for a second file like ``partial``."""
    try:
        return shutil.disk_usage(partial.parent).free > partial.stat().st_size + BLOCK_BYTES
    except OSError:  # writing will tell
        return True


def is_half_moved(output: OutputPath) -> bool:
    """Return whether a stopped render has every frame, in part in the finished file already."""
    return is_moving(output.partial, output.finishing)


def rescue_moved(output: OutputPath) -> None:
    """Keep what an earlier render has in both files under the name of an older one.

    Raises:
        OSError: If a file cannot be read or written.
    """
    if not is_half_moved(output):
        return
    kept = output.next_older
    _put_together(output, kept)
    _log.warning("%s: an earlier render of this name was not put in place; it is there", kept)


def _put_together(output: OutputPath, target: Path) -> None:
    finish_moving(output.partial, output.finishing)
    with deferred_stops():
        put_in_place(output.finishing, target)
        output.partial.unlink()


class FinishedFile:
    """Makes the finished file of an output from the partial one, and puts it in its place."""

    def __init__(self, output: OutputPath, file: PartialFile) -> None:
        """Touch nothing yet.

        Args:
            output: Names of the files.
            file: The partial one.
        """
        self._output = output
        self._file = file
        self.is_complete = False
        """Whether the finished file is in its place."""
        self.is_moving = False
        """Whether frames may be in either file, and nothing of them is to be tidied up."""

    def complete_moved(self) -> None:
        """Put the parts of a render together that :func:`is_half_moved`, and remove what is left.

        Raises:
            OSError: If a file cannot be read or written.
        """
        self.is_moving = True
        _put_together(self._output, self._output.final)
        self.is_complete = True
        remove_asides(self._output.state)

    def make(self, audio: AudioTrack, num_frames: int, frame_rate_hz: int) -> None:
        """Make the file; the partial one is whole and on the disk, and goes.

        Args:
            audio: Its audio, to the end.
            num_frames: Frames in the partial file.
            frame_rate_hz: Frames a second.

        Raises:
            OutputError: If another program has changed the partial file.
            OSError: If the disk does not allow it.
        """
        finishing = self._output.finishing
        os.close(create(finishing))
        try:
            self._write(audio, num_frames, frame_rate_hz)
            sync_file(finishing)  # gigabytes take a while, in which a stop takes effect
            with deferred_stops():
                put_in_place(finishing, self._output.final)
                self.is_complete = True
                self._remove_partial()
        finally:
            if not self.is_complete and not self.is_moving:
                with suppress(OSError):
                    finishing.unlink(missing_ok=True)

    def _write(self, audio: AudioTrack, num_frames: int, frame_rate_hz: int) -> None:
        output, rate_hz = self._output, audio.rate_hz
        assert audio.num_samples is not None, "all frames are written, so the end is known"
        # Counting in audio samples makes the length of the audio exact.
        image_ticks = -(-num_frames * rate_hz // frame_rate_hz)
        durations = {b"vide": image_ticks, b"soun": audio.num_samples}
        size = output.partial.stat().st_size
        try:
            self.is_moving = not has_room(output.partial)
            make = move_to_plain_mp4 if self.is_moving else write_plain_mp4
            found = make(output.partial, output.finishing, rate_hz, durations)
        except OSError:
            if output.partial.stat().st_size == size:  # there was not even room to begin
                self.is_moving = False
            raise
        except InvalidInputError as error:
            raise OutputError(
                f"output {output.final}: another program changed {output.partial}, which is "
                "damaged now; render again",
                partial=output.partial,
            ) from error
        if found != num_frames:
            raise OutputError(
                f"output {output.final}: {found} of {num_frames} frames are left in "
                f"{output.partial}, another program changed it; render again",
                partial=output.partial,
            )

    def _remove_partial(self) -> None:
        try:
            self._file.remove()
        except OSError as error:
            _log.warning(
                "%s is complete, but %s stays behind: %s",
                self._output.final,
                self._output.partial,
                error,
            )
