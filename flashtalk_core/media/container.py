"""Opening a media file for reading, with every version of PyAV that is supported."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator, Mapping, Sequence
from io import RawIOBase
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..borders import library_border
from ..errors import FlashTalkError
from ..excerpt import reason
from ..files.paths import file_url
from .isobmff.counts import surplus_samples

if TYPE_CHECKING:
    from av import Packet
    from av.container import InputContainer
    from av.stream import Stream

MAX_FRAME_PX = 1 << 26
"""Most pixels of a frame that is decoded, 8192 x 8192."""
_SMALL_BYTES = 1 << 26
"""Files up to this size do not need gigabytes to be opened."""
_KEEPS_ANY_TAG = 19
"""First PyAV that reads tags of any encoding, and that no longer takes ``metadata_errors``."""

_DEFAULT = 0x1  # FFmpeg's AV_DISPOSITION_DEFAULT

# FFmpeg's names of what is opened, by content and not by suffix: a playlist or script, which makes
# FFmpeg read any other file, is none of them whatever it is called.
_FORMATS = (
    "aac,ac3,aiff,amr,ape,asf,au,avi,caf,dts,eac3,flac,flv,loas,matroska,mov,mp3,mpeg,mpegts,ogg,"
    "tta,voc,w64,wav,wv"
)


class DamagedTablesError(Exception):
    """A file whose tables promise more than it can hold."""


def open_container(
    path: Path, part: RawIOBase | None = None, options: Mapping[str, str] | None = None
) -> InputContainer:
    """Open an audio or video file that holds its own data; the caller closes it.

    The encoding of its tags does not matter: titles in GBK or Latin-1 are common, and PyAV before
    19 refuses the whole file for them.

    Args:
        path: File that may be one of the formats that docs/COMMAND_LINE.md names.
        part: The bytes that are read instead of all of it.
        options: More options for FFmpeg's reader of the format.

    Raises:
        OSError: If it cannot be read; ``av.FFmpegError`` likewise.
        av.error.InvalidDataError: If it is none of those formats.
        DamagedTablesError: If it promises more than it can hold.
        MemoryError: If it is large, and there is not enough memory for it.
    """
    import av

    surplus = surplus_samples(path) if part is None else 0
    if surplus:
        said = f"its index lists {surplus} samples, more than the file has bytes"
        raise DamagedTablesError(said)
    major = int(av.__version__.partition(".")[0])
    tags: dict[str, Any] = {} if major >= _KEEPS_ANY_TAG else {"metadata_errors": "ignore"}
    given = {"format_whitelist": _FORMATS, "protocol_whitelist": "file"} | dict(options or {})
    try:
        source = file_url(path) if part is None else part
        # As ``options`` they would be for streams, too: there older PyAV crashes where a format
        # (FLV, MPEG-PS, VOC) has streams that come after the head.
        return av.open(source, "r", container_options=given, **tags)
    except av.error.MemoryError as error:  # nothing but heads of tables was read so far
        size = path.stat().st_size
        if size > _SMALL_BYTES:
            raise
        said = f"its tables ask for more memory than a file of {size} bytes can need"
        raise DamagedTablesError(said) from error
    except av.FFmpegError as error:
        if error.errno != errno.EINVAL:  # how FFmpeg says that a format is not in the list
            raise
        raise av.error.InvalidDataError(
            error.errno, "no audio or video that is read", str(path)
        ) from error


def demuxed(
    container: InputContainer,
    tracks: Sequence[Stream],
    describe: Callable[[str], FlashTalkError],
    on_damage: Callable[[str], None],
) -> Iterator[Packet[Any]]:
    """Yield the packets of tracks; a file that was cut short ends where it was cut.

    Args:
        container: The file, opened.
        tracks: Tracks of it.
        describe: Makes the error of a file that cannot be read, from the reason.
        on_damage: Called with the reason where the file ends because of damage.

    Raises:
        FlashTalkError: From ``describe``.
    """
    import av

    with library_border(describe):
        packets = container.demux(*tracks)
    while True:
        with library_border(describe):
            try:
                packet = next(packets)
            except (StopIteration, av.error.EOFError):
                return
            except av.error.InvalidDataError as error:
                on_damage(reason(error))
                return
            except av.error.MemoryError:  # only for a packet whose size is damaged
                on_damage("a packet asks for more memory than there is")
                return
        yield packet


def is_default(track: Stream) -> bool:
    """Whether a file says of a track that it is the one to be played."""
    return bool(track.disposition.value & _DEFAULT)
