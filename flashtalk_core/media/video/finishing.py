"""The files of an output before a command writes it, and how the finished one comes to be."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ...errors import OutputError
from ...excerpt import shown_path
from ...files.deferred_stops import deferred_stops
from ...files.output_lock import lock_output
from ...files.output_path import OutputPath
from ...files.whole_file import put_in_place, remove_asides
from ...log import printable_log
from ..isobmff.moving import BLOCK_BYTES, finish_moving, is_moving
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


def complete_moved(output: OutputPath) -> None:
    """Put the parts of a render together that :func:`is_half_moved`, and remove what is left.

    Raises:
        OSError: If a file cannot be read or written.
    """
    _put_together(output, output.final)


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
