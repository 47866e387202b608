"""What is left of a render that was stopped, and what the next one makes of it."""

import errno
import os
import signal
import sys

import av
import numpy as np
import pytest

from flashtalk_core.cli.program import describe
from flashtalk_core.errors import OutputError
from flashtalk_core.files.output_path import OutputPath
from flashtalk_core.media.audio.probe import probe_audio
from flashtalk_core.media.audio.source import AudioArray
from flashtalk_core.media.isobmff.boxes import file_boxes
from flashtalk_core.media.isobmff.defragment import count_fragmented_frames
from flashtalk_core.media.video import finishing, partial_file
from flashtalk_core.media.video import writer as writing
from flashtalk_core.media.video.writer import Mp4Writer

pytestmark = pytest.mark.cpu

SIZE = (32, 32)


class StoppedError(Exception):
    """What the tests stop a render with."""


def noise_audio(num_frames, rate_hz=16_000):
    samples = np.random.default_rng(0).standard_normal((1, num_frames * rate_hz // 25)) * 0.1
    return probe_audio(AudioArray("noise", samples.astype(np.float32), rate_hz))


def writer_of(path, num_frames=50):
    return Mp4Writer(path, SIZE, noise_audio(num_frames), preset="ultrafast")


def black(num_frames):
    return np.zeros((num_frames, *SIZE, 3), np.uint8)


def run(writer, num_frames, then):
    """Write black frames, then do what the test wants to happen."""
    with writer:
        writer.write(black(num_frames))
        then(writer)


def stop(*_):
    raise StoppedError("stopped")


def interrupt(*_):
    raise KeyboardInterrupt


def stop_after(path, num_frames, total=50):
    """Stop a render; return what is reported."""
    with pytest.raises(StoppedError) as stopped:
        run(writer_of(path, total), num_frames, stop)
    return describe(stopped.value)[0]


def finish(path, num_frames=50):
    with writer_of(path, num_frames) as writer:
        writer.write(black(num_frames))


def frames_in(folder):
    return {path.name: count_fragmented_frames(path) for path in folder.glob("*.partial*.mp4")}


@pytest.fixture
def final(tmp_path):
    return tmp_path / "v.mp4"


def test_a_second_stop_keeps_what_the_first_one_saved_and_tells_both(final, tmp_path):
    stop_after(final, 40)
    message = stop_after(final, 4)
    assert frames_in(tmp_path) == {"v.partial.mp4": 4, "v.partial.older.mp4": 40}
    assert f"the first 4 of 50 frames are in {final.with_name('v.partial.mp4')}" in message
    assert f"40 frames of an earlier render are in {tmp_path / 'v.partial.older.mp4'}" in message


def test_videos_of_two_stops_are_both_kept(final, tmp_path):
    for num_frames in (40, 30, 20):
        stop_after(final, num_frames)
    assert sorted(frames_in(tmp_path).values()) == [20, 30, 40]


def test_what_an_earlier_render_saved_is_not_reported_as_this_ones(final, tmp_path, monkeypatch):
    stop_after(final, 40)

    def fail(path):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(partial_file, "create", fail)
    with pytest.raises(OutputError) as stopped:
        finish(final)
    message = describe(stopped.value)[0]
    assert "after 0 bytes, no space left" in message
    assert "what was rendered is in" not in message
    assert frames_in(tmp_path) == {"v.partial.mp4": 40}


def test_leftovers_of_several_stops_are_reported_and_removed_in_the_end(final, tmp_path):
    for name, num_frames in (("v.partial.older", 20), ("v.partial.older-2", 40)):
        stop_after(tmp_path / "other.mp4", num_frames)  # as renders leave it that were killed
        (tmp_path / "other.partial.mp4").rename(tmp_path / f"{name}.mp4")
    message = stop_after(final, 30)  # the first of them goes, and its number with it
    assert frames_in(tmp_path) == {"v.partial.mp4": 30, "v.partial.older-2.mp4": 40}
    assert f"40 frames of an earlier render are in {tmp_path / 'v.partial.older-2.mp4'}" in message
    (tmp_path / "v.partial.mp4").unlink()
    finish(final)
    assert [path.name for path in tmp_path.iterdir()] == ["v.mp4"]


@pytest.mark.parametrize("num_frames", [40, 41])
def test_a_stop_that_saved_as_much_replaces_the_earlier_video(final, tmp_path, num_frames):
    for saved in (40, 30, num_frames):
        stop_after(final, saved)
    assert frames_in(tmp_path) == {"v.partial.mp4": num_frames}


def test_a_complete_video_takes_the_place_of_all(final, tmp_path):
    for num_frames in (40, 30):
        stop_after(final, num_frames)
    finish(final)
    assert [path.name for path in tmp_path.iterdir()] == ["v.mp4"]


def test_more_than_the_complete_video_holds_stays_and_is_reported(final, tmp_path, caplog):
    stop_after(final, 40)
    finish(final, 20)
    assert frames_in(tmp_path) == {"v.partial.older.mp4": 40}
    assert "is complete; 40 frames of an earlier render are in" in caplog.text


def test_nothing_is_moved_before_there_is_something_new(final, tmp_path):
    stop_after(final, 40)
    with writer_of(final) as writer:
        writer.write(black(1))  # its fragment waits for the next one
        assert frames_in(tmp_path) == {"v.partial.mp4": 40}
        writer.write(black(49))
    assert [path.name for path in tmp_path.iterdir()] == ["v.mp4"]


@pytest.mark.parametrize("num_bytes", [0, 20, 1000, 3000])
def test_a_partial_file_that_does_not_play_goes(final, tmp_path, num_bytes):
    stop_after(final, 40)
    partial = tmp_path / "v.partial.mp4"
    partial.write_bytes(partial.read_bytes()[:num_bytes])
    stop_after(final, 20)
    assert frames_in(tmp_path) == {"v.partial.mp4": 20}


@pytest.mark.parametrize(
    "content",
    [
        b"\x1a\x45\xdf\xa3" + bytes(9000),
        b"notes on the video",
        b"\0\0\0\x10ftypisom\0\0\0\0\0\0\x80\0mdatwhat a camera wrote before it was cut off",
        "finished",
        "cut short",
    ],
)
def test_files_that_no_stopped_render_left_are_kept(final, tmp_path, content):
    """A file of another kind, or a finished video, that has this name."""
    partial = tmp_path / "v.partial.mp4"
    if isinstance(content, str):
        finish(tmp_path / "other.mp4")
        whole = (tmp_path / "other.mp4").rename(partial).read_bytes()
        content = whole if content == "finished" else whole[:-10]
    partial.write_bytes(content)
    stop_after(final, 20)
    finish(final)
    assert (tmp_path / "v.partial.older.mp4").read_bytes() == content


def test_a_stop_on_the_way_to_the_finished_file_tells_that_all_frames_are_there(
    final, tmp_path, monkeypatch
):
    monkeypatch.setattr(finishing, "write_plain_mp4", interrupt)
    with pytest.raises(KeyboardInterrupt) as stopped:
        finish(final)
    partial = tmp_path / "v.partial.mp4"
    assert describe(stopped.value)[0] == f"stopped on request; all 50 frames are in {partial}"
    assert [path.name for path in tmp_path.iterdir()] == [partial.name]


def test_a_stop_once_the_finished_file_is_there_tells_so(final, tmp_path, monkeypatch):
    monkeypatch.setattr(writing.OlderPartials, "remove_outdone", interrupt)
    with pytest.raises(KeyboardInterrupt) as stopped:
        finish(final)
    assert describe(stopped.value)[0] == (
        f"stopped on request; the video was complete by then: {final}"
    )
    assert [path.name for path in tmp_path.iterdir()] == ["v.mp4"]


@pytest.mark.usefixtures("ctrl_c")
@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
def test_a_stop_is_heard_while_the_finished_file_goes_to_the_disk(final, tmp_path, monkeypatch):
    """It may have gigabytes, and the disk be slow."""
    target = OutputPath(final).finishing
    fsync, late = os.fsync, []

    def stop_and_sync(file):
        if target.exists() and os.path.samestat(os.fstat(file), target.stat()):
            os.kill(os.getpid(), signal.SIGINT)
            late.append(1)
        fsync(file)

    def patch(_writer):
        monkeypatch.setattr(os, "fsync", stop_and_sync)

    with pytest.raises(KeyboardInterrupt) as stopped:
        run(writer_of(final), 50, patch)
    assert not late
    assert "all 50 frames are in" in describe(stopped.value)[0]
    assert frames_in(tmp_path) == {"v.partial.mp4": 50}


@pytest.fixture
def ctrl_c():
    """Ctrl-C raises, as it does unless it is ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("ctrl_c")
@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
@pytest.mark.parametrize("step", ["pictures", "sound", "muxer", "sync", "place"])
def test_a_stop_within_a_step_loses_no_frame(final, tmp_path, monkeypatch, step):
    """Ctrl-C comes while the last frames leave the encoder, and while the file is put in place."""

    def interrupted(function):
        def call(*args):
            result = function(*args)
            os.kill(os.getpid(), signal.SIGINT)
            return result

        return call

    def patch(writer):
        target, name = {
            "pictures": (writer._encoder._images, "remaining_packets"),
            "sound": (writer._encoder._track, "remaining_packets"),
            "muxer": (writer._encoder, "_close_container"),
            "sync": (writer._file, "finish"),
            "place": (finishing, "put_in_place"),
        }[step]
        monkeypatch.setattr(target, name, interrupted(getattr(target, name)))

    with pytest.raises(KeyboardInterrupt) as stopped:
        run(writer_of(final), 50, patch)
    message = describe(stopped.value)[0]
    if step == "place":
        assert message.endswith(f"the video was complete by then: {final}")
        with av.open(str(final)) as container:
            assert sum(1 for _ in container.decode(video=0)) == 50
    else:
        assert "all 50 frames are in" in message
        assert frames_in(tmp_path) == {"v.partial.mp4": 50}


@pytest.mark.usefixtures("ctrl_c")
@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
def test_a_stop_while_a_frame_is_encoded_leaves_no_gap(final, tmp_path, monkeypatch):
    def patch(writer):
        encode = writer._encoder._images.packets
        monkeypatch.setattr(
            writer._encoder._images,
            "packets",
            lambda *frame: (list(encode(*frame)), os.kill(os.getpid(), signal.SIGINT))[0],
        )
        writer.write(black(20))

    with pytest.raises(KeyboardInterrupt):
        run(writer_of(final), 20, patch)
    with av.open(str(tmp_path / "v.partial.mp4")) as container:
        times = [frame.pts * frame.time_base * 25 for frame in container.decode(video=0)]
    assert times == list(range(21))


@pytest.mark.parametrize("fault", [KeyError("x"), MemoryError(), StoppedError("again")])
def test_any_fault_while_a_render_is_abandoned_still_tells_where_it_is(
    final, tmp_path, monkeypatch, fault
):
    def fail(*_):
        raise fault

    def patch_and_stop(writer):
        monkeypatch.setattr(writer._encoder._track, "remaining_packets", fail)
        stop()

    with pytest.raises(StoppedError) as stopped:
        run(writer_of(final), 30, patch_and_stop)
    assert f"frames are in {tmp_path / 'v.partial.mp4'}" in describe(stopped.value)[0]


@pytest.mark.parametrize("damage", ["head", "fragment", "text", "gone", "other file"])
def test_a_partial_file_that_another_program_changed(final, tmp_path, monkeypatch, damage):
    partial = tmp_path / "v.partial.mp4"
    final.write_bytes(b"older")

    def change():
        data = bytearray(partial.read_bytes())
        if damage in ("gone", "other file"):
            partial.unlink()
        if damage in ("other file", "text"):
            partial.write_bytes(b"somebody's own")
        elif damage != "gone":
            at = data.index({"head": b"trex", "fragment": b"trun"}[damage]) + 4
            data[at : at + 40] = b"\xff" * 40
            partial.write_bytes(data)

    def patch(writer):
        close = writer._close
        monkeypatch.setattr(writer, "_close", lambda: (close(), change()))

    with pytest.raises(OutputError) as caught:
        run(writer_of(final), 50, patch)
    message = describe(caught.value)[0]
    assert message.startswith(f"output {final}: ")
    assert "unexpected" not in message
    assert final.read_bytes() == b"older"
    assert not OutputPath(final).finishing.exists()
    if damage == "other file":
        assert partial.read_bytes() == b"somebody's own"


@pytest.mark.skipif(sys.platform == "win32", reason="file size limits are a matter of POSIX")
@pytest.mark.parametrize("less", [1, 700, 3000])
def test_a_disk_that_fills_up_on_closing_is_reported_as_full(final, tmp_path, less):
    import resource

    rng = np.random.default_rng(0)
    images = rng.integers(0, 60, (50, *SIZE, 3), dtype=np.uint8)
    sizes, partial = [], tmp_path / "v.partial.mp4"
    before = resource.getrlimit(resource.RLIMIT_FSIZE)

    def render(limit=None):
        with writer_of(final) as writer:
            writer.write(images)
            if limit is not None:
                resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
            close = writer._close
            writer._close = lambda: (close(), sizes.append(partial.stat().st_size))

    render()
    try:
        with pytest.raises(OutputError, match="file too large; raise the file size limit"):
            render(sizes[0] - less)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    with partial.open("rb") as file:
        assert max(span.stop for span in file_boxes(file)) == partial.stat().st_size


@pytest.mark.skipif(sys.platform == "win32", reason="file size limits are a matter of POSIX")
@pytest.mark.parametrize("limit", [1, 1000, 1500])
def test_a_partial_file_that_does_not_play_is_not_left(final, tmp_path, limit):
    import resource

    before = resource.getrlimit(resource.RLIMIT_FSIZE)

    def limit_and_write(writer):
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
        rng = np.random.default_rng(0)
        writer.write(rng.integers(0, 255, (10, *SIZE, 3), dtype=np.uint8))

    try:
        with pytest.raises(OutputError, match=r"ulimit.*nothing that plays is left"):
            run(writer_of(final, 10), 0, limit_and_write)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("rate_hz", [8_000, 16_000, 48_000])
def test_all_but_the_last_half_second_is_in_the_file_at_any_moment(final, tmp_path, rate_hz):
    partial = tmp_path / "v.partial.mp4"
    images = np.random.default_rng(0).integers(0, 255, (60, *SIZE, 3), dtype=np.uint8)
    missing = []
    with Mp4Writer(final, SIZE, noise_audio(80, rate_hz)) as writer:
        for image in images:
            writer.write(image[None])
            saved = count_fragmented_frames(partial) if partial.exists() else 0
            missing.append(writer.num_written - saved)
        writer.write(black(20))
    assert max(missing) <= 12
