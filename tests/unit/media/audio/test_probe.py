import logging
import re
import subprocess
import sys
import tracemalloc

import numpy as np
import pytest
import soundfile
import soxr

from flashtalk_core.config.chunk import ChunkConfig
from flashtalk_core.errors import InvalidInputError
from flashtalk_core.geometry import chunk_span
from flashtalk_core.media.audio.probe import AnalysisStream, probe_audio

pytestmark = pytest.mark.cpu

RATES = [8_000, 11_025, 16_000, 22_050, 44_100, 48_000, 96_000]


@pytest.fixture
def save(tmp_path):
    def save(audio, rate_hz=16_000, name="s.wav", subtype="FLOAT"):
        soundfile.write(tmp_path / name, audio, rate_hz, subtype)
        return tmp_path / name

    return save


def chunk_windows(info, num_chunks):
    """Every window the chunk loop reads, each with the sample it starts at."""
    with AnalysisStream(info) as stream:
        for index in range(num_chunks):
            window = chunk_span(index, ChunkConfig()).window
            yield window.start * 640, stream.read(window.start * 640, window.stop * 640)


def whole(info, num_samples, step=17_920):
    with AnalysisStream(info) as stream:
        parts = [stream.read(s, s + step) for s in range(0, num_samples, step)]
    return np.concatenate(parts)[:num_samples]


def test_speech_is_measured_without_packages_that_take_long_to_import(save, make):
    path = save(make.voice(16_000, 16_000))
    script = f"""
import sys
from flashtalk_core.media.audio.probe import probe_audio
assert probe_audio({str(path)!r}).loudness_lufs < 0
assert not {{"scipy", "torch"}} & sys.modules.keys()
"""
    subprocess.run([sys.executable, "-c", script], check=True)


