"""Audio lasts as long as a player plays it, and each part of it comes at its time."""

import struct
import tracemalloc
from fractions import Fraction
from types import SimpleNamespace

import av
import numpy as np
import pytest

from flashtalk_core.media.audio.decoding import clock, frames
from flashtalk_core.media.audio.decoding.blocks import BLOCK_SAMPLES
from flashtalk_core.media.audio.decoding.clock import Clock, in_time
from flashtalk_core.media.audio.decoding.frames import decoded_segments
from flashtalk_core.media.audio.decoding.reader import AudioReader
from flashtalk_core.media.audio.decoding.segments import AudioSegment, note_collector
from flashtalk_core.media.audio.probe import AnalysisStream, probe_audio

pytestmark = pytest.mark.cpu

RATE_HZ = 48_000
CONTAINERS = [
    ("s.mp4", "aac"), ("s.mov", "pcm_s16le"), ("s.mkv", "aac"), ("s.mkv", "pcm_s16le"),
    ("s.webm", "libopus"), ("s.ts", "mp2"), ("s.ts", "aac"), ("s.flv", "aac"),
]  # fmt: skip


def write(path, codec, audio, moved_s=lambda time_s: 0, video_s=None):
    """Write ``(C, n)``; ``moved_s`` says how much later each frame of audio is to be played."""
    layout = {1: "mono", 2: "stereo"}[len(audio)]
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=RATE_HZ, layout=layout)
        stream.time_base = Fraction(1, RATE_HZ)
        image = None
        if video_s is not None:
            codecs = {".webm": "libvpx", ".flv": "flv"}
            image = container.add_stream(codecs.get(path.suffix, "mpeg4"), rate=25)
            image.width = image.height = 32
            image.pix_fmt = "yuv420p"
            for index in range(round(video_s * 25)):
                frame = av.VideoFrame(32, 32, "yuv420p")
                frame.pts, frame.time_base = index, Fraction(1, 25)
                container.mux(image.encode(frame))
        size = stream.codec_context.frame_size or 1024
        for start in range(0, audio.shape[1], size):
            part = np.ascontiguousarray(audio[:, start : start + size])
            form = stream.codec_context.format.name
            if form.startswith("s16"):
                part = np.round(part * 32767).astype(np.int16)
            if not form.endswith("p"):
                part = np.ascontiguousarray(part.T).reshape(1, -1)
            frame = av.AudioFrame.from_ndarray(part, format=form, layout=layout)
            frame.sample_rate, frame.time_base = RATE_HZ, Fraction(1, RATE_HZ)
            frame.pts = start + round(moved_s(start / RATE_HZ) * RATE_HZ)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
        if image is not None:
            container.mux(image.encode(None))
    return path


def read(path, *part):
    with AudioReader(path) as reader:
        found = np.concatenate(list(reader.blocks(*part)), axis=1)
        return found, reader


def click_times(samples):
    """Return when the clicks of ``make.clicks`` are, seconds."""
    loud = np.flatnonzero(np.abs(samples[0]) > 0.3)
    return [loud[0] / RATE_HZ, *(loud[1:][np.diff(loud) > 4000] / RATE_HZ)]


@pytest.fixture
def clicks(make):
    """Return 1.6 s with clicks at 0.4 and 1.2 s."""
    return make.clicks(76_800, [19_200, 57_600])


@pytest.mark.parametrize(("name", "codec"), CONTAINERS)
@pytest.mark.parametrize("gap_s", [0.1, 1.0])
def test_a_gap_is_silent(tmp_path, clicks, name, codec, gap_s):
    if name == "s.mov":
        pytest.skip("FFmpeg cannot write a gap between samples of the same length")
    path = write(tmp_path / name, codec, clicks, lambda time_s: gap_s * (time_s >= 0.8))
    samples, reader = read(path)
    assert samples.shape[1] / RATE_HZ == pytest.approx(1.6 + gap_s, abs=0.06)
    first, second = click_times(samples)
    assert second - first == pytest.approx(0.8 + gap_s, abs=0.012)
    assert reader.notes == []


