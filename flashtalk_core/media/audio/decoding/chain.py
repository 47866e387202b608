"""Ogg files that were joined end to end, as radio streams are: each part is a file of its own.

FFmpeg does not go on where the next part has another rate.

Axis legend: C channels, n samples; a block is ``(C, n)`` float32, full scale at 1.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Generator, Iterator
from pathlib import Path

from ....errors import InvalidInputError
from ....excerpt import shown_path
from ..source import Block
from .changes import one_kind
from .ogg_pages import ogg_pages
from .segments import DAMAGED, AudioSegment, OpenedAudio, note_collector

OpenPart = Callable[[io.RawIOBase], OpenedAudio | None]


def part_offsets(path: Path) -> list[int]:
    """Return where the parts of an Ogg file begin; empty if it is none."""
    offsets: list[int] = []
    was_first = False
    for page in ogg_pages(path):
        # Tracks of one part begin side by side.
        if page.is_first and not was_first:
            offsets.append(page.start)
        was_first = page.is_first
    return offsets


def open_chain(
    path: Path, offsets: list[int], notes: list[str], open_part: OpenPart
) -> OpenedAudio | None:
    """Open a file of several parts as one audio track, at the rate of the first that lasts.

    Parts that cannot be read are left out. ``None`` if no part can be.

    Args:
        path: The file.
        offsets: Where its parts begin.
        notes: Gets what should be known about it, at once and while it is read.
        open_part: Opens the bytes of one part; ``None`` if they are no audio. Raises
            :class:`InvalidInputError` if they cannot be read.
    """
    add_note = note_collector(notes)

    def segments() -> Generator[AudioSegment]:
        for start, stop in zip(offsets, [*offsets[1:], path.stat().st_size], strict=True):
            try:
                yield from _segments_of_part(path, start, stop, open_part)
            except InvalidInputError:
                add_note(DAMAGED)

    source = segments()
    alike = one_kind(source, add_note, is_timed=False)
    first = next(alike, None)
    if first is None:
        return None

    def blocks() -> Iterator[Block]:
        yield first.samples
        for segment in alike:
            yield segment.samples

    return OpenedAudio(first.rate_hz, len(first.samples), first.layout, blocks(), source.close)


def _segments_of_part(
    path: Path, start: int, stop: int, open_part: OpenPart
) -> Iterator[AudioSegment]:
    with _Part(path, start, stop) as part:
        opened = open_part(part)
        if opened is None:
            raise InvalidInputError(f"audio {shown_path(path)}: a part of it is not audio")
        try:
            for block in opened.blocks:
                yield AudioSegment(block, opened.rate_hz, opened.layout)
        finally:
            opened.close()


class _Part(io.RawIOBase):
    """Some bytes of a file, as a file."""

    def __init__(self, path: Path, start: int, stop: int) -> None:
        self._file = path.open("rb")
        self._start, self._size = start, stop - start
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        left = max(0, self._size - self._position)
        self._file.seek(self._start + self._position)
        data = self._file.read(left if size < 0 else min(size, left))
        self._position += len(data)
        return data

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        self._position = max(0, base + offset)
        return self._position

    def tell(self) -> int:
        return self._position

    def close(self) -> None:
        self._file.close()
        super().close()
