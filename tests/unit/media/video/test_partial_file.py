"""A partial file that is continued is read once to see that it is the right one."""

import os
import zlib
from contextlib import suppress
from dataclasses import replace

import pytest

from flashtalk_core.errors import InvalidInputError
from flashtalk_core.media.audio.probe import probe_audio
from flashtalk_core.media.audio.source import AudioArray
from flashtalk_core.media.video.partial_file import PartialFile, PartialMark, check_mark
from flashtalk_core.media.video.writer import Mp4Writer

pytestmark = pytest.mark.cpu


class Stopped(BaseException):
    pass


@pytest.fixture
def partial(make, tmp_path):
    """A partial file of one chunk, and its mark."""
    audio = probe_audio(AudioArray("clicks", make.clicks(32_000, [500]), 16_000))
    writer, marks = Mp4Writer(tmp_path / "v.mp4", (32, 32), audio), []
    with suppress(Stopped), writer:
        writer.write(make.grey(28))
        marks.append(writer.mark())
        raise Stopped
    return writer.output.partial, marks[0]


def opened(path, mark):
    """Continue the file; return its head."""
    file = PartialFile(path, lambda: None, mark)
    try:
        return file.open()
    finally:
        file.release()


def test_what_was_checked_is_not_read_again(partial):
    path, mark = partial
    checked = check_mark(path, mark)
    assert checked == mark
    unread = replace(checked, crc32=mark.crc32 ^ 1)  # would be found if the bytes were read
    assert opened(path, unread).startswith(path.read_bytes()[:8])
    with pytest.raises(InvalidInputError, match=r"its first \d+ bytes were changed"):
        opened(path, replace(unread, checked=None))


def test_what_changes_after_the_check_is_read_again(partial):
    path, mark = partial
    checked, data = check_mark(path, mark), bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    with path.open("r+b") as file:
        file.write(data)
    os.utime(path, ns=(checked.checked[3],) * 2)  # somebody who wants it to look unchanged
    with pytest.raises(InvalidInputError, match=r"its first \d+ bytes were changed"):
        opened(path, checked)


def test_another_file_in_its_place_is_read(partial):
    path, mark = partial
    checked, data = check_mark(path, mark), path.read_bytes()
    path.unlink()
    path.write_bytes(data)
    assert opened(path, checked)
    path.unlink()
    with pytest.raises(InvalidInputError, match="it cannot be read"):
        opened(path, checked)


def test_a_file_that_is_cut_short_is_refused(partial):
    path, mark = partial
    assert mark.crc32 == zlib.crc32(path.read_bytes()[: mark.num_bytes])
    os.truncate(path, mark.num_bytes - 1)
    with pytest.raises(InvalidInputError, match=f"1 of {mark.num_bytes} bytes are missing"):
        opened(path, PartialMark(mark.num_bytes, mark.crc32))
