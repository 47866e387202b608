"""ComfyUI's VIDEO: the file behind it, and what was done to it that is not in the file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from comfy_api.latest import InputImpl

if TYPE_CHECKING:
    from comfy_api.latest import Input

_FILE = "file"
_TRIM = ("start_time", "duration")


def plain_file(video: Input.Video) -> Path | None:
    """Return the file whose frames are those of ``video``, apart from a trim.

    ``None`` where there is none: the video is in memory, or the file lacks an edit (crop, size)
    that ComfyUI applies when it decodes.
    """
    if isinstance(video, InputImpl.VideoFromComponents) or _has_edits(video):
        return None
    source = video.get_stream_source()
    return Path(source) if isinstance(source, str) else None


def trim_window(video: Input.Video) -> tuple[float, float]:
    """Return the start of a trim and its length in seconds; a length of 0 is up to the end."""
    # ComfyUI has it from 0.23 on.
    window = getattr(video, "get_active_trim_window", None)
    return (0.0, 0.0) if window is None else window()


def _has_edits(video: Input.Video) -> bool:
    """Whether something was done to the frames that :func:`trim_window` does not tell."""
    # The newest ComfyUI tells; those before keep it in attributes, and so may those to come.
    pending = getattr(video, "has_pending_frame_edits", None)
    if pending is not None:
        return bool(pending())
    known = {_FILE, *(_TRIM if hasattr(video, "get_active_trim_window") else ())}
    attributes = getattr(video, "__dict__", {})
    return any(
        bool(value) for name, value in attributes.items() if name.rpartition("__")[2] not in known
    )
