"""The live stream of a render: the packets of the file, in fragments that play as they come."""

import io

import av
import numpy as np
import pytest

from flashtalk_core.media.audio.probe import probe_audio
from flashtalk_core.media.isobmff.boxes import child_boxes
from flashtalk_core.media.isobmff.live import FRAGMENT_FRAMES, LiveMp4
from flashtalk_core.media.video.encoder import VideoEncoder
from flashtalk_core.media.video.writer import Mp4Writer

pytestmark = pytest.mark.cpu

SIZE = 48, 64


class Pieces:
    """Keeps what it gets, and how many frames were written by then."""

    def __init__(self):
        self.head, self.parts, self.closed = None, [], 0

    def begin(self, head):
        assert self.head is None
        self.head = head

    def add(self, data, start_ms, *, is_key):
        self.parts.append((data, start_ms, is_key))

    def close(self):
        self.closed += 1


def images(count):
    """Frames that differ, `(count, H, W, 3)`."""
    ramp = np.arange(SIZE[1], dtype=np.uint8)[None, :, None]
    return np.stack(
        [np.broadcast_to(ramp * 3 + np.uint8(7 * k % 256), (*SIZE, 3)) for k in range(count)]
    )


def write(tmp_path, make, frames=70, sink=None, rate_hz=44_100, **options):
    """Write a video while sending it live; return its path and what was sent."""
    audio = make.encode_audio(
        tmp_path / "sound.wav", make.voice(frames * rate_hz // 25, rate_hz)[None], rate_hz
    )
    sink = Pieces() if sink is None else sink
    with Mp4Writer(
        tmp_path / "out.mp4", SIZE, probe_audio(audio), sinks=[LiveMp4(sink)], **options
    ) as writer:
        for start in range(0, frames, 4):
            writer.write(images(frames)[start : start + 4])
    return tmp_path / "out.mp4", sink


def packets(file):
    """Return pts in seconds and bytes of all packets, by kind."""
    found = {"video": [], "audio": []}
    with av.open(file) as container:
        for packet in container.demux():
            if packet.dts is not None:
                found[packet.stream.type].append((packet.pts * packet.time_base, bytes(packet)))
    return found


def test_the_stream_holds_the_very_packets_of_the_file(tmp_path, make):
    path, sink = write(tmp_path, make)
    live = packets(io.BytesIO(sink.head + b"".join(data for data, _, _ in sink.parts)))
    file = packets(str(path))
    assert live["video"] == file["video"]
    # The file also has the one packet before 0 s, and there alone the end is cut to the sample.
    sounding = [packet for packet in file["audio"] if packet[0] >= 0]
    assert live["audio"] == sounding
    assert live["video"][0][0] == live["audio"][0][0] == 0


def test_the_stream_can_be_joined_at_each_chunk(tmp_path, make):
    _, sink = write(tmp_path, make)
    keys = [(index, start_ms) for index, (_, start_ms, is_key) in enumerate(sink.parts) if is_key]
    assert [start_ms for _, start_ms in keys] == [0, 1120, 2240]
    for index, start_ms in keys:
        rest = b"".join(data for data, _, _ in sink.parts[index:])
        with av.open(io.BytesIO(sink.head + rest)) as container:
            frames = list(container.decode(video=0))
        assert round(frames[0].time * 1000) == start_ms
        assert len(frames) == 70 - start_ms * 25 // 1000


def test_a_fragment_is_a_few_frames_and_complete_in_itself(tmp_path, make):
    _, sink = write(tmp_path, make)
    assert [kind for kind, _ in child_boxes(sink.head)] == [b"ftyp", b"moov"]
    for data, _, _ in sink.parts:
        assert [kind for kind, _ in child_boxes(data)] == [b"moof", b"mdat"]
    starts = [start_ms for _, start_ms, _ in sink.parts]
    assert np.diff(starts).max() == FRAGMENT_FRAMES * 40
    # Whole fragments fill a chunk: none waits for the frames of the next chunk.
    assert sum(is_key for _, _, is_key in sink.parts[:8]) == 2


def test_the_decoded_stream_is_the_decoded_file(tmp_path, make):
    path, sink = write(tmp_path, make, rate_hz=16_000)
    live = io.BytesIO(sink.head + b"".join(data for data, _, _ in sink.parts))
    shown = []
    for file in (live, str(path)):
        with av.open(file) as container:
            shown.append([frame.to_ndarray() for frame in container.decode(video=0)])
    assert len(shown[0]) == 70
    assert all(np.array_equal(a, b) for a, b in zip(*shown, strict=True))


@pytest.mark.parametrize("frames", [1, 3, 28, 29])
def test_short_videos_are_streamed_whole(tmp_path, make, frames):
    _, sink = write(tmp_path, make, frames)
    live = packets(io.BytesIO(sink.head + b"".join(data for data, _, _ in sink.parts)))
    assert len(live["video"]) == frames
    assert sink.closed == 1


def test_the_file_is_the_same_with_and_without_a_stream(tmp_path, make):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    path, _ = write(tmp_path / "a", make)
    audio = probe_audio(tmp_path / "a" / "sound.wav")
    with Mp4Writer(tmp_path / "b" / "out.mp4", SIZE, audio) as writer:
        for start in range(0, 70, 4):
            writer.write(images(70)[start : start + 4])
    assert path.read_bytes() == (tmp_path / "b" / "out.mp4").read_bytes()


def test_a_failing_stream_leaves_the_file_alone(tmp_path, make, caplog):
    class Broken(Pieces):
        def add(self, data, start_ms, *, is_key):
            raise RuntimeError("no route to nowhere")

    path, sink = write(tmp_path, make, sink=Broken())
    assert len(packets(str(path))["video"]) == 70
    assert sink.closed == 1
    assert "the live stream stops" in caplog.text


@pytest.mark.parametrize("name", ["begin", "add", "close"])
def test_a_failing_stream_never_stops_the_video_file(tmp_path, make, monkeypatch, name):
    def fail(*_args, **_settings):
        raise OSError("no route to nowhere")

    sink = Pieces()
    monkeypatch.setattr(sink, "close", fail)  # it fails at the end as well
    monkeypatch.setattr(sink, name, fail)
    path, _ = write(tmp_path, make, sink=sink)
    assert len(packets(str(path))["video"]) == 70


def test_every_chunk_begins_with_a_key_frame(tmp_path, make):
    _, sink = write(tmp_path, make, chunk_frames=12)
    keys = [start_ms * 25 // 1000 for _, start_ms, is_key in sink.parts if is_key]
    assert keys == [0, 12, 24, 36, 48, 60]


FIRST_MOTION_S = 0.25
"""What a player must have of both tracks to start."""


def seconds_of(sink, kind):
    live = packets(io.BytesIO(sink.head + b"".join(data for data, _, _ in sink.parts)))
    (last_s, _), count = live[kind][-1], len(live[kind])
    return float(last_s * count / (count - 1))  # the last one lasts, too


@pytest.mark.parametrize("threads", [1, 4, 16, 64])
@pytest.mark.parametrize("preset", ["ultrafast", "veryfast", "fast", "medium"])
def test_the_first_chunk_alone_is_enough_to_start_with(tmp_path, make, preset, threads):
    audio = make.encode_audio(tmp_path / "a.wav", make.voice(70 * 1764, 44_100)[None], 44_100)
    sink, frames = Pieces(), images(70)
    with VideoEncoder(SIZE, probe_audio(audio), preset=preset, sinks=[LiveMp4(sink)]) as encoder:
        encoder._images.stream.codec_context.thread_count = threads
        encoder.write(frames[:28])
        # The next frame is drawn with the next chunk, which takes as long as this one.
        # Nothing of this one waits for it.
        assert seconds_of(sink, "video") == pytest.approx(28 / 25)
        assert seconds_of(sink, "audio") >= FIRST_MOTION_S
        assert seconds_of(sink, "video") >= FIRST_MOTION_S
        encoder.write(frames[28:])