@pytest.mark.parametrize(("name", "codec"), CONTAINERS)
def test_audio_that_begins_after_the_video_keeps_its_delay(tmp_path, clicks, name, codec):
    path = write(tmp_path / name, codec, clicks, lambda _: 1.0, video_s=3)
    samples, _ = read(path)
    assert click_times(samples)[0] == pytest.approx(1.4, abs=0.035)
    assert np.abs(samples[:, :40_000]).max() < 1e-3
    later, _ = read(path, round(1.2 * RATE_HZ))
    assert click_times(later)[0] == pytest.approx(0.2, abs=0.035)


def test_start_and_all_passes_go_by_the_player(tmp_path, clicks):
    path = write(tmp_path / "s.mp4", "aac", clicks, lambda time_s: float(time_s >= 0.8))
    info = probe_audio(path, 1.7)
    assert info.duration_s == pytest.approx(0.9, abs=0.01)
    assert probe_audio(path, 1.0, 0.5).is_silent
    with AnalysisStream(info) as stream:
        heard = np.abs(stream.read(0, 16_000))
    assert heard.argmax() / 16_000 == pytest.approx(0.5, abs=0.012)
    assert not np.any(heard[:1000] > 0.01 * heard.max())


@pytest.mark.parametrize("back_s", [0.1, 0.3])
def test_overlapping_samples_are_left_out_and_the_rest_keeps_its_time(tmp_path, clicks, back_s):
    segments = [
        AudioSegment(clicks[:, start : start + 960], RATE_HZ, "mono",
              Fraction(start, RATE_HZ) - (Fraction(back_s) if start >= 38_400 else 0))
        for start in range(0, 76_800, 960)
    ]  # fmt: skip
    found = np.concatenate(list(in_time(iter(segments), Clock(Fraction(0)), print)), axis=1)
    assert found.shape[1] / RATE_HZ == pytest.approx(1.6 - back_s, abs=0.01)
    assert click_times(found) == pytest.approx([0.4, 1.2 - back_s], abs=0.01)


def jitter(kind):
    rng = np.random.default_rng(1)
    return {
        "none": lambda _: 0.0,
        "milliseconds": lambda time_s: round(time_s, 3) - time_s,
        "some": lambda _: rng.uniform(-0.004, 0.004),
        "one late": lambda time_s: 0.3 * (0.5 < time_s < 0.525),
        "one far off": lambda time_s: 1e6 * (0.5 < time_s < 0.525),
        "one early": lambda time_s: -0.3 * (0.5 < time_s < 0.525),
    }[kind]


@pytest.mark.parametrize(
    "kind", ["none", "milliseconds", "some", "one late", "one far off", "one early"]
)
def test_small_or_single_errors_of_the_times_change_nothing(make, kind):
    audio, moved_s = make.voice(76_800, RATE_HZ)[None], jitter(kind)
    segments = [
        AudioSegment(audio[:, start : start + 1024], RATE_HZ, "mono",
              Fraction(start, RATE_HZ) + Fraction(moved_s(start / RATE_HZ)))
        for start in range(0, 76_800, 1024)
    ]  # fmt: skip
    blocks = in_time(iter(segments), Clock(Fraction(0)), pytest.fail)
    assert np.array_equal(np.concatenate(list(blocks), axis=1), audio)


@pytest.mark.parametrize(("name", "codec"), [("s.mkv", "aac"), ("s.webm", "libopus"),
                                             ("s.ts", "mp2"), ("s.flv", "aac")])  # fmt: skip
def test_without_gaps_no_sample_is_added(make, tmp_path, name, codec):
    audio = make.voice(5 * RATE_HZ, RATE_HZ)[None]
    samples, _ = read(write(tmp_path / name, codec, audio))
    with av.open(str(tmp_path / name)) as container:
        # Older FFmpeg leaves the encoder's delay in Matroska, before 0 s.
        decoded = [frame.samples for frame in container.decode(audio=0) if frame.time > -0.01]
    assert samples.shape[1] == sum(decoded)


