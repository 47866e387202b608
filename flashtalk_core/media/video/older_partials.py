"""Partial files of earlier renders of the same name, set aside until a newer one holds as much."""

from __future__ import annotations

import logging
import os
from contextlib import suppress
from pathlib import Path

from ...errors import InvalidInputError
from ...files.output_lock import check_own_place
from ...files.output_path import OutputPath
from ...files.whole_file import when_closed
from ...log import printable_log
from ..isobmff.boxes import child_boxes, file_boxes, has_whole_fragment, read_payload
from ..isobmff.defragment import count_fragmented_frames

_log = printable_log(logging.getLogger(__name__))

_SCRAP_BYTES = 4096
"""Zeros up to this length hold no work."""


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
        check_own_place(self._output.final, partial)
        if _is_scrap(partial):
            partial.unlink()
            return
        self._moved = moved = self._output.next_older
        when_closed(lambda: partial.rename(moved))
        _log.warning(
            "%s: what an earlier render saved there is now in %s, until a newer file holds as much",
            partial,
            moved,
        )

    def put_back(self) -> None:
        """Give what was put aside its name again, if nothing was saved under it since."""
        moved, self._moved = self._moved, None
        partial = self._output.partial
        if moved is not None and moved.exists() and not os.path.lexists(partial):
            when_closed(lambda: moved.rename(partial))

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
    """Whether nothing is lost with a file: empty, or the head of a partial file and no more.

    Anything else is not this project's, whatever it is called.
    """
    if has_whole_fragment(path):
        return False
    with path.open("rb") as file:
        start = file.read(_SCRAP_BYTES)
        if not start.strip(b"\0"):  # what a power cut may leave of the first write
            return not file.read(1)
        if start[4:8] != b"ftyp":
            return False
        boxes = list(file_boxes(file))
        if len(boxes) > 1:
            kinds = [kind for kind, _ in child_boxes(read_payload(file, boxes[1]))]
            return boxes[1].kind == b"moov" and b"mvex" in kinds
    # The one behind the first is cut short, or missing.
    size = int.from_bytes(start[:4], "big")
    return start[size + 4 : size + 8] in (b"", b"moov")


def num_saved_frames(path: Path) -> int | None:
    """Return the frames in a partial file, ``None`` if it is none or damaged."""
    with suppress(OSError, InvalidInputError):
        return count_fragmented_frames(path)
    return None
