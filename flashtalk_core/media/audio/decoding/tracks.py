"""Audio read with PyAV: the track that a player would play.

Axis legend: C channels, n samples; a block is ``(C, n)`` float32, full scale at 1.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from io import RawIOBase
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from ....borders import library_border
from ....errors import InvalidInputError
from ....excerpt import excerpt, shown_path
from ...container import DamagedTablesError, is_default, open_container
from ..source import Block, check_rate
from .blocks import joined_blocks, without_padding
from .changes import one_kind
from .clock import clock_of, in_time
from .frames import decoded_segments
from .segments import OpenedAudio, note_collector, unopened

if TYPE_CHECKING:
    from av.audio.stream import AudioStream
    from av.container import InputContainer

# Comments, for the hard of hearing or of seeing, descriptions, and what needs another track.
_NOT_FIRST = 0x8 | 0x80 | 0x100 | 0x20000 | 0x80000
_FIRST_GOOD_SPEEX = 62
"""Libavcodec that decodes Speex at its true length."""


def open_with_av(path: Path, notes: list[str], part: RawIOBase | None = None) -> OpenedAudio | None:
    """Open with PyAV; ``None`` if it does not know the format or has no decoder for it.

    Args:
        path: The file.
        notes: Gets what should be known about it, at once and while it is read.
        part: The bytes that are read instead of all of ``path``.

    Raises:
        InvalidInputError: If no track of it can be read.
    """
    container = _opened(path, part)
    if container is None:
        return None
    with _closed_on_failure(container):
        order = _tracks_in_order(path, container)
    if not order:
        container.close()
        return None
    errors: list[InvalidInputError] = []
    for index in order:
        if errors:
            container = _opened(path, part)
            if container is None:
                break  # it changed meanwhile
        found: list[str] = []
        try:
            with _closed_on_failure(container):
                opened = _open_track(path, container, index, found)
        except InvalidInputError as error:
            errors.append(error)
            continue
        if len(container.streams.audio) > 1:
            found.append(_chosen(container, index))
        return _with_notes(opened, found, notes)
    raise errors[0]


@contextmanager
def _closed_on_failure(container: InputContainer) -> Iterator[None]:
    try:
        yield
    except BaseException:
        container.close()
        raise


def _with_notes(opened: OpenedAudio, found: list[str], notes: list[str]) -> OpenedAudio:
    """Pass on what was noticed, now and while the audio is read."""

    def pass_on() -> None:
        for note in found:
            note_collector(notes)(note)

    def blocks() -> Iterator[Block]:
        for block in opened.blocks:
            pass_on()
            yield block
        pass_on()

    pass_on()
    return opened._replace(blocks=blocks())


def _opened(path: Path, part: RawIOBase | None) -> InputContainer | None:
    import av

    unknown = (
        av.error.InvalidDataError, av.error.DecoderNotFoundError, av.error.PatchWelcomeError,
        av.error.EOFError,
    )  # fmt: skip
    with library_border(lambda said: unopened(path, said)):
        try:
            if part is not None:
                part.seek(0)
            return open_container(path, part)
        except unknown:
            return None
        except DamagedTablesError as error:
            raise InvalidInputError(
                f"audio {shown_path(path)}: {error}; it is damaged, copy or export it again"
            ) from error


def _tracks_in_order(path: Path, container: InputContainer) -> list[int]:
    """Return the audio tracks with a decoder, the one a player would play first.

    Raises:
        InvalidInputError: If there are other tracks only.
    """
    tracks = container.streams.audio
    if not tracks:
        kinds = ", ".join(sorted({stream.type for stream in container.streams}))
        if not kinds:
            return []
        raise InvalidInputError(
            f"audio {shown_path(path)}: no audio track in it (only {kinds}); use a file with audio"
        )
    return [tracks.index(track) for track in decodable_tracks(container)]


def decodable_tracks(container: InputContainer) -> list[AudioStream]:
    """Return the audio tracks with a decoder, the one a player would play first."""
    # PyAV before 18 crashes instead of saying so where there is no decoder.
    known = [track for track in container.streams.audio if track.codec_context is not None]
    return sorted(known, key=_rank)


def _rank(track: AudioStream) -> tuple[bool, bool]:
    flags = track.disposition.value
    title = " ".join(track.metadata.values()).lower()
    is_aside = bool(flags & _NOT_FIRST) or "commentary" in title
    return is_aside, not is_default(track)


def _chosen(container: InputContainer, index: int) -> str:
    track = container.streams.audio[index]
    said = [track.metadata.get(key, "") for key in ("title", "language")]
    about = ", ".join(excerpt(each) for each in said if each and each != "und")
    return (
        f"it has {len(container.streams.audio)} audio tracks; number {index + 1}"
        f"{f' ({about})' if about else ''} is used, as players do"
    )


def _open_track(path: Path, container: InputContainer, index: int, found: list[str]) -> OpenedAudio:
    track = container.streams.audio[index]
    _check_codec(path, track)
    clock = clock_of(path, container, track)
    add_note = note_collector(found)
    segments = decoded_segments(path, container, track, is_timed=clock.is_timed, add_note=add_note)
    alike = one_kind(segments, add_note, is_timed=clock.is_timed)
    first = next(alike, None)
    if first is None:
        raise InvalidInputError(
            f"audio {shown_path(path)}: it holds 0 samples; record or export it again"
        )
    check_rate(path, first.rate_hz)
    blocks = joined_blocks(in_time(chain([first], alike), clock, add_note))
    limit_s = _stated_s(container, track)
    if limit_s is not None:
        lead_s = max(0, (first.time_s or 0) - (clock.zero_s or 0))
        blocks = without_padding(blocks, round((limit_s + lead_s) * first.rate_hz))
    return OpenedAudio(first.rate_hz, len(first.samples), first.layout, blocks, container.close)


def _check_codec(path: Path, track: AudioStream) -> None:
    import av

    major = av.library_versions["libavcodec"][0]
    if track.codec_context.name == "speex" and major < _FIRST_GOOD_SPEEX:
        raise InvalidInputError(
            f"audio {shown_path(path)}: Speex, which PyAV {av.__version__} plays wrongly; update "
            "it to 16 or later, or export the audio as WAV"
        )


def _stated_s(container: InputContainer, track: AudioStream) -> float | None:
    """Return the length an MP4 or MOV states for its audio; its decoders leave padding after it."""
    if "mp4" not in container.format.name or not track.duration or not track.time_base:
        return None
    return float(track.duration * track.time_base)
