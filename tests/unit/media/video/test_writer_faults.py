import re
import signal
import subprocess
import sys
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile

from flashtalk_core.errors import InvalidInputError, OutputError
from flashtalk_core.media.audio.probe import probe_audio
from flashtalk_core.media.isobmff.boxes import copy_bytes
from flashtalk_core.media.video.writer import Mp4Writer

pytestmark = pytest.mark.cpu

CHILD = """
import resource, sys
import numpy as np
from flashtalk_core.errors import OutputError
from flashtalk_core.media.video.writer import Mp4Writer
from flashtalk_core.media.audio.probe import probe_audio

limit = int(sys.argv[3])
if limit:
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
noise = np.random.default_rng(0).integers(0, 255, (28, 64, 64, 3), dtype=np.uint8)
try:
    with Mp4Writer(sys.argv[2], (64, 64), probe_audio(sys.argv[1]), preset="ultrafast") as writer:
        while writer.num_written < writer.num_frames:
            writer.write(noise[: writer.num_frames - writer.num_written])
            print("written", writer.num_written, flush=True)
            if not limit and writer.num_written >= 112:
                sys.stdin.readline()  # until killed
except OutputError as error:
    print("error", error, flush=True)
    sys.exit(3)
"""


@pytest.fixture
def audio(make, tmp_path):
    """Twenty seconds with a click in the middle of each one."""
    at = range(8_000, 320_000, 16_000)
    soundfile.write(tmp_path / "s.wav", make.clicks(320_000, at)[0], 16_000)
    return probe_audio(tmp_path / "s.wav")


@pytest.fixture
def final(tmp_path):
    """An older final file."""
    path = tmp_path / "v.mp4"
    path.write_bytes(b"older")
    return path