@pytest.mark.parametrize("rate_hz", RATES)
def test_length_is_exact(save, make, rate_hz):
    for num_samples in (1, rate_hz // 25, rate_hz + 1):
        info = probe_audio(save(make.voice(num_samples, rate_hz), rate_hz))
        assert (info.num_samples, info.rate_hz) == (num_samples, rate_hz)


@pytest.mark.parametrize("rate_hz", RATES)
def test_click_stays_where_it_is(save, make, rate_hz):
    at_s = np.array([0.1, 1.4, 2.9])
    path = save(make.clicks(3 * rate_hz, np.round(at_s * rate_hz).astype(int))[0], rate_hz)
    heard = np.abs(whole(probe_audio(path), 48_000))
    for time_s in at_s:
        centre = round(time_s * 16_000)
        near = heard[centre - 800 : centre + 800]
        assert abs(int(near.argmax()) - 800) <= 1


def test_block_borders_leave_no_trace(save, make):
    audio = np.stack([make.voice(441_000, 44_100, seed) for seed in range(2)], axis=1)
    info = probe_audio(save(audio, 44_100))
    at_once = soxr.resample(audio.mean(axis=1), 44_100, 16_000) * np.float32(info.gain)
    assert np.abs(whole(info, 160_000) - at_once).max() < 1e-6


def test_windows_overlap_consistently_and_are_silent_outside(save, make):
    info = probe_audio(save(make.voice(50_000, 16_000), 16_000))
    full = whole(info, 50_000)
    for start, window in chunk_windows(info, 3):
        assert window.shape == (128_000,)
        expected = np.zeros(128_000, np.float32)
        inside = slice(max(0, -start), min(128_000, 50_000 - start))
        expected[inside] = full[start + inside.start : start + inside.stop]
        assert np.array_equal(window, expected)


def test_windows_may_leave_gaps_but_not_go_back(save, make):
    info = probe_audio(save(make.voice(160_000, 16_000), 16_000))
    full = whole(info, 160_000)
    with AnalysisStream(info) as stream:
        assert not stream.read(-200, -100).any()
        assert np.array_equal(stream.read(90_000, 90_010), full[90_000:90_010])
        assert not stream.read(200_000, 200_010).any()
        with pytest.raises(AssertionError, match="forward"):
            stream.read(199_999, 200_010)


def test_analysis_is_at_the_target_loudness(save, make):
    import pyloudnorm

    info = probe_audio(save(make.voice(320_000, 32_000), 32_000))
    meter = pyloudnorm.Meter(16_000)
    heard = whole(info, 160_000).astype(np.float64)
    assert meter.integrated_loudness(heard) == pytest.approx(-23, abs=1e-4)
    unscaled = heard / np.float32(info.gain)
    assert info.loudness_lufs == pytest.approx(meter.integrated_loudness(unscaled), abs=1e-4)


def test_part_of_audio(save, make):
    audio = make.voice(80_000, 16_000)
    path = save(audio)
    info = probe_audio(path, start_s=1.5, duration_s=2.25)
    assert (info.start_sample, info.num_samples, info.duration_s) == (24_000, 36_000, 2.25)
    heard = whole(info, 40_000)
    assert np.allclose(heard[:36_000], audio[24_000:60_000] * np.float32(info.gain))
    assert not heard[36_000:].any()
    assert probe_audio(path, start_s=4, duration_s=60).num_samples == 16_000


@pytest.mark.parametrize(
    ("part", "value"),
    [
        ({"start_s": -1.0}, "-1.0"),
        ({"start_s": float("nan")}, "nan"),
        ({"duration_s": 0.0}, "0.0"),
        ({"start_s": 5.0}, "lasts 1.000 s"),
    ],
)
def test_impossible_part(save, part, value):
    with pytest.raises(InvalidInputError, match=value):
        probe_audio(save(np.zeros(16_000)), **part)


@pytest.mark.parametrize(
    ("bad", "subtype"), [(np.nan, "FLOAT"), (np.inf, "FLOAT"), (1e300, "DOUBLE")]
)
def test_sample_that_is_no_number(save, make, bad, subtype):
    audio = make.voice(80_000, 16_000).astype(np.float64)
    audio[40_000] = bad
    with pytest.raises(InvalidInputError, match=r"2\.500 s") as caught:
        probe_audio(save(audio, subtype=subtype))
    assert "\n" not in str(caught.value)


def test_silence_is_rendered_with_a_warning(save, caplog):
    with caplog.at_level(logging.WARNING):
        info = probe_audio(save(np.zeros(32_000)))
    assert info.is_silent
    assert (info.loudness_lufs, info.gain, info.peak) == (None, 1.0, 0.0)
    assert "mouth will stay closed" in caplog.text


def test_channels_that_cancel_each_other(save, make, caplog):
    voice = make.voice(32_000, 16_000)
    with caplog.at_level(logging.WARNING):
        info = probe_audio(save(np.stack([voice, -voice], axis=1)))
    assert not info.is_silent
    assert "cancel" in caplog.text
    assert np.allclose(whole(info, 32_000), voice * np.float32(info.gain), atol=1e-6)


def test_wrong_scale_is_warned_about(save, make, caplog):
    with caplog.at_level(logging.WARNING):
        info = probe_audio(save(make.voice(32_000, 16_000) * 30_000))
    assert info.peak > 1000
    assert "full scale" in caplog.text


def test_speech_brings_no_warning(save, make, caplog):
    with caplog.at_level(logging.WARNING):
        assert not probe_audio(save(make.voice(32_000, 16_000))).is_silent
    assert not caplog.text


def test_memory_does_not_grow_with_the_length(save, make):
    def peak(seconds):
        path = save(np.tile(make.voice(44_100, 44_100), seconds), 44_100, subtype="PCM_16")
        tracemalloc.start()
        info = probe_audio(path)
        for _ in chunk_windows(info, seconds * 25 // 28):
            pass
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    peak(2)
    assert peak(120) < 1.1 * peak(20)


@pytest.mark.parametrize("target_lufs", [-70.0, -16.0, 0.0])
def test_another_loudness_can_be_asked_for(save, make, target_lufs):
    import pyloudnorm

    info = probe_audio(save(make.voice(160_000, 16_000)), target_lufs=target_lufs)
    heard = whole(info, 160_000).astype(np.float64) * 10 ** ((-23 - target_lufs) / 20)
    assert pyloudnorm.Meter(16_000).integrated_loudness(heard) == pytest.approx(-23, abs=1e-3)


@pytest.mark.parametrize("target_lufs", [-70.1, 0.1, float("nan")])
def test_impossible_loudness(save, target_lufs):
    with pytest.raises(InvalidInputError, match=f"{target_lufs} LUFS: use -70 to 0"):
        probe_audio(save(np.zeros(16_000)), target_lufs=target_lufs)


@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24", "FLOAT"])
def test_wav_that_was_cut_off_is_warned_about(save, make, caplog, subtype):
    path = save(make.voice(160_000, 16_000), subtype=subtype)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 2 // 5])
    probe_audio(path, duration_s=2)
    assert not caplog.text
    # FFmpeg before 8.1 leaves out the last packet, which is not whole.
    duration_s = probe_audio(path).duration_s
    assert 3.9 < duration_s < 4.01
    assert f"only {duration_s:.3f} s are there" in caplog.text
    (stated_s,) = re.findall(r"states ([\d.]+) s", caplog.text)
    assert float(stated_s) == pytest.approx(10, abs=0.1)


@pytest.mark.parametrize("stated", [0xFFFFFFFF, 0x7FFFF024])
def test_wav_from_a_pipe_brings_no_warning(save, make, caplog, stated):
    path = save(make.voice(16_000, 16_000), subtype="PCM_16")
    data = bytearray(path.read_bytes())
    position = data.index(b"data") + 4
    data[position : position + 4] = stated.to_bytes(4, "little")
    path.write_bytes(data)
    assert probe_audio(path).num_samples == 16_000
    assert not caplog.text


def test_audio_beyond_any_scale_is_refused(save, make):
    with pytest.raises(InvalidInputError, match=r"1e\+30 times full scale, the limit is 1e\+10"):
        probe_audio(save(make.clicks(16_000, [800])[0] / 0.9 * 1e30))


def test_a_part_that_ends_early_is_reported_once(save, make, caplog):
    path = save(make.voice(32_000, 16_000))
    whole(probe_audio(path, 0.5, 100.0), 24_000)
    assert [record.message.partition(": ")[2] for record in caplog.records] == [
        "it ends 1.500 s after its start, 100 s were asked for"
    ]
