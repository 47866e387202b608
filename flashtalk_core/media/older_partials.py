"""What earlier renders of the same name saved: put aside, kept until a newer file holds as much."""

from __future__ import annotations

import logging
import os
from contextlib import suppress
from pathlib import Path

from ..errors import InvalidInputError
from ..log import printable_log
from .mp4_boxes import has_whole_fragment
from .mp4_finish import count_fragmented_frames
from .output_lock import check_own_place
from .output_path import OutputPath

_log = printable_log(logging.getLogger(__name__))

_SCRAP_BYTES = 4096
"""What is shorter and does not play is nobody's work."""


class OlderPartials:
    """The partial files of one output that are not this render's."""

    def __init__(self, output: OutputPath) -> None:
        """Touch nothing yet."""
        self._output = output
        self._moved: Path | None = None

    def put_aside(self) -> None:
        """Make room for a new partial file; what an earlier render saved gets another name.

        Raises:
            OSError: If that fails.
        """
        partial = self._output.partial
        if not os.path.lexists(partial):
            return
        check_own_place(partial)
        if _is_scrap(partial):
            partial.unlink()
            return
        self._moved = moved = self._output.next_older
        partial.rename(moved)
        _log.warning(
            "%s: what an earlier render saved there is now in %s, until a newer file holds as much",
            partial,
            moved,
        )

    def put_back(self) -> None:
        """Give what was put aside its name again, if nothing was saved under it since."""
        moved, self._moved = self._moved, None
        if moved is not None and moved.exists() and not os.path.lexists(self._output.partial):
            moved.rename(self._output.partial)

    def remove_outdone(self, num_frames: int) -> str:
        """Remove what holds no more than a newer file that is on the disk.

        Args:
            num_frames: Frames in the newer file.

        Returns:
            A sentence that names what is left, empty if nothing is.
        """
        left = []
        for path in self._output.older:
            count = num_saved_frames(path)
            with suppress(OSError):
                if count is not None and count <= num_frames:
                    path.unlink()
                    continue
            number = "an unknown number of" if count is None else f"{count}"
            left.append(f"{number} frames of an earlier render are in {path}")
        return "; ".join(left)


def _is_scrap(path: Path) -> bool:
    """Whether nothing is lost with a file."""
    if has_whole_fragment(path):
        return False
    with path.open("rb") as file:
        start = file.read(_SCRAP_BYTES)
    # A file of another kind is not this project's, whatever it is called.
    return len(start) < _SCRAP_BYTES or start[4:8] == b"ftyp"


def num_saved_frames(path: Path) -> int | None:
    """Return the frames in a partial file, ``None`` if it is none or damaged."""
    with suppress(OSError, InvalidInputError):
        return count_fragmented_frames(path)
    return None
