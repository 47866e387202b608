"""Opening a video the user named, and choosing and reading the track that a player shows."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from functools import partial
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from ....borders import is_out_of_memory, library_border
from ....errors import InvalidInputError
from ....excerpt import shown_path
from ....files.input_path import check_input
from ....log import printable_log
from ...audio.decoding.clock import is_still
from ...container import MAX_FRAME_PX, demuxed, is_default, open_container

if TYPE_CHECKING:
    from av import Packet, VideoFrame
    from av.container import InputContainer
    from av.video.stream import VideoStream

_log = printable_log(logging.getLogger(__name__))


def open_video(path: str | Path) -> InputContainer:
    """Open a video; the caller closes it.

    Raises:
        InvalidInputError: If there is no such file, or no video track in it.
    """
    path = check_input(path, "video")
    with library_border(lambda why: unreadable(path, why)):
        container = open_container(path)
    try:
        video_track(path, container)
    except BaseException:
        container.close()
        raise
    return container


def video_track(path: str | Path, container: InputContainer) -> VideoStream:
    """Return the track that a player shows: no cover, and one that there is a decoder for.

    Raises:
        InvalidInputError: If there is none.
    """
    tracks = [stream for stream in container.streams.video if not is_still(stream)]
    decodable = [stream for stream in tracks if stream.codec_context is not None]
    if not decodable:
        found = "no decoder for its video track" if tracks else "no video track in it"
        raise InvalidInputError(f"video {shown_path(path)}: {found}; use a rendered video")
    return next((stream for stream in decodable if is_default(stream)), decodable[0])


def packets_of(
    path: Path, container: InputContainer, track: VideoStream, *, warns: bool = False
) -> Iterator[Packet]:
    """Yield the packets of a track; a file that was cut short ends where it was cut.

    Args:
        path: The video.
        container: The same, opened.
        track: A track of it.
        warns: Whether to warn of such an end: once is enough.

    Raises:
        InvalidInputError: If the file cannot be read.
    """

    def warn(_: str) -> None:
        if warns:
            name = shown_path(path)
            _log.warning("video %s: it is damaged, and read up to there only", name)

    return demuxed(container, [track], partial(unreadable, path), warn)


def frames_of(path: Path, container: InputContainer, track: VideoStream) -> Iterator[VideoFrame]:
    """Decode a track from where the container stands, stepping over damage as players do.

    Raises:
        InvalidInputError: If the file cannot be read, or holds frames that are too large.
    """
    import av

    track.codec_context.options = {"max_pixels": str(MAX_FRAME_PX)}
    # Behind a damaged end nothing asks the decoder for the frames that it holds back.
    for packet in chain(packets_of(path, container, track), [None]):
        with library_border(lambda why: unreadable(path, why)):
            try:
                frames = track.codec_context.decode(packet)
            except av.FFmpegError as error:
                if is_out_of_memory(error):
                    raise
                continue  # the code that counts the frames reports it
        yield from frames


def unreadable(path: str | Path, why: str) -> InvalidInputError:
    """Return what to raise for a video that cannot be read."""
    return InvalidInputError(
        f"video {shown_path(path)}: cannot be read ({why}); use a finished video, or copy it again"
    )
