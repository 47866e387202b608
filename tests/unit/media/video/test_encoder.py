"""One encoder, any number of packet sinks."""

import gc
import io
import weakref
from collections import deque

import numpy as np
import pytest

from flashtalk_core.errors import InvalidInputError
from flashtalk_core.media.audio.probe import probe_audio
from flashtalk_core.media.audio.source import AudioArray
from flashtalk_core.media.isobmff.boxes import file_boxes
from flashtalk_core.media.isobmff.live import LiveMp4
from flashtalk_core.media.video.encoder import VideoEncoder
from flashtalk_core.media.video.partial_file import MuxerOutput
from flashtalk_core.media.video.reading.measure import measure_video
from flashtalk_core.media.video.writer import Mp4Writer

pytestmark = pytest.mark.cpu

SIZE = (64, 96)
"""At 32x48 x264 itself now and then (1 of 120) gives other bytes for noise."""


class Packets:
    """A sink that keeps what it gets."""

    def __init__(self, fault=None):
        self.packets, self.num_closed, self.fault = [], 0, fault

    def add(self, packet, streams):
        assert packet.stream in streams
        self.packets.append((packet.stream.type, bytes(packet)))
        if self.fault is not None and len(self.packets) == 60:
            raise self.fault

    def close(self):
        self.num_closed += 1


class Fragments(list):
    """What a live stream sends."""

    def begin(self, head):
        self.append(head)

    def add(self, data, start_ms, *, is_key):
        self.append((data, start_ms, is_key))

    def close(self):
        self.append("end")


@pytest.fixture
def audio():
    noise = np.random.default_rng(0).standard_normal((1, 64_000)) * 0.1
    return probe_audio(AudioArray("noise", noise.astype(np.float32), 32_000))


@pytest.fixture
def frames():
    return np.random.default_rng(1).integers(0, 255, (50, *SIZE, 3), dtype=np.uint8)


def test_packets_are_encoded_once_for_all_sinks(audio, frames, tmp_path):
    first, second, live = Packets(), Packets(), Fragments()
    sinks = [first, LiveMp4(live), second]
    with Mp4Writer(tmp_path / "v.mp4", SIZE, audio, sinks=sinks) as writer:
        writer.write(frames)
    assert first.packets == second.packets
    assert (first.num_closed, second.num_closed, live[-1]) == (1, 1, "end")
    kinds = [kind for kind, _ in first.packets]
    assert (kinds.count("video"), kinds.count("audio")) == (50, 64)
    data = (tmp_path / "v.mp4").read_bytes()
    # A start code before each frame is replaced by its length; audio is the same to the byte.
    assert all(packet in data for kind, packet in first.packets if kind == "audio")


def test_a_live_stream_needs_no_file_and_sends_the_same_without_one(audio, frames, tmp_path):
    alone, with_file = Fragments(), Fragments()
    with VideoEncoder(SIZE, audio, sinks=[LiveMp4(alone)]) as encoder:
        encoder.write(frames)
    with Mp4Writer(tmp_path / "v.mp4", SIZE, audio, sinks=[LiveMp4(with_file)]) as writer:
        writer.write(frames)
    assert alone == with_file
    assert [path.name for path in tmp_path.iterdir()] == ["v.mp4"]


def test_the_muxer_gets_packets_until_the_head_is_known(audio, frames):
    parts = deque()
    output = MuxerOutput(parts)
    with VideoEncoder(SIZE, audio, output=output) as encoder:
        encoder.write(frames[:20])
        num_written = len(parts)
        output.is_wanted = False
        encoder.write(frames[20:])
        assert len(parts) == num_written > 0
    boxes = [box.kind for box in file_boxes(io.BytesIO(b"".join(parts)))]
    assert boxes[:4] == [b"ftyp", b"moov", b"moof", b"mdat"]


def test_missing_frames_are_our_fault(audio, frames):
    sink = Packets()
    with (
        pytest.raises(AssertionError, match="20 of 50 frames written"),
        VideoEncoder(SIZE, audio, sinks=[sink]) as encoder,
    ):
        encoder.write(frames[:20])
    assert sink.num_closed == 1


