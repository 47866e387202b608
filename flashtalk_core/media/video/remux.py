"""A finished video in another file: the same packets, other metadata, nothing encoded."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from ...errors import require
from ...excerpt import excerpt, shown_path
from ...files.input_path import check_input
from ...files.output_lock import lock_output
from ...files.output_path import OutputPath, output_target, unwritable
from ...files.whole_file import replacing
from ..isobmff.metadata import is_plain_mp4, replace_metadata
from .packet_copy import copy_packets
from .reading.container import open_video

CONTAINERS = {".mp4": "mp4", ".mov": "mov", ".mkv": "matroska"}
"""FFmpeg's name of each container by the suffix of the file."""


def remux_video(source: Path, target: Path, metadata: Mapping[str, str]) -> None:
    """Write the packets of a video into another file.

    From a plain MP4 to MP4 not a bit of them and of their tables changes. In MOV all frame times
    and the length of the audio stay exact too. In Matroska times are whole milliseconds, names of
    metadata come out in capitals, and the audio may last up to one encoder frame longer, because
    its padding at the end stays.

    Args:
        source: Video to read.
        target: File to write, in one of :data:`CONTAINERS`; an older one is replaced, but by a
            complete file only, and what a link names in place of the link. It may be ``source``.
        metadata: Texts by any names; those of ``source`` are left out.

    Raises:
        InvalidInputError: If ``source`` is no video, or ``target`` names another container.
        OutputError: If ``target`` cannot be written.
    """
    source, target = check_input(source, "video"), Path(target)
    suffix = target.suffix.lower()
    require(
        suffix in CONTAINERS,
        f"output {shown_path(target)}: '{excerpt(target.suffix, 20)}' is not written; use a name "
        f"in {', '.join(CONTAINERS)}",
    )
    open_video(source).close()  # what is no video is refused before a name is taken
    with _replacing(target) as unfinished:
        if suffix == ".mp4" and is_plain_mp4(source):
            replace_metadata(source, unfinished, metadata)
        else:
            copy_packets(source, unfinished, CONTAINERS[suffix], metadata)


@contextmanager
def _replacing(target: Path) -> Iterator[Path]:
    """Give a name next to ``target``; what is written there takes its place in the end."""
    import av

    try:
        target = output_target(target)
        with lock_output(target, OutputPath(target).lock), replacing(target) as unfinished:
            yield unfinished
    except (OSError, av.FFmpegError) as error:
        raise unwritable(target, error) from error
