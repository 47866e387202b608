"""Sound files read as blocks of floats in constant memory.

Axis legend: C channels, n samples; a block is ``(C, n)`` float32, full scale at 1.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from ..config import require
from ..errors import InvalidInputError
from .input_path import check_input

if TYPE_CHECKING:
    from av.audio.frame import AudioFrame
    from av.container import InputContainer

_log = logging.getLogger(__name__)

Block = NDArray[np.float32]

MIN_RATE_HZ = 1_000
MAX_RATE_HZ = 768_000

_BLOCK_SAMPLES = 1 << 15
# Most samples after a track's stated end that count as encoder padding: two frames of HE-AAC.
_MAX_PADDING = 4096
# FFmpeg's sample formats: numpy's type and full scale. 24-bit sound arrives as s32.
_FORMATS: dict[str, tuple[type[np.generic], float]] = {
    "u8": (np.uint8, 2.0**7),
    "s16": (np.int16, 2.0**15),
    "s32": (np.int32, 2.0**31),
    "s64": (np.int64, 2.0**63),
    "flt": (np.float32, 1.0),
    "dbl": (np.float64, 1.0),
}


class _Opened(NamedTuple):
    rate_hz: int
    channels: int
    layout: str
    blocks: Iterator[Block]
    resource: Any


class SoundFile:
    """One pass over the sound of a file: rate, channels, then its blocks.

    Encoder delay and padding are left out as the container says (LAME header, edit list, Opus
    pre-skip), so sample 0 is the first one a player plays. PyAV reads the file; what it cannot
    open goes to ``librosa`` (libsndfile) where that is installed.
    """

    def __init__(self, path: str | Path) -> None:
        """Open ``path`` and read its first block.

        Raises:
            InvalidInputError: If there is no such file, or no sound in it.
        """
        self.path = check_input(path, "sound")
        opened = _open_with_av(self.path) or _open_with_librosa(self.path)
        if opened is None:
            raise InvalidInputError(
                f"sound {self.path}: its {self.path.stat().st_size} bytes are no sound PyAV or "
                "librosa can read; export it again as WAV, MP3, M4A, FLAC or Ogg"
            )
        self.rate_hz, self.channels, self.layout, self._blocks, self._resource = opened
        self.num_read = 0
        """Samples decoded so far, skipped ones included."""

    def blocks(self, start_sample: int = 0, num_samples: int | None = None) -> Iterator[Block]:
        """Yield the samples from ``start_sample`` on, at most ``num_samples`` (``None``: all).

        The file is read once only: a second call goes on where the first one stopped.
        """
        stop = None if num_samples is None else start_sample + num_samples
        for block in self._blocks:
            first = self.num_read
            self.num_read += block.shape[1]
            part = block[:, max(0, start_sample - first) : None if stop is None else stop - first]
            if part.shape[1]:
                yield part
            if stop is not None and self.num_read >= stop:
                return

    def close(self) -> None:
        """Release the file."""
        self._resource.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


def file_url(path: Path) -> str:
    """Return ``path`` as FFmpeg must see it, so that no part of it is taken for a protocol."""
    return f"file:{path}"


def _open_with_av(path: Path) -> _Opened | None:
    """Open with PyAV; ``None`` if it does not know the format or has no decoder for it."""
    import av

    try:
        container = av.open(file_url(path), metadata_errors="ignore")
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


def _first_frame(path: Path, container: InputContainer) -> _Opened | None:
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
    _check_rate(path, rate_hz)
    blocks = _blocks(_checked(path, chain([first], frames), rate_hz, channels))
    limit = _stated_samples(container, rate_hz)
    if limit is not None:
        blocks = _without_padding(blocks, limit)
    return _Opened(rate_hz, channels, first.layout.name, blocks, container)


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
        yield from (frame for frame in decoded if frame.samples)


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
        if size >= _BLOCK_SAMPLES:
            yield np.concatenate(parts, axis=1)
            parts, size = [], 0
    if parts:
        yield np.concatenate(parts, axis=1)


def _to_float(frame: AudioFrame) -> Block:
    # PyAV's to_ndarray reads one plane too many, and crashes, if there are 8 planar channels.
    kind = frame.format.name.removesuffix("p")
    dtype, full_scale = _FORMATS[kind]
    size, channels = frame.samples, len(frame.layout.channels)
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


def _open_with_librosa(path: Path) -> _Opened | None:
    try:
        import librosa
        import soundfile
    except ImportError:
        return None
    try:
        # Opened here: given a path, librosa tries other libraries too, with warnings.
        sound = soundfile.SoundFile(path)
    except soundfile.LibsndfileError:
        return None
    try:
        _check_rate(path, sound.samplerate)
    except InvalidInputError:
        sound.close()
        raise
    stream = librosa.stream(
        sound,
        # One frame a block: blocks follow each other without overlap.
        block_length=1,
        frame_length=_BLOCK_SAMPLES,
        hop_length=_BLOCK_SAMPLES,
        mono=False,
    )
    blocks = (np.atleast_2d(block) for block in stream)
    return _Opened(sound.samplerate, sound.channels, "", blocks, sound)


def _check_rate(path: Path, rate_hz: int) -> None:
    require(
        MIN_RATE_HZ <= rate_hz <= MAX_RATE_HZ,
        f"sound {path}: {rate_hz} samples a second; need {MIN_RATE_HZ} to {MAX_RATE_HZ}, "
        "convert it to 48000",
    )


def _reason(error: Exception) -> str:
    return " ".join(str(getattr(error, "strerror", None) or error).split())
