"""Which part of the audio reaches the model."""

import logging

import numpy as np
import pytest
import soundfile

from flashtalk_core.media.audio.decoding.reader import AudioReader
from flashtalk_core.media.audio.probe import AnalysisStream, probe_audio
from flashtalk_core.media.audio.source import AudioArray

pytestmark = pytest.mark.cpu

RATE_HZ = 16_000


@pytest.fixture
def voice(make):
    """Noise in syllables, above 200 Hz, 3 s."""
    from scipy.signal import butter, sosfilt

    high = butter(4, 200, "high", fs=RATE_HZ, output="sos")
    return sosfilt(high, make.voice(3 * RATE_HZ, RATE_HZ)).astype(np.float32)


def probe(*channels):
    return probe_audio(AudioArray("s", np.stack(channels).astype(np.float32), RATE_HZ))


def likeness(first, second):
    num_samples = min(len(first), len(second))
    return np.corrcoef(first[:num_samples], second[:num_samples])[0, 1]


@pytest.mark.parametrize("factor", [1.0, 0.97, 0.7])
def test_inverted_channels_leave_one_that_speaks(make, voice, caplog, factor):
    with caplog.at_level(logging.WARNING):
        info = probe(voice, -factor * voice)
    assert info.mix.lone_channel == 0
    assert likeness(make.heard(info), voice) > 0.9999
    assert [record.message for record in caplog.records] == [
        "audio s: its channels cancel each other out, so the mouth follows channel 1 alone; "
        "invert one channel"
    ]


@pytest.mark.parametrize(
    ("name", "codec"), [("s.m4a", "aac"), ("s.opus", "libopus"), ("s.ogg", ""),
                        ("s.mp3", "libmp3lame"), ("s.ac3", "ac3")],
)  # fmt: skip
def test_noise_of_a_codec_is_not_taken_for_what_is_said(make, tmp_path, voice, name, codec):
    path, inverted = tmp_path / name, np.stack([voice, -voice])
    if codec:
        make.encode_audio(path, inverted, 48_000, codec)
    else:
        soundfile.write(path, inverted.T, 48_000, "VORBIS")
    with AudioReader(path) as reader:
        left = np.concatenate(list(reader.blocks()), axis=1)[0]
    info = probe_audio(path)
    assert info.mix.lone_channel == 0
    assert info.loudness_lufs > -40
    heard = make.heard(info)
    assert likeness(heard, make.heard(probe_audio(AudioArray("l", left[None], 48_000)))) > 0.999


def test_analogue_noise_does_not_hide_cancelling_channels(make, voice):
    noise = np.random.default_rng(3).normal(0, voice.std() / 10, (2, len(voice)))
    assert probe(voice + noise[0], noise[1] - voice).mix.lone_channel == 0


def test_the_louder_of_two_channels_is_heard(voice):
    assert probe(0.6 * voice, -voice).mix.lone_channel == 1


def test_channels_that_cancel_in_the_part_are_judged_there(make, voice):
    half = len(voice) // 2
    second = np.concatenate([voice[:half], -voice[half:]])
    audio = AudioArray("s", np.stack([voice, second]), RATE_HZ)
    assert probe_audio(audio, 0, 1.4).mix.lone_channel is None
    assert probe_audio(audio, 1.6).mix.lone_channel == 0
    assert probe_audio(audio).mix.lone_channel == 0


def test_what_is_played_keeps_both_channels(make, tmp_path, voice):
    audio = make.encode_audio(tmp_path / "s.wav", np.stack([voice, -voice]), RATE_HZ)
    make.write_video(tmp_path / "v.mp4", probe_audio(audio))
    with AudioReader(tmp_path / "v.mp4") as reader:
        left, right = np.concatenate(list(reader.blocks()), axis=1)
    assert likeness(left, right) < -0.9


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_usual_stereo_is_mixed(voice, make, share):
    other = make.voice(len(voice), RATE_HZ, 7)
    assert probe(voice, share * voice + (1 - share) * other).mix.lone_channel is None
    late = np.concatenate([np.zeros(8, np.float32), voice[:-8]])
    assert probe(voice, late).mix.lone_channel is None
    assert probe(voice, 0 * voice).mix.lone_channel is None


