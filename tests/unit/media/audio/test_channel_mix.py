"""One downmix for the track and for the model's input."""

import av
import numpy as np
import pytest

from flashtalk_core.media.audio.channel_mix import mix_matrix, mono_weights, positions_of
from flashtalk_core.media.audio.decoding.reader import AudioReader
from flashtalk_core.media.audio.probe import probe_audio
from flashtalk_core.media.audio.source import AudioArray
from flashtalk_core.media.video.audio_track import _downmix, aac_layout

pytestmark = pytest.mark.cpu

HALF = pytest.approx(0.5**0.5)


def weights(layout, channels):
    positions = positions_of(layout, channels)
    return dict(zip(positions, mono_weights(positions).tolist(), strict=True))


def test_mono_and_stereo_are_heard_as_they_are():
    assert weights("mono", 1) == weights("1 channels", 1) == weights("", 1) == {"FC": 1}
    assert weights("stereo", 2) == weights("2 channels", 2) == {"FL": 0.5, "FR": 0.5}
    assert weights("downmix", 2) == {"DL": 0.5, "DR": 0.5}


@pytest.mark.parametrize("layout", ["5.1", "5.1(side)", "7.1", "6.1", "3.1", "2.1", "22.2"])
def test_the_effects_channel_is_left_out_and_the_centre_keeps_its_level(layout):
    found = weights(layout, len(av.AudioLayout(layout).channels))
    assert found["LFE"] == found.get("LFE2", 0) == 0
    assert found.get("FC", 0.5**0.5) == HALF
    assert (found["FL"], found["FR"]) == (0.5, 0.5)
    assert all(
        found[name] == pytest.approx(0.5 * 0.5**0.5) for name in ("SL", "BR") if name in found
    )


@pytest.mark.parametrize("channels", range(3, 9))
def test_channels_without_names_are_taken_in_the_order_of_wav(channels):
    named = [None, None, None, "3.0", "4.0", "5.0", "5.1", "6.1", "7.1"][channels]
    assert positions_of("", channels) == positions_of(named, channels)
    assert positions_of(f"{channels} channels", channels) == positions_of(named, channels)


@pytest.mark.parametrize("channels", [9, 12, 16, 64])
def test_one_of_many_channels_keeps_its_level(channels):
    assert set(weights(f"{channels} channels", channels).values()) == {1}


def test_odd_layouts_keep_a_voice():
    assert weights("1 channels (LFE)", 1) == {"LFE": 0}
    assert weights("2 channels (FC+LFE)", 2) == {"FC": 1, "LFE": 0}
    assert weights("2 channels (FL+LFE)", 2) == {"FL": 1, "LFE": 0}
    assert list(weights("ambisonic 1", 4).values()) == [1, 0, 0, 0]
    assert weights("7.1(wide)", 8)["FLC"] == 0.5
    assert weights("hexadecagonal", 16)["TFC"] == 0.5
    assert min(weights("cube", 8).values()) > 0.3


def test_seven_one_is_folded_into_five_one():
    matrix = mix_matrix(positions_of("7.1", 8), positions_of("5.1", 6))
    assert np.array_equal(matrix[:4, :4], np.eye(4))
    assert matrix[4].tolist() == [0, 0, 0, 0, 1, 0, HALF, 0]
    assert matrix[5].tolist() == [0, 0, 0, 0, 0, 1, 0, HALF]


@pytest.mark.parametrize(
    ("layout", "played"),
    [("7.1", "5.1"), ("7.1(wide)", "5.1"), ("6.1", "5.1"), ("hexadecagonal", "5.0"),
     ("octagonal", "5.0"), ("quad", "stereo"), ("2.1", "stereo"), ("3.1", "3.0"), ("4.1", "4.0"),
     ("3.0(back)", "stereo"), ("5.1(side)", "5.1"), ("downmix", "stereo"), ("ambisonic 1", "mono"),
     ("22.2", "5.1"), ("2 channels (FL+LFE)", "mono")],
)  # fmt: skip
def test_what_aac_has_no_layout_for_is_played_at_its_level(layout, played):
    channels = len(av.AudioLayout(layout).channels)
    assert aac_layout(layout, channels) == played
    matrix = mix_matrix(positions_of(layout, channels), positions_of(played, 0))
    gains = dict(zip(positions_of(layout, channels), np.linalg.norm(matrix, axis=0), strict=True))
    assert all(gains[name] == 1 for name in ("FL", "FR", "FC") if name in gains)


@pytest.mark.parametrize("layout", ["mono", "stereo", "3.0", "4.0", "5.0", "5.1"])
def test_layouts_of_aac_are_played_as_they_are(layout):
    channels = len(av.AudioLayout(layout).channels)
    audio = AudioArray("s", np.full((channels, 1600), 0.1, np.float32), 16_000)
    assert _downmix(probe_audio(audio)) is None


@pytest.mark.parametrize("how_many", [1, 12])
def test_audio_of_many_channels_is_played_as_loud_as_it_is(make, tmp_path, how_many):
    voice = make.voice(16_000, 16_000)
    audio = np.zeros((12, 16_000), np.float32)
    audio[:how_many] = voice
    path = make.write_wav(tmp_path / "s.wav", audio, 16_000)
    info = probe_audio(path)
    (row,) = _downmix(info)
    assert np.allclose(row @ audio, voice, atol=2e-3)


def test_speech_in_the_centre_is_heard_without_the_rumble_next_to_it(make):
    voice, time_s = make.voice(32_000, 16_000), np.arange(32_000) / 16_000
    audio = np.zeros((6, 32_000), np.float32)
    audio[2], audio[3] = voice * 0.2, 0.9 * np.sin(2 * np.pi * 40 * time_s)
    info = probe_audio(AudioArray("s", audio, 16_000))
    assert np.allclose(make.heard(info), voice * 0.2 * 0.5**0.5 * info.gain, atol=1e-5)


@pytest.mark.parametrize(
    ("mask", "at"), [(0x63F, 2), (0xFF, 2), (0x63F, 6), (0x33, 0), (0xB, 1), (0x70F, 2), (None, 4)]
)
def test_a_voice_in_one_of_many_channels_is_in_the_video_at_its_level(make, tmp_path, mask, at):
    channels = 12 if mask is None else mask.bit_count()
    voice = np.convolve(make.voice(48_000, 48_000), np.ones(9) / 9, "same")
    audio = np.zeros((channels, 48_000), np.float32)
    audio[at] = voice
    path = make.write_wav(tmp_path / "s.wav", audio, 48_000, mask)
    make.write_video(tmp_path / "v.mp4", probe_audio(path))
    with AudioReader(tmp_path / "v.mp4") as reader:
        played = np.concatenate(list(reader.blocks()), axis=1)
    loudest = played[np.square(played).sum(axis=1).argmax()]
    level = loudest.std() / voice.std()
    assert level == pytest.approx(0.5**0.5 if (mask, at) == (0x63F, 6) else 1, abs=0.05)
    assert make.heard(probe_audio(path)).any()
