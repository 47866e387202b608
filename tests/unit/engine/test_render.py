"""From a plan to a file."""

from dataclasses import replace

import av
import pytest
import torch

from flashtalk_core.config.chunk import ChunkConfig
from flashtalk_core.engine.build import LocalEngine
from flashtalk_core.engine.events import EventHandlers
from flashtalk_core.engine.plan import PlannedSpeaker
from flashtalk_core.engine.render import describe, render_video
from flashtalk_core.errors import InvalidInputError, OutputError
from flashtalk_core.jobs.job import open_writer
from flashtalk_core.media.audio.info import AudioInfo
from flashtalk_core.media.isobmff.live import LiveMp4
from flashtalk_core.media.video.reading.measure import measure_video

pytestmark = pytest.mark.cpu

CHUNK = ChunkConfig(num_frames=9, num_motion_frames=5)


@pytest.fixture
def plan(make_plan):
    return make_plan(chunk=CHUNK, steps=2, seconds=0.4)  # 10 frames in 3 chunks


def test_the_video_is_as_long_as_the_audio(plan, networks, tmp_path):
    render_video(plan, open_writer(plan, tmp_path / "a.mp4", crf=30), LocalEngine(networks))
    measured = measure_video(tmp_path / "a.mp4")
    assert (measured.num_frames, measured.is_exact, measured.num_samples) == (10, True, 6_400)
    assert [path.name for path in tmp_path.iterdir()] == ["a.mp4"]


def test_the_file_says_that_it_is_generated_and_how(plan, networks, tmp_path):
    metadata = {"comment": describe(plan), "prompt": "{}"}
    writer = open_writer(plan, tmp_path / "a.mp4", crf=30, metadata=metadata)
    render_video(plan, writer, LocalEngine(networks))
    with av.open(str(tmp_path / "a.mp4")) as container:
        found = container.metadata
    assert found["comment"] == describe(plan)
    assert found["prompt"] == "{}"
    assert describe(plan) == "generated with FlashTalk-tiny, 2 euler steps, shift 5, seed 9999"


def test_a_file_that_cannot_be_written_is_reported_before_anything_is_read(plan, tmp_path):
    with pytest.raises(OutputError, match="create it first"):
        open_writer(plan, tmp_path / "missing" / "a.mp4", crf=30)
    with pytest.raises(InvalidInputError, match="quality crf 52"):
        open_writer(plan, tmp_path / "a.mp4", crf=52)


class Frames:
    """A sink that keeps frames and how it was left."""

    def __init__(self):
        self.frames, self.is_open, self.left_by = [], False, None

    def __enter__(self):
        self.is_open = True

    def __exit__(self, kind, exception, traceback):
        self.is_open, self.left_by = False, exception

    def write(self, frames):
        assert self.is_open
        self.frames.append(frames)


def test_frames_go_to_any_sink(plan, networks, tmp_path):
    sink = Frames()
    render_video(plan, sink, LocalEngine(networks))
    assert (sink.is_open, sink.left_by) == (False, None)
    assert torch.cat(sink.frames).shape == (10, 32, 32, 3)
    assert list(tmp_path.iterdir()) == []


def test_a_sink_is_left_with_what_stopped_the_render(plan, networks):
    sink, error = Frames(), KeyboardInterrupt()

    def stop(_step):
        raise error

    with pytest.raises(KeyboardInterrupt):
        render_video(plan, sink, LocalEngine(networks), events=EventHandlers(step=stop))
    assert sink.left_by is error


def test_growing_audio_gives_the_very_file_and_stream_of_the_finished_one(
    plan, networks, growing_audio, tmp_path
):
    samples = plan.audio.source.samples
    growing = AudioInfo.growing(growing_audio(samples, 16_000, 640))
    whole = replace(growing, source=plan.audio.source, num_samples=samples.shape[1])
    videos = []
    for audio in (growing, whole):
        live = Fragments()
        spoken = replace(plan, speakers=(PlannedSpeaker(audio),))
        writer = open_writer(spoken, tmp_path / "a.mp4", crf=30, sinks=[LiveMp4(live)])
        render_video(spoken, writer, LocalEngine(networks))
        videos.append(((tmp_path / "a.mp4").read_bytes(), list(live)))
    assert videos[0] == videos[1]
    measured = measure_video(tmp_path / "a.mp4")
    assert (measured.num_frames, measured.is_exact, measured.num_samples) == (10, True, 6_400)


class Fragments(list):
    """What a live stream sends."""

    def begin(self, head):
        self.append(head)

    def add(self, data, start_ms, *, is_key):
        self.append((data, start_ms, is_key))

    def close(self):
        self.append("end")
