"""Rows of a batch on several devices: a process each, here on the CPU."""

import json
import os
import signal
import sys
from pathlib import Path
from subprocess import PIPE, Popen
from threading import Thread
from time import monotonic, sleep

import pytest

from flashtalk_core.media.video.reading.measure import measure_video

pytestmark = pytest.mark.ranks


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
        environment = os.environ | {"TMPDIR": str(folder)}
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


def wait_for(condition, process):
    end_s = monotonic() + 90
    while not condition():
        assert monotonic() < end_s
        assert process.poll() is None
        sleep(0.05)


def test_rows_are_shared_and_each_is_rendered_once(start, tmp_path):
    process, said = start(0.2, 0.3, 0.2)
    assert process.wait(120) == 0, said
    found = results(tmp_path)
    assert [found[row]["status"] for row in "123"] == ["done"] * 3
    frames = [measure_video(tmp_path / f"{row}.mp4").num_frames for row in "123"]
    assert frames == [5, 8, 5]


@pytest.mark.skipif(sys.platform != "linux", reason="finds processes in /proc")
def test_a_process_that_is_killed_takes_one_row_with_it(start, tmp_path):
    process, said = start(9.0, 0.2, 0.2, 0.2)
    state = tmp_path / "1.partial.state"
    wait_for(lambda: state.exists(), process)
    # The one of the long row is the older one.
    os.kill(min(children_of(process)), signal.SIGKILL)
    assert process.wait(120) == 1, said
    found = results(tmp_path)
    assert "its process ended with signal 9" in found["1"]["error"]
    assert [found[row]["status"] for row in "1234"] == ["failed", "done", "done", "done"]

    process, said = start(0.2)
    assert process.wait(120) == 0, said
    assert any("this one starts anew (with other settings: " in line for line in said)


@pytest.mark.skipif(sys.platform != "linux", reason="finds processes in /proc")
@pytest.mark.parametrize("devices", ["cpu,cpu", "cpu"])
def test_a_process_that_hangs_is_ended_in_time(start, tmp_path, devices):
    seconds = [9.0, 60.0][: len(devices.split(","))]
    process, said = start(*seconds, devices=devices, options=["--step-limit", "4"])
    wait_for(lambda: (tmp_path / "1.partial.mp4").exists(), process)
    os.kill(min(children_of(process)), signal.SIGSTOP)
    file = tmp_path / "m.jsonl.results.jsonl"
    if devices != "cpu":
        wait_for(file.read_text, process)  # while the other one still reports
        process.send_signal(signal.SIGINT)
    assert process.wait(60) == (1 if devices == "cpu" else 130), said
    first = results(tmp_path)["1"]
    assert first["status"] == "failed"
    assert first["error"].startswith("no progress for 4 s")


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
    process, said = start(9.0, 9.0, steps=4)
    names = [tmp_path / f"{row}.partial.mp4" for row in (1, 2)]
    wait_for(lambda: all(name.exists() for name in names), process)
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 130, said
    assert [found["status"] for found in results(tmp_path).values()] == ["stopped"] * 2
    assert "stopped on request" in said[-1]
    assert all(measure_video(name).num_frames >= 0 for name in names if name.stat().st_size)
