"""Audio that grows while it is rendered ends as the finished one would have been."""

from dataclasses import replace

import numpy as np
import pytest

from flashtalk_core.geometry import num_video_frames
from flashtalk_core.media.audio.info import AudioInfo
from flashtalk_core.media.audio.notes import audio_notes
from flashtalk_core.media.audio.probe import AnalysisStream
from flashtalk_core.media.audio.source import BLOCK_SAMPLES, AudioArray
from flashtalk_core.media.video.audio_track import track_notes
from flashtalk_core.media.video.writer import Mp4Writer

pytestmark = pytest.mark.cpu

KINDS = [(1, 16_000), (1, 44_100), (1, 96_000), (2, 44_100), (6, 22_050), (8, 48_000)]


@pytest.fixture(params=KINDS, ids=str)
def samples_and_rate(request, make):
    channels, rate_hz = request.param
    return np.stack([make.voice(rate_hz * 2 + 77, rate_hz, seed) for seed in range(channels)]), (
        rate_hz
    )


@pytest.fixture
def growing(samples_and_rate, growing_audio):
    samples, rate_hz = samples_and_rate
    # Products of matrices round a downmix by the size of the blocks: there they are the same.
    part_samples = 1_000 if len(samples) == 1 else BLOCK_SAMPLES
    return AudioInfo.growing(growing_audio(samples, rate_hz, part_samples))


@pytest.fixture
def finished(samples_and_rate, growing):
    """The same audio from memory, with all that was known of it before its end."""
    samples, rate_hz = samples_and_rate
    array = AudioArray("whole", samples, rate_hz)
    return replace(growing, source=array, num_samples=array.num_samples)


def heard(audio, step=9_000):
    with AnalysisStream(audio) as stream:
        return np.concatenate([stream.read(at, at + step) for at in range(0, 5 * step, step)])


def written(path, audio):
    with Mp4Writer(path, (32, 32), audio, preset="ultrafast", crf=40) as writer:
        index = 0
        while audio.has_sample(index * audio.rate_hz // 25):
            writer.write(np.full((1, 32, 32, 3), index, np.uint8))
            index += 1
    return path.read_bytes()


def test_the_length_is_unknown_until_the_end_is_waited_for(growing, finished):
    total = finished.num_samples
    assert (growing.total_samples, growing.duration_s, growing.num_samples) == (None, None, None)
    assert "? at" in repr(growing)
    assert growing.has_sample(total - 1)
    assert growing.total_samples is None
    assert not growing.has_sample(total)
    assert growing.total_samples == finished.total_samples == total
    assert growing.duration_s == finished.duration_s
    assert (finished.has_sample(total - 1), finished.has_sample(total)) == (True, False)


def test_the_model_hears_the_same(growing, finished):
    assert np.array_equal(heard(growing), heard(finished))


def test_a_window_waits_for_what_it_looks_ahead_to_and_for_no_more(growing):
    if growing.rate_hz != 16_000:
        pytest.skip("a resampler needs some more")
    with AnalysisStream(growing) as stream:
        stream.read(-640, 4_500)
        assert growing.source.num_arrived == 5_000
        stream.read(0, 10**6)
    assert growing.total_samples == growing.source.num_arrived


def test_the_video_is_the_same_to_the_byte(growing, finished, tmp_path):
    assert written(tmp_path / "a.mp4", growing) == written(tmp_path / "b.mp4", finished)


@pytest.mark.parametrize("num_samples", [1, 639, 640, 641, 1_280, 16_000])
def test_the_end_is_found_at_any_sample(growing_audio, make, tmp_path, num_samples):
    samples = make.voice(num_samples, 16_000)[None]
    growing = AudioInfo.growing(growing_audio(samples, 16_000, 640))
    finished = replace(
        growing, source=AudioArray("whole", samples, 16_000), num_samples=num_samples
    )
    video = written(tmp_path / "a.mp4", growing)
    assert video == written(tmp_path / "b.mp4", finished)
    assert num_video_frames(num_samples, 16_000, 25) == -(-num_samples // 640)


def test_a_render_that_stops_before_the_end_says_how_much_it_saved(growing, tmp_path):
    writer = Mp4Writer(tmp_path / "v.mp4", (32, 32), growing)

    def stop():
        with writer:
            writer.write(np.zeros((20, 32, 32, 3), np.uint8))
            assert writer.num_frames is None
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt) as stopped:
        stop()
    assert stopped.value.__notes__ == [f"the first 20 frames are in {writer.output.partial}"]


def test_it_has_no_identity_and_nothing_is_wrong_with_it(growing):
    assert growing.identity is None
    assert audio_notes(growing) == []
    assert all("AAC has no" in note for note in track_notes(growing))
