"""What the header of a WAV file says about the file's length."""

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
