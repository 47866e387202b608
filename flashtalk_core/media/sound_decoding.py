"""Decoders of sound files: PyAV, and libsndfile where that knows more.

Axis legend: C channels, n samples; a block is ``(C, n)`` float32, full scale at 1.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from fractions import Fraction
from importlib.util import find_spec
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ..errors import InvalidInputError
from ..log import printable_log
from ..packages import missing_package
from .container import open_container
from .sound_array import Block, check_rate

if TYPE_CHECKING:
    from av.audio.frame import AudioFrame
    from av.container import InputContainer

_log = printable_log(logging.getLogger(__name__))

BLOCK_SAMPLES = 1 << 15
"""Least size of a block, but for the last one."""

# Most samples after a track's stated end that count as encoder padding: two frames of HE-AAC.
_MAX_PADDING = 4096
# Planar channels from which on PyAV looks for one more plane than there is, and fails or crashes.
_TOO_MANY_PLANES = 8
# FFmpeg's sample formats: numpy's type and full scale. 24-bit sound arrives as s32.
_FORMATS: dict[str, tuple[type[np.generic], float]] = {
    "u8": (np.uint8, 2.0**7),
    "s16": (np.int16, 2.0**15),
    "s32": (np.int32, 2.0**31),
    "s64": (np.int64, 2.0**63),
    "flt": (np.float32, 1.0),
    "dbl": (np.float64, 1.0),
}


class DecodedSound(NamedTuple):
    """A sound that was opened: its first block is decoded, the others follow on demand."""

    rate_hz: int
    channels: int
    layout: str
    """FFmpeg's name of the channel layout; empty where there is none."""
    blocks: Iterator[Block]
    resource: Any
    """To be closed."""


def open_sound_file(path: Path) -> DecodedSound:
    """Open a sound file, or a video with a sound track.

    Raises:
        InvalidInputError: If there is no sound in it that can be read.
    """
    opened = _open_with_av(path) or _open_with_soundfile(path)
    if opened is None:
        raise InvalidInputError(
            f"sound {path}: its {path.stat().st_size} bytes are no sound {_readers()} can read; "
            "export it again as WAV, MP3, M4A, FLAC or Ogg"
        )
    return opened


def _readers() -> str:
    """Return who looked at a file, and who else might know it."""
    if find_spec("soundfile") is not None:
        return "PyAV or libsndfile"
    return f"PyAV (libsndfile was not asked: {missing_package('soundfile')})"


def _open_with_av(path: Path) -> DecodedSound | None:
    """Open with PyAV; ``None`` if it does not know the format or has no decoder for it."""
    import av

    try:
        container = open_container(path)
    except (av.error.InvalidDataError, av.error.DecoderNotFoundError):
        return None
    except (av.FFmpegError, OSError) as error:
        raise InvalidInputError(
            f"sound {path}: cannot be opened ({_reason(error)}); check the file and its permissions"
        ) from error
    try:
        return _first_frame(path, container)
    except BaseException:
        container.close()
        raise


def _first_frame(path: Path, container: InputContainer) -> DecodedSound | None:
    if not container.streams.audio:
        kinds = ", ".join(sorted({stream.type for stream in container.streams})) or "nothing"
        if kinds == "nothing":
            return None
        raise InvalidInputError(
            f"sound {path}: no sound track in it (only {kinds}); use a file with sound"
        )
    if container.streams.audio[0].codec_context is None:
        return None  # no decoder for it; PyAV before 18 crashes instead of saying so
    frames = _frames(path, container)
    first = next(frames, None)
    if first is None:
        raise InvalidInputError(f"sound {path}: it holds 0 samples; record or export it again")
    rate_hz, channels = first.sample_rate, len(first.layout.channels)
    check_rate(path, rate_hz)
    blocks = _blocks(_checked(path, chain([first], frames), rate_hz, channels))
    limit = _stated_samples(container, rate_hz)
    if limit is not None:
        blocks = _without_padding(blocks, limit)
    return DecodedSound(rate_hz, channels, first.layout.name, blocks, container)


def _frames(path: Path, container: InputContainer) -> Iterator[AudioFrame]:
    """Decode the sound track, stepping over damaged packets as players do."""
    import av

    stream = container.streams.audio[0]
    damaged = 0
    packets = container.demux(stream)
    while True:
        try:
            packet = next(packets)
            decoded = packet.decode()
        except StopIteration:
            break
        except av.error.EOFError:
            break
        except av.error.InvalidDataError:
            damaged += 1
            if damaged == 1:
                _log.warning("sound %s: damaged in places; what cannot be read is left out", path)
            continue
        except (av.FFmpegError, OSError) as error:
            raise InvalidInputError(
                f"sound {path}: reading it failed ({_reason(error)}); it may be cut short, "
                "export it again"
            ) from error
        yield from (frame for frame in decoded if frame.samples and not _is_delay(frame))


