"""Audio read with libsndfile (``soundfile``), where that is installed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from ....borders import library_border
from ....errors import InvalidInputError
from ..source import BLOCK_SAMPLES, Block, check_rate
from .segments import OpenedAudio, unreadable

if TYPE_CHECKING:
    from soundfile import SoundFile

# Those that say what they are. The others take any bytes for audio, or open a second file.
_FORMATS = frozenset((
    "AIFF", "AU", "AVR", "CAF", "FLAC", "HTK", "IRCAM", "MAT4", "MAT5", "MPC2K",
    "NIST", "OGG", "PAF", "PVF", "RF64", "SVX", "VOC", "W64", "WAV", "WAVEX", "WVE", "XI",
))  # fmt: skip


def open_with_libsndfile(path: Path) -> OpenedAudio | None:
    """Open with libsndfile; ``None`` if it is not installed or does not know the format.

    Raises:
        InvalidInputError: If its rate cannot be used.
    """
    try:
        import soundfile
    except (ImportError, OSError):  # the second where the library next to the package is missing
        return None
    if _is_noisy(path):
        return None
    # By content alone: of a name, libsndfile would take the suffix for a format.
    with library_border(lambda said: unreadable(path, said)):
        file = os.fdopen(os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0)), "rb")
        try:
            audio = soundfile.SoundFile(file)
        except soundfile.LibsndfileError:
            file.close()
            return None
        except BaseException:
            file.close()
            raise

    def close() -> None:
        audio.close()
        file.close()

    try:
        if audio.format not in _FORMATS:
            close()
            return None
        check_rate(path, audio.samplerate)
    except InvalidInputError:
        close()
        raise
    return OpenedAudio(audio.samplerate, audio.channels, "", _blocks(path, audio), close)


def _is_noisy(path: Path) -> bool:
    """Whether libsndfile would write on the terminal: of MPEG, which FFmpeg reads, and of SDS."""
    with library_border(lambda said: unreadable(path, said)), path.open("rb") as file:
        head = file.read(3)
    is_mpeg = head == b"ID3" or (head[:1] == b"\xff" and head[1:2] >= b"\xe0")
    return is_mpeg or head[:2] == b"\xf0\x7e"


def _blocks(path: Path, audio: SoundFile) -> Iterator[Block]:
    while True:
        with library_border(lambda said: unreadable(path, said)):
            block = audio.read(BLOCK_SAMPLES, dtype="float32", always_2d=True)
        if not len(block):
            return
        yield block.T
