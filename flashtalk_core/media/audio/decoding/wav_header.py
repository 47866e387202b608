"""What the header of a WAV or AU file says about its length, and who reads it rightly."""

from __future__ import annotations

import re
import struct
from pathlib import Path
from typing import NamedTuple

# Programs that write into a pipe do not know the length and state one near the largest.
_LEAST_UNKNOWN_BYTES = 0x7FFF_0000
_MOST_CHUNKS = 1000
_IS_NAME = re.compile(rb"[ -~]{4}")


class _Chunk(NamedTuple):
    kind: bytes
    start: int
    size: int
    """As stated; may reach behind the end of the file."""


def missing_wav_s(path: Path) -> float:
    """Return how many seconds a file lacks of what its header states; 0 if it is no WAV file."""
    bytes_per_s, chunks, end = _wav_chunks(path)
    data = next((chunk for chunk in chunks if chunk.kind == b"data"), None)
    if data is None or not bytes_per_s or data.size >= _LEAST_UNKNOWN_BYTES:
        return 0.0
    return max(0, data.start + data.size - end) / bytes_per_s


def wav_notes(path: Path) -> list[str]:
    """Return what of a WAV file is not played, a sentence each."""
    bytes_per_s, chunks, end = _wav_chunks(path)
    data = [chunk for chunk in chunks if chunk.kind == b"data"]
    if not data or not bytes_per_s:
        return []
    if len(data) > 1:
        return [f"its audio is in {len(data)} data chunks, of which one is read; export it again"]
    stop = data[0].start + data[0].size
    last = chunks[-1]
    left_s = (end - stop) / bytes_per_s
    # Other chunks have names of letters and end inside the file.
    is_whole = last.start + last.size <= end + 1
    are_named = all(_IS_NAME.fullmatch(chunk.kind) for chunk in chunks)
    if not 0 < data[0].size < _LEAST_UNKNOWN_BYTES or (is_whole and are_named) or left_s < 0.1:
        return []
    return [
        f"its header states {data[0].size / bytes_per_s:.3f} s, but {left_s:.3f} s more are there, "
        "which are not read; let its recorder close it, or export it again"
    ]


def _wav_chunks(path: Path) -> tuple[int, list[_Chunk], int]:
    """Return bytes a second, the chunks of a WAV file, and its size; none if it is no WAV file."""
    bytes_per_s, chunks = 0, list[_Chunk]()
    with path.open("rb") as file:
        end = file.seek(0, 2)
        file.seek(0)
        head = file.read(12)
        if head[:4] != b"RIFF" or head[8:] != b"WAVE":
            return 0, [], end
        while len(head := file.read(8)) == 8 and len(chunks) < _MOST_CHUNKS:
            kind, size = struct.unpack("<4sI", head)
            chunk = _Chunk(kind, file.tell(), size)
            chunks.append(chunk)
            if kind == b"fmt ":
                bytes_per_s = int.from_bytes(file.read(16)[8:12], "little")
            file.seek(chunk.start + size + size % 2)
    return bytes_per_s, chunks, end


# Compressions that FFmpeg takes for others of the same number.
_MISREAD_WAV = {0x0040: "WAV with G.721"}
_MISREAD_AU = {23: "AU with G.721", 25: "AU with G.723", 26: "AU with G.723"}


def better_reader_for(path: Path) -> str:
    """Return what a file is, if it is one that FFmpeg opens but misreads; empty if it is not."""
    with path.open("rb") as file:
        head = file.read(64)
    if head[:4] == b"RIFX" and head[8:12] == b"WAVE":
        return "WAV with its bytes in reverse order (RIFX)"
    if head[:4] == b"RIFF" and head[8:16] == b"WAVEfmt ":
        return _MISREAD_WAV.get(int.from_bytes(head[20:22], "little"), "")
    if head[:4] == b".snd":
        return _MISREAD_AU.get(int.from_bytes(head[12:16], "big"), "")
    return ""