def test_frames_without_times_follow_on(make):
    audio = make.voice(9_600, RATE_HZ)[None]
    segments = [AudioSegment(part, RATE_HZ, "mono") for part in np.split(audio, 10, axis=1)]
    segments[6] = segments[6]._replace(time_s=Fraction(1))
    found = np.concatenate(list(in_time(iter(segments), Clock(Fraction(0)), print)), axis=1)
    assert found.shape[1] == RATE_HZ + 3_840
    assert np.array_equal(found[:, :5_760], audio[:, :5_760])
    assert np.array_equal(found[:, RATE_HZ:], audio[:, 5_760:])


def leap(by_s, clock):
    notes = []
    block = np.ones((1, 4_800), np.float32)
    segments = [
        AudioSegment(block, RATE_HZ, "mono", Fraction(index, 10) + (by_s if index >= 10 else 0))
        for index in range(30)
    ]
    num_samples = sum(block.shape[1] for block in in_time(iter(segments), clock, notes.append))
    return num_samples / RATE_HZ, notes


@pytest.mark.parametrize("by_s", [1_801, 50_000, -2, -5_000])
def test_times_that_leap_are_reported_and_not_used(by_s):
    duration_s, notes = leap(by_s, Clock(Fraction(0)))
    assert duration_s == 3
    assert notes == [
        f"its time stamps jump by {by_s:.1f} s at 1.000 s, which is no pause; "
        "it is taken as continuous"
    ]


def test_a_long_gap_takes_no_memory():
    tracemalloc.start()
    assert leap(1_500, Clock(Fraction(0))) == (1_503, [])
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 4e6


def test_a_small_file_cannot_ask_for_years_of_silence(monkeypatch):
    monkeypatch.setattr(clock, "_MAX_SILENCE_S", 3_000)
    block, notes = np.ones((1, 1_000), np.float32), []
    segments = (AudioSegment(block, 1_000, "mono", Fraction(1_000 * index)) for index in range(100))
    blocks = in_time(segments, Clock(Fraction(0)), notes.append)
    assert sum(block.shape[1] for block in blocks) == 1_000 * (100 + 3 * 999)
    assert len(notes) == 96


def edited(path, edits):
    """Replace the edit list of a file written by PyAV, moov last: (seconds, first sample)."""
    data = path.read_bytes()
    # Units of the whole file: 1000 a second, and from PyAV 19 on those of its audio.
    (rate_hz,) = struct.unpack_from(">I", data, data.index(b"mvhd") + 16)
    entries = b"".join(
        struct.pack(">IiI", round(duration_s * rate_hz), first, 0x10000)
        for duration_s, first in edits
    )
    table = struct.pack(">I4sII", 16 + len(entries), b"elst", 0, len(edits)) + entries
    new = struct.pack(">I4s", 8 + len(table), b"edts") + table

    def rebuilt(start, stop):
        out = b""
        while start < stop:
            size, kind = struct.unpack(">I4s", data[start : start + 8])
            if kind == b"edts":
                out += new
            elif kind in (b"moov", b"trak"):
                out += (lambda inner: struct.pack(">I4s", 8 + len(inner), kind) + inner)(
                    rebuilt(start + 8, start + size)
                )
            else:
                out += data[start : start + size]
            start += size
        return out

    path.write_bytes(rebuilt(0, len(data)))
    return path


@pytest.mark.parametrize(
    ("edits", "duration_s", "clicks_s"),
    [
        ([(1.6, 1024)], 1.6, [0.4, 1.2]),
        ([(1.1, 1024 + 24_000)], 1.1, [0.7]),
        ([(0.7, 1024)], 0.7, [0.4]),
        ([(0.5, -1), (1.6, 1024)], 2.1, [0.9, 1.7]),
        ([(5, -1), (1.6, 1024)], 6.6, [5.4, 6.2]),
        ([(0.6, 1024), (0.5, 1024 + 48_000)], 1.1, [0.4, 0.8]),
    ],
)
def test_edit_lists_are_followed(make, tmp_path, clicks, edits, duration_s, clicks_s):
    path = edited(write(tmp_path / "s.m4a", "aac", clicks), edits)
    samples, _ = read(path)
    assert samples.shape[1] / RATE_HZ == pytest.approx(duration_s, abs=0.013)
    assert click_times(samples) == pytest.approx(clicks_s, abs=0.013)


