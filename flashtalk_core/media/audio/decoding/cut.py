"""Audio files that hold less than they state."""

from __future__ import annotations

from pathlib import Path

from .ogg_pages import ogg_pages

CUT_SHORT = "the file holds less than it states: it is cut short; copy it again"

_HEAD_BYTES = 1 << 16
_EBML, _SEGMENT = b"\x1aE\xdf\xa3", b"\x18S\x80g"
_XING_BYTES_FLAG = 0x02
_XING_SLACK_BYTES = 4096


def is_cut_short(path: Path) -> bool:
    """Return whether an Ogg, Matroska, WebM or MP3 file lacks its end, as far as it can be told.

    Live streams state no length, and MP3 without a table neither.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(_HEAD_BYTES)
    if head[:4] == b"OggS":
        return max((page.stop for page in ogg_pages(path)), default=0) > size
    if head[:4] == _EBML:
        return _segment_stop(head) > size
    return _mp3_stop(head) > size + _XING_SLACK_BYTES


def _segment_stop(head: bytes) -> int:
    """Return where a Matroska file says its content ends; 0 if it does not say."""
    length, size = _ebml_size(head, 4)
    start = 4 + length + size
    if head[start : start + 4] != _SEGMENT:
        return 0
    length, size = _ebml_size(head, start + 4)
    is_unknown = size == (1 << 7 * length) - 1
    return 0 if is_unknown else start + 4 + length + size


def _ebml_size(data: bytes, start: int) -> tuple[int, int]:
    """Return how many bytes a size takes, and the size."""
    first = data[start] if start < len(data) else 0
    length = 9 - first.bit_length() if first else 8
    value = int.from_bytes(data[start : start + length], "big")
    return length, value & ((1 << 7 * length) - 1)


def _mp3_stop(head: bytes) -> int:
    """Return where the table of an MP3 file says its audio ends; 0 if it has none."""
    start = 0
    if head[:3] == b"ID3":
        start = 10 + sum((byte & 0x7F) << 7 * (3 - index) for index, byte in enumerate(head[6:10]))
    frame = head[start : start + 192]
    if len(frame) < 4 or frame[0] != 0xFF or frame[1] & 0xE0 != 0xE0:
        return 0
    for name in (b"Xing", b"Info"):
        at = frame.find(name)
        flags = int.from_bytes(frame[at + 4 : at + 8], "big")
        if at >= 0 and flags & _XING_BYTES_FLAG:
            at += 8 + 4 * (flags & 1)
            return start + int.from_bytes(frame[at : at + 4], "big")
    return 0
