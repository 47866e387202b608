"""Channels in an order of their own, as cameras and editors write them."""

import struct

import av
import numpy as np
import pytest

from flashtalk_core.media.audio.channel_mix import positions_of
from flashtalk_core.media.audio.decoding.reader import AudioReader
from flashtalk_core.media.audio.layout import listed_positions
from flashtalk_core.media.audio.probe import probe_audio
from flashtalk_core.media.video.audio_track import AudioTrack, _downmix
from flashtalk_core.media.video.reading.reader import probe_video, read_audio_part

pytestmark = pytest.mark.cpu

# Apple's labels of loudspeakers.
LABELS = {"FL": 1, "FR": 2, "FC": 3, "LFE": 4, "BL": 5, "BR": 6, "FLC": 7, "BC": 9, "SL": 10}
HALF_POWER = 0.5**0.5


def write_caf(path, positions, samples):
    """Write ``(C, n)`` as CAF of 16 bits that lists its loudspeakers."""
    count = len(positions)
    desc = struct.pack(">d4sIIIII", 48000.0, b"lpcm", 0, 2 * count, 1, count, 16)
    labels = b"".join(struct.pack(">II12x", LABELS[name], 0) for name in positions)
    chan = struct.pack(">III", 0, 0, count) + labels
    data = bytes(4) + (samples.T * 32767).astype(">i2").tobytes()
    chunks = ((b"desc", desc), (b"chan", chan), (b"data", data))
    body = b"".join(struct.pack(">4sQ", kind, len(what)) + what for kind, what in chunks)
    path.write_bytes(b"caff" + struct.pack(">HH", 1, 0) + body)


def voice(positions, speaker, num_samples=24000):
    """Return a tone at one loudspeaker, ``(C, n)``."""
    samples = np.zeros((len(positions), num_samples), np.float32)
    tone = 0.5 * np.sin(2 * np.pi * 300 / 48000 * np.arange(num_samples))
    samples[positions.index(speaker)] = tone
    return samples


@pytest.mark.parametrize(
    ("order", "heard"),
    [
        ("FL FC FR BL BR LFE", {"FC": HALF_POWER, "FL": 0.5, "LFE": 0}),
        ("FC FL FR", {"FC": HALF_POWER, "FR": 0.5}),
        ("FL FR FC LFE SL BL BR BC", {"FC": HALF_POWER, "BL": 0.5 * 0.5**0.5, "LFE": 0}),
        ("FR FL", {"FR": 0.5, "FL": 0.5}),
    ],
)
def test_each_channel_is_heard_from_its_place(tmp_path, order, heard):
    positions = order.split()
    for speaker, weight in heard.items():
        write_caf(tmp_path / "s.caf", positions, voice(positions, speaker))
        audio = probe_audio(tmp_path / "s.caf")
        assert positions_of(audio.layout, audio.channels) == tuple(positions)
        assert audio.channels == len(positions)
        assert audio.mix_peak == pytest.approx(0.5 * weight, abs=2e-3)


def test_what_is_played_is_in_the_order_of_the_video(tmp_path):
    positions = ["FL", "FC", "FR", "BL", "BR", "LFE"]
    write_caf(tmp_path / "s.caf", positions, voice(positions, "FC"))
    audio = probe_audio(tmp_path / "s.caf")
    mix = _downmix(audio)
    with av.open(str(tmp_path / "o.mp4"), "w") as container:
        track = AudioTrack(container, audio)
        assert track.layout == "5.1"
        track.close()
    assert mix[positions_of("5.1", 6).index("FC")].tolist() == [0, 1, 0, 0, 0, 0]


def test_memory_is_whole_after_many_reads_of_a_list(tmp_path):
    """PyAV 18 frees the list with each frame, which ends the process."""
    positions = ["FL", "FR", "FC", "LFE", "SL", "BL", "BR", "BC"]
    write_caf(tmp_path / "s.caf", positions, voice(positions, "FL", 96000))
    for _ in range(20):
        with AudioReader(tmp_path / "s.caf") as reader:
            assert sum(block.shape[1] for block in reader.blocks()) == 96000


def test_only_channel_lists_are_parsed_as_positions():
    assert listed_positions("3 channels (FC+FL+FR)") == ("FC", "FL", "FR")
    assert listed_positions("5.1(side)") == listed_positions("3 channels") == ()


def write_video(path, layout, samples):
    """Write a black second with uncompressed audio, ``(C, n)``."""
    with av.open(str(path), "w") as container:
        image = container.add_stream("mpeg4", rate=25)
        image.width = image.height = 32
        track = container.add_stream("pcm_s16le", rate=48000, layout=layout)
        for _ in range(25):
            black = av.VideoFrame.from_ndarray(np.zeros((32, 32, 3), np.uint8), "rgb24")
            container.mux(image.encode(black))
        packed = (samples.T * 32767).astype(np.int16).reshape(1, -1)
        frame = av.AudioFrame.from_ndarray(packed, format="s16", layout=layout)
        frame.sample_rate = 48000
        for stream, last in ((track, frame), (track, None), (image, None)):
            container.mux(stream.encode(last))


def test_the_audio_of_a_video_keeps_its_places(tmp_path):
    """MOV has an order of its own for 7.1; audio without a layout is in that of WAV."""
    positions = positions_of("7.1", 8)
    samples = voice(positions, "SL", 48000)
    write_video(tmp_path / "v.mov", "7.1", samples)
    for _ in range(5):
        info = probe_video(tmp_path / "v.mov")
    audio = read_audio_part(tmp_path / "v.mov", 0, 1, info)
    loudest = int(np.abs(audio.samples).max(axis=1).argmax())
    assert positions_of("", 8)[loudest] == "SL"
    assert np.abs(audio.samples[loudest] - samples[positions.index("SL")]).max() < 1e-4


def test_a_video_with_more_channels_than_an_array_holds_is_heard_in_stereo(tmp_path):
    positions = positions_of("hexadecagonal", 16)
    write_video(tmp_path / "v.mkv", "hexadecagonal", voice(positions, "FL", 48000))
    audio = read_audio_part(tmp_path / "v.mkv", 0, 1)
    assert np.abs(audio.samples).max(axis=1) == pytest.approx([0.5, 0.5], abs=1e-3)
