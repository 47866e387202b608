import logging

import av
import numpy as np
import pytest
import soundfile

from flashtalk_core.errors import InvalidInputError
from flashtalk_core.media.audio.decoding.reader import AudioReader

pytestmark = pytest.mark.cpu

LOSSLESS = [
    ("s.wav", "pcm_u8", 1 / 128),
    ("s.wav", "pcm_s16le", 1 / 32768),
    ("s.wav", "pcm_s24le", 1 / 2**23),
    ("s.wav", "pcm_s32le", 1e-7),
    ("s.wav", "pcm_f32le", 0),
    ("s.wav", "pcm_f64le", 0),
    ("s.flac", "flac", 1 / 32768),
]
# The shortest unit of each container's stated length: MP4 rounds to milliseconds here.
LOSSY = [
    ("s.mp3", "libmp3lame", 44_100, 0),
    ("s.mp3", "libmp3lame", 22_050, 0),
    ("s.m4a", "aac", 44_100, 45),
    ("s.mov", "aac", 16_000, 16),
    ("s.opus", "libopus", 48_000, 0),
    ("s.ogg", "libopus", 16_000, 0),
]


def read(path):
    with AudioReader(path) as file:
        return file, np.concatenate(list(file.blocks()), axis=1)


def complaint(path):
    with pytest.raises(InvalidInputError) as caught:
        read(path)
    message = str(caught.value)
    assert "\n" not in message
    assert str(path) in message
    return message


@pytest.mark.parametrize(("name", "codec", "step"), LOSSLESS)
@pytest.mark.parametrize("channels", [1, 2, 6])
def test_lossless_formats_keep_every_sample(make, tmp_path, name, codec, step, channels):
    audio = np.stack([make.voice(50_001, 22_050, seed) for seed in range(channels)])
    path = make.encode_audio(tmp_path / name, audio, 22_050, codec)
    file, found = read(path)
    assert (file.rate_hz, file.channels) == (22_050, channels)
    assert found.dtype == np.float32
    assert found.shape == audio.shape
    assert np.abs(found - audio).max() <= step


@pytest.mark.parametrize(("name", "codec", "rate_hz", "slack"), LOSSY)
@pytest.mark.parametrize("num_samples", [5_000, 49_839])
def test_encoder_delay_and_padding_are_left_out(
    make, tmp_path, name, codec, rate_hz, slack, num_samples
):
    at = [num_samples // 5, num_samples - num_samples // 5]
    path = make.encode_audio(tmp_path / name, make.clicks(num_samples, at, 2), rate_hz, codec)
    file, found = read(path)
    scale = file.rate_hz // rate_hz  # Opus always comes out at 48 kHz
    assert abs(found.shape[1] - num_samples * scale) <= slack
    for index, half in enumerate(np.array_split(np.abs(found[0]), 2)):
        start = 0 if index == 0 else found.shape[1] - len(half)
        assert abs(start + int(half.argmax()) - at[index] * scale) <= scale


def test_eight_planar_channels_are_read(make, tmp_path):
    audio = np.stack([make.voice(48_000, 48_000, seed) for seed in range(8)])
    soundfile.write(tmp_path / "s.caf", audio.T, 48_000, "ALAC_16")
    with av.open(str(tmp_path / "s.caf")) as container:
        assert container.streams.audio[0].format.is_planar
    _, found = read(tmp_path / "s.caf")
    # FFmpeg and libsndfile do not agree on the order of the channels and on the last packet.
    error = np.abs(found[:, None, :40_000] - audio[None, :, :40_000]).max(axis=2)
    assert sorted(error.argmin(axis=1)) == list(range(8))
    assert error.min(axis=1).max() <= 1 / 32768


def test_track_of_a_video(make, tmp_path):
    from flashtalk_core.media.audio.probe import probe_audio

    voice = make.encode_audio(tmp_path / "s.wav", make.clicks(20_000, [7_000]), 16_000)
    make.write_video(tmp_path / "v.mp4", probe_audio(voice))
    _, found = read(tmp_path / "v.mp4")
    assert found.shape == (1, 20_000)
    assert int(np.abs(found).argmax()) == 7_000


@pytest.mark.parametrize(("start", "count"), [(0, None), (0, 1), (40_000, 3), (7, 70_000)])
def test_part_of_a_file(make, tmp_path, start, count):
    audio = make.voice(90_000, 16_000)[None]
    path = make.encode_audio(tmp_path / "s.wav", audio, 16_000)
    with AudioReader(path) as file:
        found = np.concatenate(list(file.blocks(start, count)), axis=1)
    stop = None if count is None else start + count
    assert np.array_equal(found, audio[:, start:stop])


def test_format_only_libsndfile_knows(make, tmp_path):
    audio = np.stack([make.voice(70_000, 8_000, seed) for seed in range(2)])
    soundfile.write(tmp_path / "s.mat", audio.T, 8_000, "FLOAT", format="MAT5")
    file, found = read(tmp_path / "s.mat")
    assert file.rate_hz == 8_000
    assert np.array_equal(found, audio)


def test_missing_file_and_folder(tmp_path):
    assert "no such file" in complaint(tmp_path / "none.wav")
    assert "too long" in complaint(tmp_path / f"{'x' * 300}.wav")
    assert "folder" in complaint(tmp_path)


@pytest.mark.parametrize("name", ["s.wav", "s.mp3", "s.m4a"])
@pytest.mark.parametrize("content", [b"", b"hello\n" * 99, bytes(3000)])
def test_not_audio(tmp_path, name, content):
    path = tmp_path / name
    path.write_bytes(content)
    message = complaint(path)
    assert f"{len(content)} bytes" in message or "0 samples" in message


def test_header_without_samples(tmp_path):
    soundfile.write(tmp_path / "s.wav", np.zeros(0), 16_000)
    assert "0 samples" in complaint(tmp_path / "s.wav")


def test_an_image_is_no_audio(tmp_path):
    from PIL import Image

    Image.new("RGB", (64, 64)).save(tmp_path / "p.png")
    assert "are not audio" in complaint(tmp_path / "p.png")


def test_m4a_that_was_cut_off(make, tmp_path):
    audio = make.voice(48_000, 16_000)[None]
    path = make.encode_audio(tmp_path / "s.m4a", audio, 16_000, "aac")
    path.write_bytes(path.read_bytes()[:-600])
    assert "export it again" in complaint(path)


def test_damaged_mp3_is_read_around_the_damage(make, tmp_path, caplog):
    audio = make.voice(16_000 * 6, 16_000)[None]
    path = make.encode_audio(tmp_path / "s.mp3", audio, 16_000, "libmp3lame")
    data = bytearray(path.read_bytes())
    data[9_000:9_900] = bytes(900)
    path.write_bytes(data)
    with caplog.at_level(logging.WARNING):
        _, found = read(path)
    assert found.shape[1] > 16_000 * 5


def test_rate_out_of_range(tmp_path):
    soundfile.write(tmp_path / "s.wav", np.zeros(100), 500)
    assert "500" in complaint(tmp_path / "s.wav")