def start_child(audio, final, limit=0):
    return subprocess.Popen(
        [sys.executable, "-c", CHILD, str(audio.source), str(final), str(limit)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def fill(writer, then, num_frames=None):
    """Write black frames (all of them by default), then do what the test wants to happen."""
    with writer:
        writer.write(np.zeros((num_frames or writer.num_frames, 32, 32, 3), np.uint8))
        then(writer)


def play(path):
    """Play as far as it goes: frames, and when the clicks are played, on the same clock."""
    with av.open(str(path)) as container:
        frames = [frame.pts * frame.time_base for frame in container.decode(video=0)]
    heard = {}
    with av.open(str(path)) as container:
        for frame in container.decode(audio=0):
            level = np.abs(frame.to_ndarray()[0])
            if level.max() > 0.4:
                time_s = float(frame.pts * frame.time_base) + level.argmax() / 16_000
                heard.setdefault(int(time_s), time_s)
    return frames, sorted(heard.values())


def assert_plays(path, at_least):
    frames, clicks = play(path)
    assert len(frames) >= at_least
    assert frames == [frames[0] + index * (frames[1] - frames[0]) for index in range(len(frames))]
    assert float(frames[1] - frames[0]) == 0.04
    assert frames[0] == 0
    # One click a second, as far as the video goes.
    assert len(clicks) >= len(frames) // 25
    assert np.allclose(clicks, np.arange(len(clicks)) + 0.5, atol=1e-3)


def test_killed_render_stays_playable(audio, final):
    child = start_child(audio, final)
    try:
        for _ in range(4):
            last = child.stdout.readline()
        assert last.split() == ["written", "112"]
    finally:
        child.send_signal(signal.SIGKILL)
        child.communicate()
    assert_plays(final.with_name("v.partial.mp4"), at_least=112)
    assert final.read_bytes() == b"older"


@pytest.mark.skipif(sys.platform == "win32", reason="file size limits are a matter of POSIX")
def test_full_disk_is_reported_in_one_line(audio, final):
    limit = 300_000
    child = start_child(audio, final, limit)
    output, _ = child.communicate(timeout=60)
    assert child.returncode == 3
    *progress, line = output.splitlines()
    assert progress[-1].startswith("written")
    assert line.startswith(f"error output {final}: writing stopped after ")
    size = final.with_name("v.partial.mp4").stat().st_size
    stopped_at = int(re.search(r"after (\d+) bytes", line)[1])
    assert limit / 2 < size <= stopped_at <= limit
    assert "ulimit" in line
    assert str(final.with_name("v.partial.mp4")) in line
    assert_plays(final.with_name("v.partial.mp4"), at_least=5)
    assert final.read_bytes() == b"older"
    assert not final.with_name("v.partial.finishing.mp4").exists()


@pytest.mark.parametrize(
    ("exception", "num_written"), [(RuntimeError, 1), (KeyboardInterrupt, 28), (RuntimeError, 100)]
)
def test_interrupted_render_keeps_every_frame(audio, final, exception, num_written):
    def stop(writer):
        raise exception

    writer = Mp4Writer(final, (32, 32), audio, preset="ultrafast")
    with pytest.raises(exception):
        fill(writer, stop, num_written)
    with av.open(str(writer.output.partial)) as container:
        assert sum(1 for _ in container.decode(video=0)) == num_written
    if num_written > 1:
        assert_plays(writer.output.partial, at_least=num_written)
    assert final.read_bytes() == b"older"


def test_a_stop_between_a_frame_and_its_count_tells_what_is_in_the_file(audio, final):
    writer = Mp4Writer(final, (32, 32), audio, preset="ultrafast")
    mux, calls = writer._encoder._mux, []

    def stop_after_the_fifth_frame(packets):
        mux(packets)
        calls.append(1)
        if len(calls) == 9:  # video and audio packets alternate
            raise KeyboardInterrupt

    writer._encoder._mux = stop_after_the_fifth_frame
    with pytest.raises(KeyboardInterrupt) as stopped:
        fill(writer, lambda writer: None, 10)
    assert writer.num_written == 4
    with av.open(str(writer.output.partial)) as container:
        assert sum(1 for _ in container.decode(video=0)) == 5
    assert "the first 5 of 500 frames are in" in stopped.value.__notes__[0]


def test_an_error_that_names_the_partial_file_gets_the_number_of_frames_once(audio, final):
    writer = Mp4Writer(final, (32, 32), audio, preset="ultrafast")

    def stop(writer):
        raise RuntimeError(f"no viewer for {writer.output.partial}")

    with pytest.raises(RuntimeError) as stopped:
        fill(writer, stop, 5)
    writer.note_end(stopped.value)
    note = f"the first 5 of 500 frames are in {writer.output.partial}"
    assert stopped.value.__notes__ == [note]


def test_an_error_that_says_where_the_frames_are_gets_no_note(audio, final, monkeypatch):
    writer = Mp4Writer(final, (32, 32), audio, preset="ultrafast")

    def fail(*_args):
        raise OSError(28, "No space left on device")

    def stop(writer):
        monkeypatch.setattr(writer._encoder, "write", fail)
        writer.write(np.zeros((1, 32, 32, 3), np.uint8))

    with pytest.raises(OutputError) as stopped:
        fill(writer, stop, 60)
    assert stopped.value.partial == writer.output.partial
    assert str(stopped.value).endswith(f"what was rendered is in {writer.output.partial}")
    assert not getattr(stopped.value, "__notes__", ())


def test_interrupt_before_the_first_frame_leaves_nothing(audio, final, tmp_path):
    with pytest.raises(KeyboardInterrupt), Mp4Writer(final, (32, 32), audio):
        raise KeyboardInterrupt
    assert sorted(path.name for path in tmp_path.iterdir()) == ["s.wav", "v.mp4"]
    assert final.read_bytes() == b"older"


def test_interrupt_before_the_first_frame_keeps_an_older_partial(audio, final):
    older = Mp4Writer(final, (32, 32), audio, preset="ultrafast")
    with pytest.raises(AssertionError):
        fill(older, lambda writer: None, num_frames=60)
    with pytest.raises(KeyboardInterrupt), Mp4Writer(final, (32, 32), audio):
        raise KeyboardInterrupt
    assert_plays(older.output.partial, at_least=60)


def test_fault_while_finishing_keeps_the_whole_render(audio, final):
    writer = Mp4Writer(final, (32, 32), audio, preset="ultrafast")
    with pytest.raises(OutputError, match=r"v\.partial\.mp4"):
        fill(writer, lambda writer: writer.output.finishing.mkdir())
    assert_plays(writer.output.partial, at_least=writer.num_frames)
    assert final.read_bytes() == b"older"


def test_final_name_that_became_a_folder(audio, tmp_path):
    writer = Mp4Writer(tmp_path / "v.mp4", (32, 32), audio, preset="ultrafast")
    with pytest.raises(OutputError, match=r"v\.partial\.mp4"):
        fill(writer, lambda writer: writer.output.final.mkdir())
    assert_plays(writer.output.partial, at_least=writer.num_frames)
    assert not writer.output.finishing.exists()


def test_missing_frames_are_our_fault(audio, final):
    with pytest.raises(AssertionError, match="28 of 500"), Mp4Writer(final, (32, 32), audio) as w:
        w.write(np.zeros((28, 32, 32, 3), np.uint8))
    assert final.read_bytes() == b"older"


def test_more_frames_than_the_audio_lasts_are_our_fault(audio, final):
    writer = Mp4Writer(final, (32, 32), audio)
    with pytest.raises(AssertionError), writer:
        writer.write(np.zeros((writer.num_frames + 1, 32, 32, 3), np.uint8))


def test_audio_that_vanished_during_the_render(audio, final):
    audio.source.unlink()
    with pytest.raises(InvalidInputError, match="no such file"), Mp4Writer(final, (32, 32), audio):
        pass
    assert not final.with_name("v.partial.mp4").exists()
    assert final.read_bytes() == b"older"


def test_next_render_replaces_what_a_killed_one_left(make, audio, final):
    for name in ("v.partial.mp4", "v.partial.finishing.mp4"):
        final.with_name(name).write_bytes(bytes(100))
    make.write_video(final, audio)
    assert sorted(path.name for path in final.parent.iterdir()) == ["s.wav", "v.mp4"]


def test_second_render_to_the_same_output_is_refused(make, audio, final):
    def start_another(writer):
        with pytest.raises(OutputError, match="another render is writing it; choose another name"):
            Mp4Writer(final, (32, 32), audio)

    waiting = Mp4Writer(final, (32, 32), audio)  # made before the other one has begun
    with Mp4Writer(final, (32, 32), audio, preset="ultrafast") as writer:
        start_another(writer)
        with pytest.raises(OutputError, match="another render"), waiting:
            pass
        writer.write(np.zeros((writer.num_frames, 32, 32, 3), np.uint8))
    assert sorted(path.name for path in final.parent.iterdir()) == ["s.wav", "v.mp4"]
    assert len(play(final)[0]) == writer.num_frames
    make.write_video(final, audio)


def test_a_killed_render_locks_nothing(make, audio, final):
    child = start_child(audio, final)
    try:
        child.stdout.readline()
        with pytest.raises(OutputError, match="another render"):
            Mp4Writer(final, (32, 32), audio)
    finally:
        child.send_signal(signal.SIGKILL)
        child.communicate()
    make.write_video(final, audio)
    assert sorted(path.name for path in final.parent.iterdir()) == ["s.wav", "v.mp4"]


def test_partial_file_that_was_shortened_does_not_become_the_final_one(audio, final, monkeypatch):
    writer = Mp4Writer(final, (32, 32), audio, preset="ultrafast")
    close = writer._close

    def close_and_cut():
        close()
        with writer.output.partial.open("r+b") as file:
            file.truncate(writer.output.partial.stat().st_size // 2)

    monkeypatch.setattr(writer, "_close", close_and_cut)
    with pytest.raises(OutputError, match=r"of 500 frames are left in .*v\.partial\.mp4"):
        fill(writer, lambda writer: None)
    assert final.read_bytes() == b"older"
    assert not writer.output.finishing.exists()


def test_file_that_gets_shorter_while_it_is_copied_is_an_error(tmp_path):
    (tmp_path / "short").write_bytes(b"123")
    reader, writer = (tmp_path / "short").open("rb"), (tmp_path / "copy").open("wb")
    with reader, writer, pytest.raises(OSError, match="lost its last 7 bytes"):
        copy_bytes(reader, writer, 0, 10)


def test_folder_in_the_place_of_the_finished_file(audio, final):
    writer = Mp4Writer(final, (32, 32), audio)
    writer.output.finishing.mkdir()
    with pytest.raises(OutputError, match="nothing that plays is left"), writer:
        pass
    assert not writer.output.lock.exists()


def test_partial_file_that_cannot_be_removed_is_a_warning(audio, final, monkeypatch, caplog):
    def keep(path, missing_ok=False):
        if path.name == "v.partial.mp4":
            raise PermissionError(13, "in use")
        remove(path, missing_ok)

    remove = Path.unlink
    writer = Mp4Writer(final, (32, 32), audio, preset="ultrafast")
    monkeypatch.setattr(Path, "unlink", keep)
    fill(writer, lambda writer: None)
    assert len(play(final)[0]) == writer.num_frames
    assert "v.partial.mp4 stays behind" in caplog.text
