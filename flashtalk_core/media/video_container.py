"""Opening a video the user named."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import InvalidInputError
from .container import open_container
from .input_path import check_input
from .output_path import reason

if TYPE_CHECKING:
    from av.container import InputContainer


def open_video(path: str | Path) -> InputContainer:
    """Open a video; the caller closes it.

    Raises:
        InvalidInputError: If there is no such file, or no picture track in it.
    """
    import av

    path = check_input(path, "video")
    try:
        container = open_container(path)
    except (OSError, av.FFmpegError) as error:
        raise unreadable(path, error) from error
    if not container.streams.video:
        container.close()
        raise InvalidInputError(f"video {path}: no picture track in it; use a rendered video")
    return container


def unreadable(path: Path, error: Exception) -> InvalidInputError:
    """Return what to raise for a video that cannot be read."""
    return InvalidInputError(
        f"video {path}: cannot be read ({reason(error)}); use a finished video, or copy it again"
    )
