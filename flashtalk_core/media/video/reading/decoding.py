"""Decoding the frames of a video that are shown at given times."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ....borders import library_border
from ....errors import InvalidInputError
from ....excerpt import shown_path
from ...container import MAX_FRAME_PX
from .container import frames_of, open_video, unreadable, video_track
from .timeline import VideoTimeline

if TYPE_CHECKING:
    from av import VideoFrame
    from av.container import InputContainer


def frames_shown_at(
    path: Path, timeline: VideoTimeline, wanted: NDArray[np.int64]
) -> Iterator[tuple[VideoFrame, bool]]:
    """Yield the frame shown at each of ``wanted``, and whether it stands in for that one."""
    position, last = 0, None
    for ticks, frame in frames_before(path, timeline, int(wanted[0])):
        while position < len(wanted) and wanted[position] < ticks:
            yield last or frame, True
            position += 1
        last = frame
        while position < len(wanted) and wanted[position] == ticks:
            yield frame, False
            position += 1
        if position == len(wanted):
            return
    assert last is not None, "no frame, and none missed"
    for _ in wanted[position:]:
        yield last, True


def frames_before(
    path: Path, timeline: VideoTimeline, ticks: int
) -> Iterator[tuple[int, VideoFrame]]:
    """Decode from a frame at or before a time stamp on, with the time stamp of each."""
    for key in (*timeline.keys_before(ticks), None):
        with closing(open_video(path)) as container:
            frames = _frames_from(path, container, timeline, key)
            first = next(frames, None)
            if first is not None and (key is None or first[0] <= ticks):
                yield first
                yield from frames
                return
    raise InvalidInputError(
        f"video {shown_path(path)}: none of its frames can be decoded: it is damaged, "
        f"or they have more than {MAX_FRAME_PX} pixels; copy it again, or scale it down"
    )


def _frames_from(
    path: Path, container: InputContainer, timeline: VideoTimeline, key: int | None
) -> Iterator[tuple[int, VideoFrame]]:
    track = video_track(path, container)
    if key is not None:
        try:
            with library_border(lambda why: unreadable(path, why)):
                container.seek(key, stream=track)
        except InvalidInputError:
            return  # then it is read from its start
    place = 0 if key is None else None
    for frame in frames_of(path, container, track):
        if not timeline.is_in_order:
            if frame.pts is not None:
                yield frame.pts, frame
            continue
        if place is None:  # without an index it may be any other place than the one asked for
            found = key if frame.pts is None else frame.pts
            place = int(np.searchsorted(timeline.shown, found or 0))
        if place < len(timeline.shown):
            yield int(timeline.shown[place]), frame
            place += 1
