"""Rows of a batch on several devices: a process each, here on the CPU."""

import json
import os
import signal
import sys
from contextlib import suppress
from pathlib import Path
from subprocess import PIPE, Popen
from threading import Thread
from time import monotonic, sleep

import pytest

from flashtalk_core.media.video.reading.measure import measure_video

pytestmark = pytest.mark.ranks

LIMIT_S = 240
"""Of what has to happen; other tests may have the cores meanwhile."""


@pytest.fixture
def start(tmp_path, portrait, write_audio):
    """Start a batch of rows of so many seconds; return the process and the lines it writes."""

    started = []

    def start(*seconds, steps=1, devices="cpu,cpu", options=()):
        lines = []
        for number, length in enumerate(seconds, 1):
            write_audio(tmp_path / f"{number}.wav", length)
            lines.append(json.dumps({"image": portrait.name, "audio": f"{number}.wav"}))
        (tmp_path / "m.jsonl").write_text("\n".join(lines))
        command = [sys.executable, "-m", "flashtalk_core", "batch", str(tmp_path / "m.jsonl")]
        options = ["--devices", devices, "--size", "32x32", "--steps", str(steps), *options]
        folder = tmp_path / "temporary"
        folder.mkdir(exist_ok=True)
        # Threads of several processes on the same cores would wait for each other.
        environment = os.environ | {"TMPDIR": str(folder), "OMP_NUM_THREADS": "1"}
        process = Popen([*command, *options], stderr=PIPE, text=True, bufsize=1, env=environment)
        said = []
        reader = Thread(target=lambda: said.extend(process.stderr), daemon=True)
        reader.start()
        started.append((process, reader))
        return process, said

    yield start
    for process, reader in started:
        process.kill()
        reader.join()
        process.stderr.close()
        process.wait()


def results(folder):
    lines = (folder / "m.jsonl.results.jsonl").read_text().splitlines()
    return {found["row"]: found for found in map(json.loads, lines)}


def children_of(process):
    path = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    return [int(number) for number in path.read_text().split()]


def renderer_of(file, process):
    """Return the child that has ``file`` open, once there is one."""

    def find():
        return [number for number in children_of(process) if has_open(number, file)]

    wait_for(find, process)
    return find()[0]


def hang(number, is_noticed):
    """Halt a process until that is noticed: while it writes a file it may take its time."""
    for _ in range(10):
        os.kill(number, signal.SIGSTOP)
        end_s = monotonic() + 20
        while monotonic() < end_s:
            if is_noticed():
                return
            sleep(0.05)
        with suppress(ProcessLookupError):
            os.kill(number, signal.SIGCONT)
        sleep(0.2)
    pytest.fail("nobody noticed")


def has_open(number, file):
    try:
        links = list(Path(f"/proc/{number}/fd").iterdir())
        return any(link.exists() and link.samefile(file) for link in links)
    except OSError:  # the process ended, or the file is not there yet
        return False


def wait_for(condition, process):
    end_s = monotonic() + LIMIT_S
    while not condition():
        assert monotonic() < end_s
        assert process.poll() is None
        sleep(0.05)


def test_rows_are_shared_and_each_is_rendered_once(start, tmp_path):
    process, said = start(0.2, 0.3, 0.2)
    assert process.wait(LIMIT_S) == 0, said
    found = results(tmp_path)
    assert [found[row]["status"] for row in "123"] == ["done"] * 3
    frames = [measure_video(tmp_path / f"{row}.mp4").num_frames for row in "123"]
    assert frames == [5, 8, 5]


@pytest.mark.skipif(sys.platform != "linux", reason="finds processes in /proc")
def test_a_process_that_is_killed_takes_one_row_with_it(start, tmp_path):
    process, said = start(9.0, 0.2, 0.2, 0.2)
    wait_for((tmp_path / "1.partial.state").exists, process)
    os.kill(renderer_of(tmp_path / "1.partial.mp4", process), signal.SIGKILL)
    assert process.wait(LIMIT_S) == 1, said
    found = results(tmp_path)
    assert "its process ended with signal 9" in found["1"]["error"]
    assert [found[row]["status"] for row in "1234"] == ["failed", "done", "done", "done"]

    process, said = start(0.2)
    assert process.wait(LIMIT_S) == 0, said
    assert any("this one starts anew (with other settings: " in line for line in said)


@pytest.mark.skipif(sys.platform != "linux", reason="finds processes in /proc")
@pytest.mark.parametrize("devices", ["cpu,cpu", "cpu"])
def test_a_process_that_hangs_is_ended_in_time(start, tmp_path, devices):
    seconds = [9.0, 240.0][: len(devices.split(","))]
    # Longer than a step takes that shares its cores with other tests.
    process, said = start(*seconds, devices=devices, options=["--step-limit", "12"])
    hang(renderer_of(tmp_path / "1.partial.mp4", process), lambda: "1" in results(tmp_path))
    if devices != "cpu":
        process.send_signal(signal.SIGINT)  # while the other one still reports
    assert process.wait(LIMIT_S) == (1 if devices == "cpu" else 130), said
    first = results(tmp_path)["1"]
    assert first["status"] == "failed"
    assert first["error"].startswith("no progress for 12 s")


@pytest.mark.skipif(sys.platform != "linux", reason="kills the batch")
def test_a_batch_that_is_killed_leaves_no_log_behind(start, tmp_path):
    process, _ = start(9.0, 9.0)
    wait_for(lambda: (tmp_path / "1.partial.mp4").exists(), process)
    children = children_of(process)
    process.kill()
    process.wait()
    for number in children:  # their input ended, and they with it
        while Path(f"/proc/{number}/stat").exists():
            sleep(0.05)
    assert list((tmp_path / "temporary").glob("*.log")) == []


def test_a_stop_reaches_every_process_and_is_written_down(start, tmp_path):
    process, said = start(60.0, 60.0, steps=4)
    names = [tmp_path / f"{row}.partial.mp4" for row in (1, 2)]
    wait_for(lambda: all(name.exists() for name in names), process)
    process.send_signal(signal.SIGINT)
    assert process.wait(LIMIT_S) == 130, said
    assert [found["status"] for found in results(tmp_path).values()] == ["stopped"] * 2
    assert "stopped on request" in said[-1]
    assert all(measure_video(name).num_frames >= 0 for name in names if name.stat().st_size)
