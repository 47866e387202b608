import tracemalloc
from fractions import Fraction

import av
import numpy as np
import pytest
import soundfile
import torch

from flashtalk_core.errors import InvalidInputError
from flashtalk_core.media.audio.decoding.reader import AudioReader
from flashtalk_core.media.audio.probe import probe_audio
from flashtalk_core.media.video.reading.reader import probe_video, read_audio_part
from flashtalk_core.media.video.remux import remux_video
from flashtalk_core.media.video.writer import Mp4Writer

from .video_files import read_frames

pytestmark = pytest.mark.cpu

SUFFIXES = [".mp4", ".mov", ".mkv"]
NUM_FRAMES = 101


def encode(path, greys, rate_hz=25, **options):
    """Write 64x32 frames of grey, each at its tick of `1 / rate_hz` seconds."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=rate_hz, options=options)
        stream.height, stream.width, stream.pix_fmt = 64, 32, "yuv420p"
        for ticks, grey in greys:
            image = np.full((64, 32, 3), grey, np.uint8)
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.pts, frame.time_base = ticks, 1 / Fraction(rate_hz)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def greys_of(frames):
    return (frames.mean(dim=(1, 2, 3)) * 255).round().tolist()


def expected_grey(index):
    return 2 * index + 10


@pytest.fixture(scope="module")
def videos(make, tmp_path_factory):
    """One video of 101 greys and 44.1 kHz stereo speech in each container."""
    folder = tmp_path_factory.mktemp("videos")
    voice = np.stack([make.voice(44_100 * 4 + 1, 44_100, seed) for seed in range(2)], axis=1)
    soundfile.write(folder / "s.wav", voice, 44_100)
    writer = Mp4Writer(folder / "v.mp4", (64, 32), probe_audio(folder / "s.wav"), crf=5)
    with writer:
        grey = torch.arange(NUM_FRAMES, dtype=torch.uint8)[:, None, None, None] * 2 + 10
        writer.write(grey.expand(-1, 64, 32, 3))
    for suffix in (".mov", ".mkv"):
        remux_video(folder / "v.mp4", folder / f"v{suffix}", {})
    return {suffix: folder / f"v{suffix}" for suffix in SUFFIXES}


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_what_a_video_holds(videos, suffix):
    info = probe_video(videos[suffix])
    assert (info.num_frames, info.size_px) == (NUM_FRAMES, (64, 32))
    assert (info.frame_rate_hz, info.has_audio) == (25, True)
    assert info.duration_s == 4.04


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize(
    ("start", "count"), [(0, 1), (0, 101), (27, 2), (28, 1), (57, 40), (100, 1)]
)
def test_frames_are_the_ones_asked_for(videos, suffix, start, count):
    frames = read_frames(videos[suffix], start, count)
    assert frames.shape == (count, 64, 32, 3)
    assert frames.dtype == torch.float32
    found = np.array(greys_of(frames))
    assert np.abs(found - [expected_grey(start + k) for k in range(count)]).max() <= 1


@pytest.mark.parametrize("name", ["v.mp4", "v.mkv", "v.mov"])
@pytest.mark.parametrize("rate_hz", [24, Fraction(30_000, 1_001)])
def test_frames_that_are_stored_in_another_order(tmp_path, name, rate_hz):
    greys = [(index, expected_grey(index)) for index in range(60)]
    path = encode(tmp_path / name, greys, rate_hz, bf="3", g="12", crf="5")
    info = probe_video(path)
    assert (info.num_frames, info.has_audio) == (60, False)
    assert float(info.frame_rate_hz) == pytest.approx(float(rate_hz), rel=1e-3)
    for index in range(60):
        found = greys_of(read_frames(path, index, 1))
        assert abs(found[0] - expected_grey(index)) <= 1


def test_frames_at_uneven_times(tmp_path):
    ticks = np.cumsum([0, *([1, 7, 2] * 10)]).tolist()
    greys = [(tick, expected_grey(index)) for index, tick in enumerate(ticks)]
    path = encode(tmp_path / "v.mp4", greys, 50, crf="5", g="8")
    assert probe_video(path).num_frames == 31
    found = np.array(greys_of(read_frames(path, 5, 20)))
    assert np.abs(found - [expected_grey(5 + k) for k in range(20)]).max() <= 1


def test_colours_and_range(make, tmp_path):
    soundfile.write(tmp_path / "s.wav", np.zeros(1_920), 16_000)
    colours = np.array([[255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 255], [0, 0, 0]])
    image = np.repeat(colours, 32, axis=0)[None].repeat(32, axis=0).astype(np.uint8)
    with Mp4Writer(tmp_path / "v.mp4", (32, 160), probe_audio(tmp_path / "s.wav"), crf=5) as writer:
        writer.write(np.stack([image] * 3))
    frames = read_frames(tmp_path / "v.mp4", 1, 2)
    assert 0 <= frames.min() <= frames.max() <= 1
    assert (frames[1, 16, 16::32] * 255 - torch.from_numpy(colours)).abs().max() <= 4


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize(("start_s", "duration_s"), [(0, 4.0), (1.04, 0.5), (3.9, 0.1)])
def test_audio_of_a_part_is_exact(videos, suffix, start_s, duration_s):
    with AudioReader(videos[".mp4"]) as reader:
        whole = np.concatenate(list(reader.blocks()), axis=1)
    audio = read_audio_part(videos[suffix], start_s, duration_s)
    assert (audio.rate_hz, audio.samples.shape) == (44_100, (2, round(duration_s * 44_100)))
    start = round(start_s * 44_100)
    assert np.array_equal(audio.samples, whole[:, start : start + audio.samples.shape[1]])


def test_silence_where_the_audio_is_over_before_the_video(videos):
    audio = read_audio_part(videos[".mp4"], 3.96, 0.08)
    assert audio.samples.shape == (2, 3_528)
    assert audio.samples[:, :1_700].any()
    assert not audio.samples[:, 44_100 * 4 + 1 - round(3.96 * 44_100) :].any()


@pytest.mark.parametrize(("start_s", "duration_s"), [(-0.1, 1), (0, 0), (5, 1), (3, 1.2)])
def test_audio_outside_the_video(videos, start_s, duration_s):
    with pytest.raises(InvalidInputError, match=r"lasts 4\.040 s; choose a range inside it"):
        read_audio_part(videos[".mp4"], start_s, duration_s)


def test_video_without_audio(tmp_path):
    path = encode(tmp_path / "v.mp4", [(index, 50) for index in range(30)])
    assert read_audio_part(path, 0.2, 0.5) is None


@pytest.mark.parametrize("read", [probe_video, lambda path: read_frames(path, 0, 1)])
def test_what_is_no_video(tmp_path, read):
    (tmp_path / "text.mp4").write_bytes(b"hello\n" * 99)
    soundfile.write(tmp_path / "s.wav", np.zeros(100), 16_000)
    for name in ("none.mp4", "text.mp4", "s.wav"):
        with pytest.raises(InvalidInputError, match=f"video .*{name}") as caught:
            read(tmp_path / name)
        assert "\n" not in str(caught.value)


def test_video_that_was_cut_off(videos, tmp_path):
    data = videos[".mp4"].read_bytes()
    (tmp_path / "v.mp4").write_bytes(data[: len(data) // 2])
    num_frames = probe_video(tmp_path / "v.mp4").num_frames
    assert 0 < num_frames < NUM_FRAMES
    assert len(read_frames(tmp_path / "v.mp4", 0, num_frames)) == num_frames


def test_memory_holds_the_result_and_little_else(tmp_path):
    path = encode(tmp_path / "v.mp4", [(index, index % 200) for index in range(2_000)])
    read_frames(path, 0, 1)
    tracemalloc.start()
    frames = read_frames(path, 1_500, 300)  # torch's own memory is not traced
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(frames) == 300
    assert peak < 500_000
