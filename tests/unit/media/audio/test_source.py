import dataclasses

import numpy as np
import pytest
import soundfile

from flashtalk_core.errors import InvalidInputError
from flashtalk_core.media.audio.decoding.reader import AudioReader
from flashtalk_core.media.audio.probe import AnalysisStream, probe_audio
from flashtalk_core.media.audio.source import AudioArray
from flashtalk_core.media.video.reading.measure import measure_video

pytestmark = pytest.mark.cpu


@pytest.fixture
def voice(make):
    return np.stack([make.voice(100_000, 44_100, seed) for seed in range(2)])


def test_array_is_read_like_a_file(voice, tmp_path):
    soundfile.write(tmp_path / "s.wav", voice.T, 44_100, "FLOAT")
    infos = [probe_audio(tmp_path / "s.wav", 0.5, 1.5)]
    infos.append(probe_audio(AudioArray("speech", voice, 44_100), 0.5, 1.5))
    heard = []
    for info in infos:
        with AnalysisStream(info) as stream:
            heard.append(stream.read(-100, 25_000))
    assert np.array_equal(heard[0], heard[1])
    assert infos[1] == dataclasses.replace(infos[0], source=infos[1].source, layout="")


def test_blocks_are_slices_of_the_array(voice):
    with AudioReader(AudioArray("speech", voice, 44_100)) as reader:
        blocks = list(reader.blocks())
    assert [block.shape[1] for block in blocks] == [32_768, 32_768, 32_768, 1_696]
    assert all(np.shares_memory(block, voice) for block in blocks)
    with AudioReader(AudioArray("speech", voice, 44_100)) as reader:
        part = np.concatenate(list(reader.blocks(30_000, 5_000)), axis=1)
    assert np.array_equal(part, voice[:, 30_000:35_000])


def test_array_becomes_the_track_of_a_video(make, tmp_path):
    audio = AudioArray("clicks", make.clicks(50_001, [9_000, 40_000], 2), 16_000)
    writer = make.write_video(tmp_path / "v.mp4", probe_audio(audio))
    found = measure_video(writer.output.final, click_times_s=[9_000 / 16_000, 2.5])
    assert found.num_samples == 50_001
    assert max(map(abs, found.click_offsets_s)) < 1e-3


def test_equal_audio_is_equal_whatever_its_name(voice):
    first = AudioArray("a", voice, 44_100)
    strided = np.repeat(voice, 2, axis=1)[:, ::2]
    assert first == AudioArray("b", strided, 44_100)
    assert len({first, AudioArray("b", voice.copy(), 44_100)}) == 1
    assert first != AudioArray("a", voice, 48_000)
    assert first != AudioArray("a", voice.reshape(1, -1), 44_100)
    changed = voice.copy()
    changed[1, 77] += 1e-3
    assert first != AudioArray("a", changed, 44_100)


def test_text_of_an_array_leaves_its_samples_out(voice):
    audio = AudioArray("speech", voice, 44_100)
    assert str(audio) == "speech"
    assert repr(audio) == "AudioArray('speech', 2 x 100000, 44100 Hz)"


@pytest.mark.parametrize(
    ("shape", "rate_hz", "value"),
    [((1, 10), 500, "500"), ((1, 10), 10**6, "1000000"), ((9, 10), 16_000, "9 channels"),
     ((0, 10), 16_000, "0 channels"), ((1, 0), 16_000, "0 samples")],
)  # fmt: skip
def test_impossible_array(shape, rate_hz, value):
    with pytest.raises(InvalidInputError, match=f"audio speech: .*{value}") as caught:
        AudioArray("speech", np.zeros(shape, np.float32), rate_hz)
    assert "\n" not in str(caught.value)


def test_warnings_and_errors_name_the_array(caplog):
    probe_audio(AudioArray("the silence", np.zeros((1, 16_000), np.float32), 16_000))
    assert "audio the silence: it is silent" in caplog.text
    broken = np.full((1, 16_000), np.nan, np.float32)
    with pytest.raises(InvalidInputError, match=r"audio the noise: a sample at 0\.000 s is NaN"):
        probe_audio(AudioArray("the noise", broken, 16_000))


def test_identity_distinguishes_audio_and_parts(voice, tmp_path):
    soundfile.write(tmp_path / "s.wav", voice.T, 44_100, "FLOAT")
    sources = [tmp_path / "s.wav", AudioArray("a", voice, 44_100), AudioArray("a", -voice, 44_100)]
    parts = [{}, {"start_s": 0.1, "duration_s": 1}, {"duration_s": 1}, {"target_lufs": -20.0}]
    seen = {probe_audio(source, **part).identity for source in sources for part in parts}
    assert len(seen) == 12
    assert seen == {probe_audio(source, **part).identity for source in sources for part in parts}
    before = probe_audio(sources[0])
    soundfile.write(tmp_path / "s.wav", voice.T[:-1], 44_100, "FLOAT")
    assert before.identity not in seen
    sources[0].unlink()
    with pytest.raises(InvalidInputError, match="no such file"):
        before.identity  # noqa: B018
