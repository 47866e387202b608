"""What the header of a WAV or AU file says about its length, and who reads it rightly."""

from __future__ import annotations

import struct
from pathlib import Path

# Programs that write into a pipe do not know the length and state one near the largest.
_LEAST_UNKNOWN_BYTES = 0x7FFF_0000


def missing_wav_s(path: Path) -> float:
    """Return how many seconds a file lacks of what its header states; 0 if it is no WAV file."""
    with path.open("rb") as file:
        end = file.seek(0, 2)
        file.seek(0)
        head = file.read(12)
        if head[:4] != b"RIFF" or head[8:] != b"WAVE":
            return 0.0
        bytes_per_s = 0
        while len(head := file.read(8)) == 8:
            kind, size = struct.unpack("<4sI", head)
            start = file.tell()
            if kind == b"data":
                is_known = bytes_per_s and size < _LEAST_UNKNOWN_BYTES
                return max(0, start + size - end) / bytes_per_s if is_known else 0.0
            if kind == b"fmt ":
                bytes_per_s = int.from_bytes(file.read(16)[8:12], "little")
            file.seek(start + size + size % 2)
    return 0.0


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
