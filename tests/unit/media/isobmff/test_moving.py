"""A fragmented file becomes a plain one without room for both."""

from contextlib import suppress
from fractions import Fraction

import av
import numpy as np
import pytest

from flashtalk_core.media.audio.probe import probe_audio
from flashtalk_core.media.audio.source import AudioArray
from flashtalk_core.media.isobmff import moving
from flashtalk_core.media.isobmff.defragment import write_plain_mp4
from flashtalk_core.media.isobmff.moving import finish_moving, is_moving, move_to_plain_mp4
from flashtalk_core.media.video.writer import Mp4Writer

pytestmark = pytest.mark.cpu

RATE_HZ = 16_000
NUM_FRAMES = 60
DURATIONS = {b"vide": RATE_HZ * NUM_FRAMES // 25, b"soun": RATE_HZ * NUM_FRAMES // 25}


class Stopped(BaseException):
    pass


@pytest.fixture
def partial(tmp_path):
    """A partial file of 60 frames, 50 KB."""
    rng = np.random.default_rng(0)
    noise = rng.uniform(-0.5, 0.5, (1, RATE_HZ * NUM_FRAMES // 25)).astype(np.float32)
    audio = probe_audio(AudioArray("noise", noise, RATE_HZ))
    images = rng.integers(0, 255, (NUM_FRAMES, 32, 32, 3), dtype=np.uint8)
    writer = Mp4Writer(tmp_path / "v.mp4", (32, 32), audio)
    with suppress(Stopped), writer:
        writer.write(images)
        raise Stopped
    return writer.output.partial


@pytest.fixture
def plain(partial, tmp_path):
    """The plain file that copying makes."""
    path = tmp_path / "copied.mp4"
    assert write_plain_mp4(partial, path, RATE_HZ, DURATIONS) == NUM_FRAMES
    return path.read_bytes()


def num_frames(path):
    with av.open(str(path)) as container:
        frames = [frame.pts * frame.time_base for frame in container.decode(video=0)]
    assert frames == [Fraction(index, 25) for index in range(len(frames))]
    return len(frames)


@pytest.mark.parametrize("block_bytes", [1, 5_000, 20_000, 1 << 20])
def test_moving_makes_what_copying_makes(partial, plain, tmp_path, block_bytes):
    target = tmp_path / "moved.mp4"
    target.touch()
    assert move_to_plain_mp4(partial, target, RATE_HZ, DURATIONS, block_bytes) == NUM_FRAMES
    assert target.read_bytes() == plain


def test_both_files_take_little_more_room_than_one(partial, tmp_path, monkeypatch):
    target = tmp_path / "moved.mp4"
    target.touch()
    whole, taken = partial.stat().st_size, []

    def note(_):
        taken.append(target.stat().st_blocks * 512 + partial.stat().st_size)

    monkeypatch.setattr(moving, "sync", note)
    move_to_plain_mp4(partial, target, RATE_HZ, DURATIONS, 5_000)
    assert len(taken) > 8
    assert max(taken) <= whole + 20_000 < 1.5 * whole


@pytest.mark.parametrize("number", range(8))
def test_a_stop_at_any_moment_loses_nothing(partial, plain, tmp_path, monkeypatch, number):
    target = tmp_path / "moved.mp4"
    target.touch()
    steps = iter(range(100))

    def stop_at(_):
        if next(steps) == number:
            raise Stopped

    monkeypatch.setattr(moving, "sync", stop_at)
    with pytest.raises(Stopped):
        move_to_plain_mp4(partial, target, RATE_HZ, DURATIONS, 10_000)
    monkeypatch.undo()
    assert is_moving(partial, target)
    if number:
        assert 0 < num_frames(partial) <= NUM_FRAMES  # what is left plays
    finish_moving(partial, target)
    assert target.read_bytes() == plain


def test_other_files_are_no_such_pair(partial, plain, tmp_path):
    target = tmp_path / "moved.mp4"
    assert not is_moving(partial, target)
    for data in (b"", b"no video", plain[:-1], plain[:2000]):
        target.write_bytes(data)
        assert not is_moving(partial, target)
    target.write_bytes(plain)
    assert is_moving(partial, target)
    data = bytearray(plain)
    place = data.index(b"stsz") + 16  # the size of the first frame
    data[place : place + 4] = b"\0\0\0\1"
    target.write_bytes(data)
    assert not is_moving(partial, target)


def test_a_piece_is_no_larger_than_the_disk_has_room_for(partial, plain, tmp_path, monkeypatch):
    most = []
    copy = moving.copy_bytes

    def copied(reader, writer, start, size):
        most[-1] += size
        copy(reader, writer, start, size)

    def synced(file):
        most.append(0)

    monkeypatch.setattr(moving, "copy_bytes", copied)
    monkeypatch.setattr(moving, "sync", synced)
    usage = moving.shutil.disk_usage(tmp_path)
    monkeypatch.setattr(moving.shutil, "disk_usage", lambda _: usage._replace(free=20_000))
    target = tmp_path / "moved.mp4"
    target.touch()
    move_to_plain_mp4(partial, target, RATE_HZ, DURATIONS)
    assert target.read_bytes() == plain
    assert 0 < max(most) <= 10_000 + 2_000  # and a fragment