def test_one_channel_never_cancels(make, voice, caplog):
    info = probe(1e-6 * voice)
    assert info.is_silent
    assert "cancel" not in caplog.text
    assert probe_audio(AudioArray("s", voice[None] * 1e-5, RATE_HZ), 0, 0.001).is_silent


def test_speech_where_the_effects_channel_would_be_is_heard(make, voice):
    audio = np.zeros((6, len(voice)), np.float32)
    audio[3] = voice
    assert likeness(make.heard(probe(*audio)), voice) > 0.9999


@pytest.mark.parametrize("offset", [0.02, 0.1, -0.4, 3.0])
def test_a_constant_offset_is_removed_from_the_audio(make, voice, offset):
    plain, moved = probe(0.5 * voice), probe(0.5 * voice + offset)
    assert likeness(make.heard(moved), voice) > 0.999
    assert moved.loudness_lufs == pytest.approx(plain.loudness_lufs, abs=0.2)
    with AnalysisStream(moved) as stream:
        around = stream.read(-800, 3 * RATE_HZ + 800)
    assert not around[:800].any()
    assert np.abs(around[800:840]).max() < 4 * voice.std() * moved.gain


@pytest.mark.parametrize("rate_hz", [16_000, 44_100])
@pytest.mark.parametrize("tone_hz", [5, 20, 30, 45])
def test_rumble_is_not_heard(make, voice, tone_hz, rate_hz):
    import soxr

    audio = soxr.resample(voice, RATE_HZ, rate_hz) if rate_hz != RATE_HZ else voice
    rumble = 0.05 * np.sin(2 * np.pi * tone_hz * np.arange(len(audio)) / rate_hz + 1)
    noisy = AudioArray("s", (0.3 * audio + rumble)[None].astype(np.float32), rate_hz)
    info = probe_audio(noisy)
    assert info.mix.cuts_lows
    heard = make.heard(info)
    assert len(heard) == 3 * RATE_HZ
    clean = make.heard(probe_audio(AudioArray("c", audio[None], rate_hz)))
    assert likeness(heard, clean) > 0.998
    spectrum = np.abs(np.fft.rfft(heard)) ** 2
    assert spectrum[: 3 * 48].sum() < 0.01 * spectrum.sum()


def test_rumble_is_cut_alike_whatever_windows_are_read(make, voice):
    rumble = np.sin(2 * np.pi * 20 * np.arange(len(voice)) / RATE_HZ)
    info = probe(voice + rumble)
    whole = make.heard(info)
    with AnalysisStream(info) as stream:
        parts = [stream.read(start, start + 640) for start in range(0, len(whole), 640)]
    assert np.array_equal(np.concatenate(parts)[: len(whole)], whole)


def test_clean_audio_is_only_scaled(make, voice):
    info = probe(voice)
    assert (info.mix.offset, info.mix.cuts_lows) == (0, False)
    assert np.array_equal(make.heard(info), voice * np.float32(info.gain))


@pytest.mark.parametrize("level", [0, 3e-5, 9e-5])
def test_audio_below_the_silence_threshold_is_rendered_as_silence(make, level):
    noise = np.random.default_rng(0).uniform(-level, level, RATE_HZ)
    info = probe(noise)
    assert info.is_silent
    assert not make.heard(info).any()


def test_a_constant_offset_alone_is_silence(make, caplog):
    info = probe(np.full(RATE_HZ, 0.3))
    assert info.is_silent
    assert not make.heard(info).any()
    assert "nothing but an offset" in caplog.text


def test_quiet_speech_is_reported(voice, caplog):
    probe(voice / np.abs(voice).max() * 0.0005)
    assert "too quiet to measure its loudness" in caplog.text
