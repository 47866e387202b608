"""ComfyUI's VIDEO: the file behind it, and what was done to it that is not in the file."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from comfy_api.latest import InputImpl

if TYPE_CHECKING:
    from comfy_api.latest import Input

_FILE = "file"
_TRIM = ("start_time", "duration")


@contextmanager
def source_file(video: Input.Video) -> Iterator[Path | None]:
    """Give the file that ``video`` is a part of; ``None`` where ComfyUI holds frames.

    Bytes in memory are written to a file for that long.
    """
    source = None
    if not isinstance(video, InputImpl.VideoFromComponents):
        source = video.get_stream_source()
    if not isinstance(source, BytesIO):
        yield Path(source) if isinstance(source, str) else None
        return
    with TemporaryDirectory(prefix="flashtalk-") as folder:
        path = Path(folder) / "video in memory"
        path.write_bytes(source.getbuffer())
        yield path


def trim_window(video: Input.Video) -> tuple[float, float]:
    """Return the start of a trim and its length in seconds; a length of 0 is up to the end."""
    # ComfyUI has it from 0.23 on.
    window = getattr(video, "get_active_trim_window", None)
    return (0.0, 0.0) if window is None else window()


def has_edits(video: Input.Video) -> bool:
    """Whether the file lacks an edit (crop, size) that ComfyUI applies when it decodes."""
    # The newest ComfyUI has a method; older ones keep it in attributes, and later ones may again.
    pending = getattr(video, "has_pending_frame_edits", None)
    if pending is not None:
        return bool(pending())
    known = {_FILE, *(_TRIM if hasattr(video, "get_active_trim_window") else ())}
    attributes = getattr(video, "__dict__", {})
    return any(
        bool(value) for name, value in attributes.items() if name.rpartition("__")[2] not in known
    )