def test_a_stop_flushes_the_encoders_and_is_what_is_raised(audio, frames):
    sink = Packets()

    def stop():
        with VideoEncoder(SIZE, audio, sinks=[sink]) as encoder:
            encoder.write(frames[:20])
            raise KeyError

    with pytest.raises(KeyError):
        stop()
    assert [kind for kind, _ in sink.packets].count("video") == 20
    assert sink.num_closed == 1


def test_a_sink_that_raises_stops_the_render_and_the_file_stays_playable(audio, frames, tmp_path):
    broken = Packets(RuntimeError("no"))
    writer = Mp4Writer(tmp_path / "v.mp4", SIZE, audio, sinks=[broken])
    with pytest.raises(RuntimeError, match="no"), writer:
        writer.write(frames)
    assert (broken.num_closed, writer.is_complete) == (1, False)
    assert measure_video(writer.output.partial).num_frames == writer.num_written


def test_settings_are_checked_before_anything_is_opened(audio):
    with pytest.raises(InvalidInputError, match="crf 52"):
        VideoEncoder(SIZE, audio, crf=52)
    with pytest.raises(InvalidInputError, match=r"frames of 32x47: H\.264 has even sides"):
        VideoEncoder((32, 47), audio)


def packets_of(audio, frames, parts):
    """Encode ``frames`` by encoders that go on from each other at the frames ``parts``."""
    found, head = [], b"".join
    chunks = deque()
    for first, stop in zip([0, *parts], [*parts, len(frames)], strict=True):
        sink = Packets()
        encoder = VideoEncoder(
            SIZE, audio, chunk_frames=10, output=MuxerOutput(chunks), sinks=[sink]
        )
        encoder.open()
        if first:
            count = sum(kind == "audio" for kind, _ in found)
            encoder.skip(first, count, head(chunks))
        encoder.write(frames[first:stop])
        done = list(sink.packets)
        encoder.close()
        found += sink.packets if stop == len(frames) else done
    return found


@pytest.mark.parametrize("parts", [[10], [30], [10, 20, 40]])
def test_an_encoder_goes_on_where_another_one_was(audio, frames, parts):
    assert packets_of(audio, frames, parts) == packets_of(audio, frames, [])


def test_audio_that_changed_is_not_followed(audio, frames):
    chunks = deque()
    with VideoEncoder(SIZE, audio, chunk_frames=10, output=MuxerOutput(chunks)) as encoder:
        encoder.write(frames)
    other = VideoEncoder(SIZE, audio, chunk_frames=10)
    other.open()
    other.skip(10, 3, b"".join(chunks))
    with pytest.raises(InvalidInputError, match="and made 3 before"):
        other.write(frames[10:])
    other.close()


def test_an_encoder_of_another_quality_is_not_followed(audio, frames):
    chunks = deque()
    with VideoEncoder(SIZE, audio, chunk_frames=10, output=MuxerOutput(chunks)) as encoder:
        encoder.write(frames)
    other = VideoEncoder(SIZE, audio, chunk_frames=10, preset="ultrafast")
    other.open()
    with pytest.raises(InvalidInputError, match="describes the video differently"):
        other.skip(10, 3, b"".join(chunks))
    other.close()


def test_a_stop_does_not_wait_for_audio_that_is_skipped(audio, frames):
    chunks = deque()
    with VideoEncoder(SIZE, audio, chunk_frames=10, output=MuxerOutput(chunks)) as encoder:
        encoder.write(frames)
    sink = Packets()
    other = VideoEncoder(SIZE, audio, chunk_frames=10, sinks=[sink])
    other.open()
    other.skip(40, 50, b"".join(chunks))
    other.close()
    assert (sink.packets, sink.num_closed) == ([], 1)


def test_encoders_end_with_the_last_reference_to_them(audio, frames):
    gc.disable()  # what refers to itself lives until then, and FFmpeg's threads with it
    try:
        with VideoEncoder(SIZE, audio) as encoder:
            encoder.write(frames)
            track = weakref.ref(encoder.track)
        del encoder
        assert track() is None
    finally:
        gc.enable()
