"""Opening a media file for reading, with every version of PyAV that is supported."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from .input_path import file_url

if TYPE_CHECKING:
    from av.container import InputContainer

_KEEPS_ANY_TAG = 19
"""First PyAV that reads tags of any encoding, and that no longer takes ``metadata_errors``."""


def open_container(path: Path) -> InputContainer:
    """Open a file whatever the encoding of its tags is; the caller closes it.

    Titles in GBK or Latin-1 are common, and PyAV before 19 refuses the whole file for them.

    Args:
        path: File that FFmpeg may know.

    Raises:
        OSError: If it cannot be read; ``av.FFmpegError`` likewise.
    """
    import av

    major = int(av.__version__.partition(".")[0])
    options: dict[str, Any] = {} if major >= _KEEPS_ANY_TAG else {"metadata_errors": "ignore"}
    return av.open(file_url(path), "r", **options)
