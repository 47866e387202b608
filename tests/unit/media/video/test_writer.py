import struct
import sys
from fractions import Fraction
from itertools import product
from pathlib import Path
from typing import get_args

import av
import numpy as np
import pytest
import soundfile
import torch

from flashtalk_core.errors import InvalidInputError, OutputError
from flashtalk_core.files import whole_file
from flashtalk_core.media.audio.probe import probe_audio
from flashtalk_core.media.audio.source import AudioArray
from flashtalk_core.media.isobmff.boxes import file_boxes
from flashtalk_core.media.isobmff.live import LiveMp4
from flashtalk_core.media.video import finishing
from flashtalk_core.media.video.reading.measure import measure_video
from flashtalk_core.media.video.video_track import Preset, check_crf
from flashtalk_core.media.video.writer import Mp4Writer

pytestmark = pytest.mark.cpu

RATES = [8_000, 16_000, 22_050, 44_100, 48_000]


@pytest.fixture
def render(make, tmp_path):
    """Render plain frames to audio of clicks at the given samples."""

    def render(num_samples, rate_hz, at, channels=1, **options):
        audio = make.clicks(num_samples, at, channels)
        soundfile.write(tmp_path / "s.wav", audio.T, rate_hz, "FLOAT")
        return make.write_video(tmp_path / "v.mp4", probe_audio(tmp_path / "s.wav"), **options)

    return render


def decode_frames(path):
    with av.open(str(path)) as container:
        for frame in container.decode(video=0):
            yield frame.pts * frame.time_base, frame.to_ndarray(format="rgb24")


def bt709(rgb):
    """RGB in [0, 1] as limited-range YCbCr of ITU-R BT.709."""
    luma = rgb @ [0.2126, 0.7152, 0.0722]
    blue, red = (rgb[:, 2] - luma) / 1.8556, (rgb[:, 0] - luma) / 1.5748
    return np.stack([16 + 219 * luma, 128 + 224 * blue, 128 + 224 * red], axis=1)