def _is_delay(frame: AudioFrame) -> bool:
    """Tell whether most of a frame lies before 0 s: older FFmpeg leaves it in Matroska."""
    if frame.pts is None or not frame.time_base:
        return False
    return frame.pts * frame.time_base + Fraction(frame.samples, 2 * frame.sample_rate) < 0


def _checked(
    path: Path, frames: Iterable[AudioFrame], rate_hz: int, channels: int
) -> Iterator[AudioFrame]:
    for frame in frames:
        found = frame.sample_rate, len(frame.layout.channels)
        if found != (rate_hz, channels):
            raise InvalidInputError(
                f"sound {path}: changes from {rate_hz} Hz, {channels} channels to {found[0]} Hz, "
                f"{found[1]} channels midway; export it as one WAV file"
            )
        yield frame


def _blocks(frames: Iterable[AudioFrame]) -> Iterator[Block]:
    """Join decoder frames, often only 1024 samples long, into larger blocks."""
    parts: list[Block] = []
    size = 0
    for frame in frames:
        parts.append(_to_float(frame))
        size += frame.samples
        if size >= BLOCK_SAMPLES:
            yield np.concatenate(parts, axis=1)
            parts, size = [], 0
    if parts:
        yield np.concatenate(parts, axis=1)


def _to_float(frame: AudioFrame) -> Block:
    size, channels = frame.samples, len(frame.layout.channels)
    if frame.format.is_planar and channels >= _TOO_MANY_PLANES:
        frame = _interleaved(frame)
    kind = frame.format.name.removesuffix("p")
    dtype, full_scale = _FORMATS[kind]
    planes = [memoryview(plane) for plane in frame.planes]
    if frame.format.is_planar:
        rows = [np.frombuffer(planes[c], dtype, size) for c in range(channels)]
        values = np.stack(rows)
    else:
        values = np.frombuffer(planes[0], dtype, size * channels).reshape(size, channels).T
    if kind == "u8":
        values = values.astype(np.float32) - 128
    with np.errstate(over="ignore"):  # a double beyond float32 becomes inf and is reported so
        return (values / full_scale).astype(np.float32, copy=False)


def _interleaved(frame: AudioFrame) -> AudioFrame:
    from av import AudioResampler

    (packed,) = AudioResampler(format=frame.format.packed).resample(frame)
    return packed


def _stated_samples(container: InputContainer, rate_hz: int) -> int | None:
    """Return the length an MP4 or MOV states for its sound; its decoders leave padding after it."""
    stream = container.streams.audio[0]
    if "mp4" not in container.format.name or not stream.duration or not stream.time_base:
        return None
    return round(stream.duration * stream.time_base * rate_hz)


def _without_padding(blocks: Iterator[Block], limit: int) -> Iterator[Block]:
    """Drop what follows sample ``limit`` if it is short enough to be padding."""
    seen = 0
    tail: list[Block] = []
    for block in blocks:
        if tail or seen + block.shape[1] > limit:
            head, rest = np.split(block, [max(0, limit - seen)], axis=1)
            tail.append(rest)
            if sum(part.shape[1] for part in tail) > _MAX_PADDING:
                # The stated length is wrong; the sound is not.
                yield np.concatenate([head, *tail], axis=1)
                yield from blocks
                return
            block = head
        seen += block.shape[1]
        if block.shape[1]:
            yield block


def _open_with_soundfile(path: Path) -> DecodedSound | None:
    """Open with libsndfile; ``None`` if it is not installed or does not know the format."""
    try:
        import soundfile
    except ImportError:
        return None
    try:
        sound = soundfile.SoundFile(path)
    except soundfile.LibsndfileError:
        return None
    try:
        check_rate(path, sound.samplerate)
    except InvalidInputError:
        sound.close()
        raise
    blocks = (block.T for block in sound.blocks(BLOCK_SAMPLES, dtype="float32", always_2d=True))
    return DecodedSound(sound.samplerate, sound.channels, "", blocks, sound)


def _reason(error: Exception) -> str:
    return " ".join(str(getattr(error, "strerror", None) or error).split())
