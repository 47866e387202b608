"""Places where no video can be written, and renders that are stopped."""

import os
import resource
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import av
import pytest

from flashtalk_core.cli.main import main

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(sys.platform == "win32", reason="signals and limits of POSIX"),
]

ROOT = Path(__file__).parents[2]


def test_a_folder_that_does_not_exist(refused, tmp_path):
    output = tmp_path / "missing" / "talk.mp4"
    line = refused(output=output)
    assert str(output) in line
    assert f"no folder {output.parent}; create it first" in line
    assert not output.parent.exists()


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("talk.avi", "'.avi' is not written; use a name in .mp4"),
        ("talk", "it has no ending; add .mp4"),
        ("n" * 300 + ".mp4", "choose a shorter name"),
    ],
)
def test_names_that_cannot_be_written(refused, older, name, said):
    assert said in refused(output=older.with_name(name))


def test_a_folder_that_cannot_be_written_to(refused):
    """Not even root can make files in /proc."""
    assert "/proc/talk.mp4: cannot be written" in refused(output=Path("/proc/talk.mp4"))


def test_a_folder_in_the_place_of_the_file(refused, tmp_path):
    (tmp_path / "x.mp4").mkdir()
    assert "this is a folder; add a file name" in refused(output=tmp_path / "x.mp4")


@pytest.mark.parametrize("kept", ["talk.mp4", "talk.partial.mp4"])
def test_the_input_is_not_overwritten(render, refused, older, tmp_path, kept):
    assert render(output=older.with_name("made.mp4")).code == 0
    source = older.with_name("made.mp4").rename(tmp_path / kept)
    content = source.read_bytes()
    line = refused(audio=source, output=tmp_path / "talk.mp4")
    assert f"{source} would be overwritten; choose another name" in line
    assert source.read_bytes() == content


def test_a_full_disk(render, write_audio, tmp_path, older):
    """Root may write where it likes, but not beyond a limit on the size of files."""
    speech = write_audio(tmp_path / "long.wav", 20)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, before[1]))
    try:
        done = render(audio=speech)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert done.code == 2
    errors = [line for line in done.lines if "talk" in line and line.startswith("error")]
    assert len(errors) == 1
    assert errors[0].startswith(f"error: output {older}: writing stopped after ")
    assert "ulimit" in errors[0]
    assert f"what was rendered is in {older.with_name('talk.partial.mp4')}" in errors[0]
    assert "Traceback" not in "".join(done.lines)
    assert older.read_bytes() == b"older"
    assert count_frames(older.with_name("talk.partial.mp4")) >= 5
    assert not older.with_name("talk.partial.finishing.mp4").exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_stopped_render_keeps_its_frames(render, write_audio, tmp_path, older, number):
    partial = older.with_name("talk.partial.mp4")
    speech = write_audio(tmp_path / "long.wav", 60)
    before = signal.getsignal(number)
    if before is signal.SIG_IGN:  # nohup and shells leave some so for what runs in the background
        is_int = number is signal.SIGINT
        signal.signal(number, signal.default_int_handler if is_int else signal.SIG_DFL)
    stopper = threading.Thread(target=stop_once_written, args=(partial, number))
    stopper.start()
    try:
        done = render(audio=speech)
    finally:
        stopper.join()
        signal.signal(number, before)
    assert done.code == 130
    assert [line for line in done.lines if line.startswith("error")] == done.lines[-1:]
    frames = count_frames(partial)
    assert done.lines[-1] == (
        f"error: stopped on request; the first {frames} of 1500 frames are in {partial}"
    )
    assert 0 < frames < 1500
    assert older.read_bytes() == b"older"


def stop_once_written(partial, number):
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if partial.exists() and partial.stat().st_size:
            os.kill(os.getpid(), number)
            return
        time.sleep(0.01)


def test_a_killed_render_stays_playable(write_audio, tmp_path, older, portrait):
    """In a process of its own, which is also the only one here started as users start it."""
    partial = older.with_name("talk.partial.mp4")
    speech = write_audio(tmp_path / "long.wav", 60)
    files = ["--image", str(portrait), "--audio", str(speech), "-o", str(older)]
    command = [sys.executable, "-m", "flashtalk_core", "render", *files, "--steps", "1"]
    child = subprocess.Popen(
        [*command, "--size", "32x32"], cwd=ROOT, stderr=subprocess.PIPE, text=True
    )
    try:
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline and not is_playable(partial):
            time.sleep(0.1)
    finally:
        child.kill()
        _, said = child.communicate()
    assert child.returncode == -signal.SIGKILL
    # No library speaks up between our own lines.
    assert all(line.startswith(("warning: size 32x32", "chunk ")) for line in said.splitlines())
    assert count_frames(partial) >= 5
    assert older.read_bytes() == b"older"


def is_playable(path):
    """Return whether a first fragment has been written; before that nothing can be kept."""
    try:
        return count_frames(path) >= 5
    except av.FFmpegError:
        return False


def count_frames(path):
    with av.open(str(path)) as container:
        frames = sum(1 for _ in container.decode(video=0))
    with av.open(str(path)) as container:
        assert sum(frame.samples for frame in container.decode(audio=0)) > 0
    return frames


def test_an_interrupt_while_loading_leaves_nothing(tmp_path, capsys, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("flashtalk_core.engine.build.encode_prompt", interrupt)
    assert main(["render", "-o", str(tmp_path / "talk.mp4"), "--duration", "0.04"]) == 130
    assert capsys.readouterr().err.splitlines()[-1] == "error: stopped on request"
    assert list(tmp_path.iterdir()) == []
