"""One video rendered by two processes, from the command line."""

import json

import av
import pytest

from tests.unit.runtime.conftest import injected

pytestmark = pytest.mark.manual

DEVICES = ("--devices", "cpu,cpu")
CHUNK_FRAMES = 28


def count_frames(path):
    with av.open(str(path)) as container:
        return len(list(container.decode(video=0)))


def test_two_devices_render_one_video_though_one_of_them_is_killed_on_the_way(
    render, write_audio, tmp_path, monkeypatch
):
    """The frames before that play, and the same command goes on from there, to the same bytes."""
    audio = write_audio(tmp_path / "long.wav", seconds=2.5)
    whole, broken = tmp_path / "whole.mp4", tmp_path / "broken.mp4"
    assert render(*DEVICES, audio=audio, output=whole).code == 0
    assert count_frames(whole) == 63

    fault = tmp_path / "fault.json"
    for name, value in injected(fault).items():
        monkeypatch.setenv(name, value)
    fault.write_text(json.dumps({"error": "be_killed", "ranks": [1], "at": [2, 1]}))
    failed = render(*DEVICES, audio=audio, output=broken)
    assert failed.code == 2
    (line,) = (line for line in failed.lines if line.startswith("error: "))
    assert "cpu (rank 1) was killed (signal 9) in step 1 of chunk 2; log: " in line
    partial = tmp_path / "broken.partial.mp4"
    assert line.endswith(f"; the first {CHUNK_FRAMES} of 63 frames are in {partial}")
    assert not broken.exists()
    assert count_frames(partial) == CHUNK_FRAMES

    fault.unlink()
    assert render(*DEVICES, audio=audio, output=broken).code == 0
    assert broken.read_bytes() == whole.read_bytes()