@pytest.mark.parametrize(
    ("seconds", "rate_hz"),
    [*product(["0.04", "0.5", "1.12", "1.13"], RATES), ("37.5", 22_050), ("37.5", 48_000)],
)
def test_video_and_audio_stay_in_step(render, rate_hz, seconds):
    num_samples = int(Fraction(seconds) * rate_hz)
    margin = min(num_samples // 3, rate_hz // 3)
    at = [margin, num_samples - margin] if num_samples > rate_hz // 4 else [margin]
    writer = render(num_samples, rate_hz, at)
    found = measure_video(writer.output.final, click_times_s=[n / rate_hz for n in at])
    assert found.num_frames == -(-25 * num_samples // rate_hz)
    assert found.is_exact
    assert (found.num_samples, found.rate_hz) == (num_samples, rate_hz)
    assert max(map(abs, found.click_offsets_s)) < 1e-3


@pytest.mark.parametrize("num_samples", [1, 639, 640, 641, 17_920, 17_921])
def test_shortest_audio_and_frame_borders(render, num_samples):
    writer = render(num_samples, 16_000, [])
    found = measure_video(writer.output.final)
    assert found.num_frames == -(-num_samples // 640)
    assert found.num_samples == num_samples


def test_each_frame_is_shown_at_its_time(render):
    writer = render(16_000 * 3 + 1, 16_000, [])
    frames = list(decode_frames(writer.output.final))
    assert [time for time, _ in frames] == [Fraction(k, 25) for k in range(76)]
    for index, (_, image) in enumerate(frames):
        assert abs(int(image.mean()) - index % 8 * 30) <= 3


@pytest.mark.parametrize(
    ("rate_hz", "expected_hz"), [(6_000, 7_350), (37_800, 44_100), (192_000, 96_000)]
)
def test_rate_aac_does_not_have(render, rate_hz, expected_hz):
    at = [rate_hz // 4, rate_hz]
    writer = render(rate_hz * 5 // 4, rate_hz, at)
    found = measure_video(writer.output.final, click_times_s=[n / rate_hz for n in at])
    assert found.rate_hz == expected_hz
    assert found.num_samples == -(-5 * expected_hz // 4)
    assert max(map(abs, found.click_offsets_s)) < 1e-3


@pytest.mark.parametrize("channels", [1, 2, 3, 4, 5, 6])
def test_channels_keep_their_places(make, tmp_path, channels):
    time_s = np.arange(48_000) / 48_000
    tones = np.stack([0.3 * np.sin(2 * np.pi * (40 + 20 * c) * time_s) for c in range(channels)])
    soundfile.write(tmp_path / "s.wav", tones.T, 48_000, "FLOAT")
    make.write_video(tmp_path / "v.mp4", probe_audio(tmp_path / "s.wav"))
    with av.open(str(tmp_path / "v.mp4")) as container:
        heard = np.concatenate([f.to_ndarray() for f in container.decode(audio=0)], axis=1)
    loudest = np.abs(np.fft.rfft(heard[:, :48_000])).argmax(axis=1)
    assert loudest.tolist() == [40 + 20 * c for c in range(channels)]


@pytest.mark.parametrize(
    ("channels", "layout", "played"), [(4, "quad", "stereo"), (7, "6.1", "5.1"), (8, "7.1", "5.1")]
)
def test_channels_aac_cannot_carry_are_mixed_down(make, tmp_path, caplog, channels, layout, played):
    # FLAC names these layouts: quad, 6.1 and 7.1.
    audio = make.clicks(16_000, [5_000], channels)
    soundfile.write(tmp_path / "s.flac", audio.T, 16_000)
    info = probe_audio(tmp_path / "s.flac")
    assert info.layout == layout
    writer = make.write_video(tmp_path / "v.mp4", info)
    assert f"the video gets {played}" in caplog.text
    found = measure_video(writer.output.final, click_times_s=[5_000 / 16_000])
    assert abs(found.click_offsets_s[0]) < 1e-3


@pytest.mark.parametrize("name", ["s.mp3", "s.m4a", "s.opus"])
def test_compressed_audio_stays_in_step(make, tmp_path, name):
    codec = {"s.mp3": "libmp3lame", "s.m4a": "aac", "s.opus": "libopus"}[name]
    at = [9_000, 100_000]
    audio = make.clicks(110_000, at, 2)
    info = probe_audio(make.encode_audio(tmp_path / name, audio, 48_000, codec))
    writer = make.write_video(tmp_path / "v.mp4", info)
    found = measure_video(writer.output.final, click_times_s=[n / 48_000 for n in at])
    assert found.num_samples == info.num_samples
    assert max(map(abs, found.click_offsets_s)) < 1e-3


def test_part_of_audio_is_cut_out(make, tmp_path):
    soundfile.write(tmp_path / "s.wav", make.clicks(80_000, [40_000])[0], 16_000)
    info = probe_audio(tmp_path / "s.wav", start_s=2, duration_s=1)
    writer = make.write_video(tmp_path / "v.mp4", info)
    found = measure_video(writer.output.final, click_times_s=[0.5])
    assert (found.num_frames, found.num_samples) == (25, 16_000)
    assert abs(found.click_offsets_s[0]) < 1e-3


def test_colours_survive(make, tmp_path):
    soundfile.write(tmp_path / "s.wav", np.zeros(16_000), 16_000)
    colours = [[255, 0, 0], [0, 255, 0], [0, 0, 255], [200, 150, 120], [128, 128, 128], [0, 0, 0]]
    image = np.repeat(np.array(colours, np.uint8), 32, axis=0)[None].repeat(32, axis=0)
    with Mp4Writer(
        tmp_path / "v.mp4", (32, 192), probe_audio(tmp_path / "s.wav"), crf=10
    ) as writer:
        writer.write(torch.from_numpy(image).expand(25, -1, -1, -1))
    with av.open(str(writer.output.final)) as container:
        # Older PyAV does not go by the declared colour space when decoding: compare in YCbCr.
        planes = [*container.decode(video=0)][-1].to_ndarray(format="yuv420p")
        found = np.stack([planes[16, 16::32], *planes[32:].reshape(2, 16, 96)[:, 8, 8::16]], 1)
        assert np.abs(found - bt709(np.array(colours) / 255)).max() <= 3
        codec = container.streams.video[0].codec_context
        assert (codec.pix_fmt, codec.colorspace, codec.color_range) == ("yuv420p", 1, 1)


def test_index_comes_first_and_comment_is_kept(render):
    writer = render(16_000, 16_000, [], metadata={"comment": '{"seed": 1}'})
    with writer.output.final.open("rb") as file:
        assert [span.kind for span in file_boxes(file)] == [b"ftyp", b"moov", b"mdat"]
    with av.open(str(writer.output.final)) as container:
        assert container.metadata["comment"] == '{"seed": 1}'


def test_texts_by_any_names_are_in_the_partial_and_in_the_finished_file(make, tmp_path):
    soundfile.write(tmp_path / "s.wav", np.zeros(64_000), 16_000)
    metadata = {
        "comment": "generated",
        "prompt": '{"1": "\u4f60\u597d"}',
        "workflow": '{"nodes": [' + '"x",' * 500_000 + "0]}",
        "Mixed Case": "",
    }
    writer = Mp4Writer(tmp_path / "v.mp4", (32, 32), probe_audio(tmp_path / "s.wav"),
                       preset="ultrafast", metadata=metadata)  # fmt: skip
    with writer:
        writer.write(np.zeros((90, 32, 32, 3), np.uint8))
        with av.open(str(writer.output.partial)) as container:
            partial = dict(container.metadata)
        writer.write(np.zeros((10, 32, 32, 3), np.uint8))
    with av.open(str(writer.output.final)) as container:
        final = dict(container.metadata)
    for found in (partial, final):
        # FFmpeg drops empty texts.
        assert {key: found.get(key, "") for key in metadata} == metadata


@pytest.mark.parametrize("crf", [-1, 52])
def test_quality_is_checked_on_its_own(crf):
    with pytest.raises(InvalidInputError, match=f"crf {crf}: use 0"):
        check_crf(crf)


@pytest.mark.parametrize("scale", [3.0, 1e6])
def test_audio_above_full_scale_is_cut_off_there(make, tmp_path, scale):
    time_s = np.arange(32_000) / 16_000
    tone = np.sin(2 * np.pi * 100 * time_s) * scale
    soundfile.write(tmp_path / "s.wav", tone, 16_000, "FLOAT")
    writer = make.write_video(tmp_path / "v.mp4", probe_audio(tmp_path / "s.wav"))
    with av.open(str(writer.output.final)) as container:
        heard = np.concatenate([f.to_ndarray()[0] for f in container.decode(audio=0)])[:32_000]
    assert np.abs(heard - np.clip(tone, -1, 1)).mean() < 0.1
    assert np.abs(heard).max() < 2  # edges overshoot


def test_every_sample_of_the_index_lies_in_the_media_data(render):
    path = render(16_000 * 5, 16_000, []).output.final
    data = path.read_bytes()
    start = data.index(b"mdat") + 12
    for position in [i for i in range(len(data)) if data.startswith(b"co64", i)]:
        count = struct.unpack_from(">I", data, position + 8)[0]
        offsets = struct.unpack_from(f">{count}Q", data, position + 12)
        assert start <= min(offsets) < max(offsets) < len(data)


def test_only_the_final_file_is_left(render, tmp_path):
    render(16_000, 16_000, [])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["s.wav", "v.mp4"]


def test_key_frames_are_close_enough_to_seek(render):
    writer = render(16_000 * 6, 16_000, [])
    with av.open(str(writer.output.final)) as container:
        keys = [p.pts * p.time_base * 25 for p in container.demux(video=0) if p.is_keyframe]
        container.seek(5_000_000)
        frame = next(container.decode(video=0))
    assert keys == [0, 28, 56, 84, 112, 140]
    assert frame.pts * frame.time_base * 25 == 112


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"size_px": (33, 32)}, InvalidInputError),
        ({"size_px": (32, 8194)}, InvalidInputError),
        ({"crf": 52}, InvalidInputError),
        ({"path": "none/v.mp4"}, OutputError),
        ({"path": "v.avi"}, OutputError),
    ],
)
def test_bad_settings_are_refused_before_anything_is_written(tmp_path, options, error):
    soundfile.write(tmp_path / "s.wav", np.zeros(16_000), 16_000)
    settings = {"path": "v.mp4", "size_px": (32, 32)} | options
    path = tmp_path / settings.pop("path")
    with pytest.raises(error):
        Mp4Writer(path, audio=probe_audio(tmp_path / "s.wav"), **settings)
    assert [path.name for path in tmp_path.iterdir()] == ["s.wav"]


def test_the_measure_detects_late_clicks_and_wrong_rates(render, tmp_path):
    final = render(16_000, 16_000, [8_000]).output.final
    late = measure_video(final, click_times_s=[0.49]).click_offsets_s[0]
    assert late == pytest.approx(0.01, abs=1e-3)
    assert not measure_video(final, frame_rate_hz=24).is_exact
    assert np.isnan(measure_video(final, click_times_s=[7.0]).click_offsets_s[0])


PRESETS = get_args(Preset)
_HIGH = 100


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("crf", [0, 1, 18, 51])
def test_every_quality_is_a_profile_that_every_player_knows(tmp_path, preset, crf):
    """Baseline, Main or High; High 4:4:4 Predictive is what x264 takes for lossless video."""
    rng = np.random.default_rng(0)
    audio = probe_audio(AudioArray("noise", rng.standard_normal((1, 3200)).astype("f4"), 16_000))
    sink = Head()
    options = {"crf": crf, "preset": preset, "sinks": [LiveMp4(sink)]}
    with Mp4Writer(tmp_path / "v.mp4", (64, 64), audio, **options) as writer:
        writer.write(rng.integers(0, 255, (5, 64, 64, 3), dtype=np.uint8))
    for data in (sink.head, (tmp_path / "v.mp4").read_bytes()):
        assert data[data.index(b"avcC") + 5] <= _HIGH


class Head:
    """Keeps the head of a live stream."""

    def begin(self, head):
        self.head = head

    def add(self, data, start_ms, *, is_key):
        pass

    def close(self):
        pass


def test_quality_0_is_the_best_there_is(tmp_path):
    rng = np.random.default_rng(0)
    audio = probe_audio(
        AudioArray("noise", rng.standard_normal((1, 6400)).astype("f4") * 0.1, 16_000)
    )
    # A grey value for each block: chroma is halved, and RGB is not what is compared.
    grey = rng.integers(20, 235, (10, 32, 32, 1), dtype=np.uint8).repeat(3, axis=3)
    luma = {}
    for crf in (0, 1):
        with Mp4Writer(tmp_path / f"{crf}.mp4", (32, 32), audio, crf=crf) as writer:
            writer.write(grey)
        with av.open(str(tmp_path / f"{crf}.mp4")) as container:
            frames = [frame.to_ndarray()[:32] for frame in container.decode(video=0)]
        luma[crf] = np.stack(frames).astype(int)
    wanted = np.rint(16 + grey[..., 0].astype(int) * 219 / 255)
    off = {crf: np.abs(luma[crf] - wanted) for crf in luma}
    assert off[0].max() <= 3
    assert off[0].mean() < off[1].mean()


@pytest.mark.skipif(sys.platform == "win32", reason="links and modes of POSIX")
def test_a_link_stays_and_what_it_names_is_written(make, tmp_path):
    (tmp_path / "far").mkdir()
    target, link = tmp_path / "far" / "w.mp4", tmp_path / "v.mp4"
    target.write_bytes(b"older")
    target.chmod(0o600)
    link.symlink_to("far/w.mp4")
    soundfile.write(tmp_path / "s.wav", np.zeros(6400), 16_000)
    make.write_video(link, probe_audio(tmp_path / "s.wav"))
    assert link.is_symlink()
    assert target.stat().st_mode & 0o777 == 0o600
    assert len(list(decode_frames(target))) == 10
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["far", "s.wav", "v.mp4", "w.mp4"]


def test_data_reach_the_disk_before_anything_older_goes(make, tmp_path, monkeypatch):
    events = []

    def note(module, name):
        function = getattr(module, name)
        monkeypatch.setattr(module, name, lambda *given: (events.append(name), function(*given)))

    note(finishing, "put_in_place")
    note(whole_file, "sync_file")
    note(whole_file, "sync_folder")
    unlink = Path.unlink
    monkeypatch.setattr(
        Path, "unlink", lambda path, **given: (events.append(path.name), unlink(path, **given))
    )
    soundfile.write(tmp_path / "s.wav", np.zeros(6400), 16_000)
    make.write_video(tmp_path / "v.mp4", probe_audio(tmp_path / "s.wav"))
    placed = events.index("put_in_place")
    assert events[placed:] == [
        "put_in_place", "sync_file", "sync_folder", "v.partial.mp4", "v.partial.lock",
    ]  # fmt: skip
