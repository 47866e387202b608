"""Pages of Ogg files. Source: RFC 3533."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

_MAGIC = b"OggS"
_HEAD_BYTES = 27
_FIRST_PAGE = 0x02


class OggPage(NamedTuple):
    """Where a page lies, in bytes."""

    start: int
    stop: int
    """May lie behind the end of a file that is cut short."""
    is_first: bool
    """Whether a track begins in it."""


def ogg_pages(path: Path) -> Iterator[OggPage]:
    """Yield the pages of a file up to the first that is damaged; only their heads are read."""
    with path.open("rb") as file:
        start = 0
        while len(head := file.read(_HEAD_BYTES)) == _HEAD_BYTES and head[:4] == _MAGIC:
            sizes = file.read(head[26])
            stop = start + _HEAD_BYTES + len(sizes) + sum(sizes)
            yield OggPage(start, stop, bool(head[5] & _FIRST_PAGE))
            start = stop
            file.seek(start)
