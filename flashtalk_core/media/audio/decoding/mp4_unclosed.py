"""MP4 and MOV files whose table of contents was never written."""

from __future__ import annotations

from pathlib import Path

from ...isobmff.boxes import file_boxes

_FIRST_BOXES = (b"ftyp", b"mdat", b"wide", b"free", b"skip")


def is_unclosed(path: Path) -> bool:
    """Return whether a file is an MP4 or MOV without ``moov``: a recorder that was cut off, say."""
    try:
        with path.open("rb") as file:
            if file.read(8)[4:] not in _FIRST_BOXES:
                return False
            return all(span.kind != b"moov" for span in file_boxes(file))
    except OSError:
        return False
