"""Readers of audio files: PyAV, and libsndfile for what only that reads, or reads rightly.

Axis legend: C channels, n samples; a block is ``(C, n)`` float32, full scale at 1.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from ....borders import library_border
from ....errors import InvalidInputError
from ....excerpt import shown_path
from ....packages import missing_package
from ..source import Block
from .chain import open_chain, part_offsets
from .cut import CUT_SHORT, is_cut_short
from .libsndfile import open_with_libsndfile
from .mp4_unclosed import is_unclosed
from .segments import unopened
from .tracks import open_with_av
from .wav_header import better_reader_for, missing_wav_s, wav_notes


class DecodedAudio(NamedTuple):
    """Audio that was opened: its first block is decoded, the others follow on demand."""

    rate_hz: int
    channels: int
    layout: str
    """FFmpeg's name of the channel layout; empty where there is none."""
    blocks: Iterator[Block]
    close: Callable[[], None]
    """Releases the file."""
    notes: list[str]
    """What should be known about it; grows while it is read."""
    missing_s: float
    """Seconds a file lacks of what its header states."""


def open_audio_file(path: Path) -> DecodedAudio:
    """Open an audio file, or a video with an audio track.

    Raises:
        InvalidInputError: If there is no audio in it that can be read.
    """
    with library_border(lambda said: unopened(path, said)):
        kind = better_reader_for(path)
        parts = part_offsets(path)
        missing_s = missing_wav_s(path)
        notes = [*wav_notes(path), *([CUT_SHORT] if is_cut_short(path) else [])]
    if kind:
        opened = open_with_libsndfile(path)
        if opened is None:
            raise InvalidInputError(_misread(path, kind))
    elif len(parts) > 1:
        opened = open_chain(path, parts, notes, partial(open_with_av, path, notes))
    else:
        opened = open_with_av(path, notes) or open_with_libsndfile(path)
    if opened is None:
        raise InvalidInputError(_no_audio(path))
    return DecodedAudio(*opened, notes, missing_s)


def _misread(path: Path, kind: str) -> str:
    if find_spec("soundfile") is None:
        remedy = missing_package("soundfile")
    else:
        remedy = "neither can libsndfile read it; export it again as WAV"
    return f"audio {shown_path(path)}: {kind}, which FFmpeg plays as noise; {remedy}"


def _no_audio(path: Path) -> str:
    if is_unclosed(path):
        return (
            f"audio {shown_path(path)}: the table of its contents (moov) is missing: its recording "
            "was never closed, or it is cut short; copy or export it again"
        )
    return (
        f"audio {shown_path(path)}: its {path.stat().st_size} bytes are not audio that "
        f"{_readers()} can read; export it again as WAV, MP3, M4A, FLAC or Ogg"
    )


def _readers() -> str:
    """Return who looked at a file, and who else might know it."""
    if find_spec("soundfile") is not None:
        return "PyAV or libsndfile"
    return f"PyAV (libsndfile was not tried: {missing_package('soundfile')})"
