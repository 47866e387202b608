"""What stopped renders have left and no render goes on with: videos that play, and audio."""

from __future__ import annotations

import logging
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from ..errors import OutputError
from ..excerpt import format_size
from ..files.output_lock import lock_output
from ..files.output_path import OutputPath, output_of
from ..log import printable_log
from ..media.audio.appended import is_appended_audio
from ..media.video.older_partials import num_saved_frames
from .folder import is_free

_log = printable_log(logging.getLogger(__name__))

MAX_LEFTOVERS = 50
"""Files of a folder beyond which the start of a render says how many there are."""
MAX_LEFTOVER_BYTES = 10_000_000_000
"""Bytes of them, the same way. None is removed but by :func:`remove_leftovers`."""


@dataclass(frozen=True)
class Leftover:
    """A file of a stopped render."""

    path: Path
    output: OutputPath
    """Whose it is."""
    num_bytes: int

    @property
    def num_frames(self) -> int:
        """Frames in it; 0 where they cannot be counted."""
        return num_saved_frames(self.path) or 0


def list_leftovers(folder: Path) -> list[Leftover]:
    """Return the files of a folder that stopped renders have left, by name.

    Files of a render that can go on are not among them, nor those of one that runs.

    Raises:
        OSError: If the folder cannot be read.
    """
    found = []
    for path in sorted(folder.iterdir()):
        output = output_of(path)
        if output is None or not _is_left(path, output):
            continue
        with suppress(OSError):  # it went meanwhile
            found.append(Leftover(path, output, path.stat().st_size))
    return found


def remove_leftovers(folder: Path) -> list[Leftover]:
    """Remove these files; return those that are removed.

    Raises:
        OSError: If the folder cannot be read, or a file not be removed.
    """
    return [each for each in list_leftovers(folder) if _remove(each)]


def tell_leftovers(
    folder: Path, max_files: int = MAX_LEFTOVERS, max_bytes: int = MAX_LEFTOVER_BYTES
) -> None:
    """Say how many these files are, if they are more than a folder should hold."""
    with suppress(OSError):
        found = list_leftovers(folder)
        num_bytes = sum(each.num_bytes for each in found)
        if len(found) > max_files or num_bytes > max_bytes:
            _log.warning(
                "%s: %d files of stopped renders take %s, and no render goes on with them; "
                "`jobs list` followed by the folder lists them, `jobs remove --leftovers` removes "
                "them",
                folder.absolute(),
                len(found),
                format_size(num_bytes),
            )


def _is_left(path: Path, output: OutputPath) -> bool:
    if not path.is_file() or path.is_symlink():
        return False
    if output.lock.exists() and not is_free(output):
        return False
    if path == output.audio and not is_appended_audio(path):
        return False  # of the user
    return _is_unneeded(path, output)


def _is_unneeded(path: Path, output: OutputPath) -> bool:
    """Return whether a file is of no render that can go on: put aside, or without a state."""
    needed = (output.partial, output.finishing, output.audio)
    return path not in needed or not output.state.exists()


def _remove(leftover: Leftover) -> bool:
    """Remove a file unless a render has begun that may want it; return whether it was removed."""
    output = leftover.output
    try:
        with lock_output(output.final, output.lock):
            is_left = _is_unneeded(leftover.path, output)
            if is_left:
                leftover.path.unlink(missing_ok=True)
            return is_left
    except OutputError:
        return False