def test_a_live_stream_of_fragments_begins_where_it_begins(tmp_path, clicks):
    path = tmp_path / "s.mp4"
    options = {"movflags": "frag_keyframe+empty_moov+default_base_moof"}
    with av.open(str(path), "w", options=options) as container:
        stream = container.add_stream("aac", rate=RATE_HZ, layout="mono")
        for start in range(0, 76_800, 1024):
            part = np.ascontiguousarray(clicks[:, start : start + 1024])
            frame = av.AudioFrame.from_ndarray(part, format="fltp", layout="mono")
            frame.sample_rate, frame.time_base = RATE_HZ, Fraction(1, RATE_HZ)
            frame.pts = start + 3000 * RATE_HZ
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    samples, _ = read(path)
    assert samples.shape[1] / RATE_HZ == pytest.approx(1.6, abs=0.05)


@pytest.mark.parametrize(("name", "codec"), [("s.mp4", "aac"), ("s.mkv", "aac"), ("s.ts", "mp2")])
def test_damaged_packets_leave_later_audio_at_its_time(tmp_path, clicks, name, codec):
    path = write(tmp_path / name, codec, clicks)
    with av.open(str(path)) as source, av.open(str(tmp_path / f"d{name}"), "w") as target:
        track = target.add_stream_from_template(source.streams.audio[0])
        for index, packet in enumerate(source.demux(audio=0)):
            if packet.dts is None or 30 <= index < 40:
                continue
            packet.stream = track
            target.mux(packet)
    samples, _ = read(tmp_path / f"d{name}")
    first, second = click_times(samples)
    assert second - first == pytest.approx(0.8, abs=0.012)


def test_damage_in_audio_that_is_counted_is_silent_and_reported_once(make, tmp_path, caplog):
    path = make.encode_audio(tmp_path / "s.mp3", make.voice(96_000, 16_000)[None], 16_000,
                             "libmp3lame")  # fmt: skip
    data = bytearray(path.read_bytes())
    data[9_000:9_400] = bytes(400)
    path.write_bytes(data)
    info = probe_audio(path)
    with AnalysisStream(info) as stream:
        stream.read(0, 96_000)
    assert caplog.text.count("damaged in places") == 1
    assert info.duration_s == pytest.approx(6, abs=0.15)


def test_a_long_damage_takes_no_memory(monkeypatch):
    block = np.ones((2, 1024), np.float32)
    monkeypatch.setattr(frames, "_packets", lambda *_: range(2_000))
    monkeypatch.setattr(frames, "_packet_s", lambda _: Fraction(1, 10))
    decoded = [SimpleNamespace(samples=1, pts=0)]
    monkeypatch.setattr(
        frames, "_decoded", lambda _, number, _tell: None if 5 <= number < 1_995 else decoded
    )
    monkeypatch.setattr(frames, "_segment", lambda *_: AudioSegment(block, RATE_HZ, "stereo"))
    monkeypatch.setattr(frames, "take_layout", lambda _: None)
    stream = SimpleNamespace(codec_context=None)
    found = [
        segment.samples.shape[1]
        for segment in decoded_segments(None, None, stream, is_timed=False, add_note=print)
    ]
    assert sum(found) == 199 * RATE_HZ + 10 * 1024
    assert max(found) <= BLOCK_SAMPLES


def test_notes_are_limited_to_ten_and_never_repeated():
    notes = []
    add_note = note_collector(notes)
    for number in range(100):
        add_note(f"{number // 2} is wrong")
    assert len(notes) == len(set(notes)) == 10
