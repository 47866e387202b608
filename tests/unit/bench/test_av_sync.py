"""Video and audio are exactly as long as each other, and in step, at any length."""

import resource
import sys
from pathlib import Path

import numpy as np
import pytest

from flashtalk_core.bench.av_sync import PlainFrames, SyncMeasure, measure_sync
from flashtalk_core.bench.signals import RATE_HZ, write_babble, write_clicks
from flashtalk_core.engine.events import EventHandlers
from flashtalk_core.engine.session import run_session
from flashtalk_core.media.audio.decoding.reader import AudioReader
from flashtalk_core.media.audio.probe import probe_audio

pytestmark = pytest.mark.bench


@pytest.mark.parametrize(
    ("duration_s", "frames"), [(0.04, 1), (0.5, 13), (1.12, 28), (1.13, 29), (37.5, 938)]
)
def test_video_is_as_long_as_its_audio_and_in_step(tmp_path, duration_s, frames):
    found = measure_sync(duration_s, tmp_path)
    assert found.expected_frames == found.num_frames == frames
    assert found.num_samples_out == round(duration_s * RATE_HZ)
    assert found.has_exact_times
    assert len(found.click_offsets_ms) == (1 if duration_s < 0.3 else 2)
    assert max(map(abs, found.click_offsets_ms)) < 1
    assert found.passed
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "fault",
    [
        {"num_frames": 27},
        {"has_exact_times": False},
        {"num_samples_out": 17_921},
        {"click_offsets_ms": (0.0, 10.1)},
        {"click_offsets_ms": (float("nan"), 0.0)},
    ],
)
def test_each_sync_fault_fails_the_bench(fault):
    good = {
        "duration_s": 1.12, "num_samples": 17_920, "expected_frames": 28, "num_frames": 28,
        "has_exact_times": True, "num_samples_out": 17_920, "click_offsets_ms": (0.0, -9.9),
    }  # fmt: skip
    assert SyncMeasure(**good).passed
    assert not SyncMeasure(**good | fault).passed


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_ten_times_the_length_takes_the_same_memory(tmp_path):
    def peak_bytes(duration_s):
        seen = []

        def look(_):
            pages = int(Path("/proc/self/statm").read_text().split()[1])
            seen.append(pages * resource.getpagesize())

        assert measure_sync(duration_s, tmp_path, EventHandlers(frames=look)).passed
        return max(seen)

    peak_bytes(5)  # what is imported and allocated once
    short = peak_bytes(20)
    # The 4500 frames more would take 14 MB.
    assert peak_bytes(200) - short < 4e6


def test_the_stand_in_draws_groups_of_four():
    source = PlainFrames((32, 48))
    groups = list(run_session(source, 57))
    assert [len(group) for group in groups] == [4] * 14 + [1]
    assert groups[0].shape[1:] == (32, 48, 3)


def test_clicks_are_written_where_they_are_wanted(tmp_path):
    write_clicks(tmp_path / "c.flac", 100_001, [3, 65_536, 100_000])
    with AudioReader(tmp_path / "c.flac") as audio:
        samples = np.concatenate(list(audio.blocks()), axis=1)[0]
    assert len(samples) == 100_001
    assert np.flatnonzero(samples).tolist() == [3, 65_536, 100_000]


def test_babble_is_loud_enough_to_measure(tmp_path):
    write_babble(tmp_path / "b.flac", 2.3)
    audio = probe_audio(tmp_path / "b.flac")
    assert audio.num_samples == round(2.3 * RATE_HZ)
    assert -50 < audio.loudness_lufs < -10
    assert not audio.is_silent
