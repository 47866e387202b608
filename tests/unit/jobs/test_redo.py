"""Chunks of a finished video are rendered again and spliced in."""

import shutil
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest

from flashtalk_core.config.chunk import ChunkConfig
from flashtalk_core.engine.events import EventHandlers
from flashtalk_core.errors import InvalidInputError
from flashtalk_core.jobs.blend import blend_into
from flashtalk_core.jobs.redo import ChunkRange, redo_chunks
from flashtalk_core.media.audio.probe import probe_audio
from flashtalk_core.media.audio.source import AudioArray
from flashtalk_core.media.isobmff import moving
from flashtalk_core.media.video.encoder import VideoEncoder
from flashtalk_core.media.video.reading.measure import measure_video
from flashtalk_core.media.video.reading.reader import probe_video, read_frames_at
from flashtalk_core.media.video.stored import open_stored
from flashtalk_core.stages.interpolation import InterpolateStage
from flashtalk_core.stages.upscaling import UpscaleStage
from tests.unit.jobs.conftest import open_job_in
from tests.unit.jobs.test_extend import packets
from tests.unit.stages.test_stages import Blurred, Mean

pytestmark = pytest.mark.cpu

CHUNK = ChunkConfig(num_frames=17, num_motion_frames=5)
NUM_FRAMES = 60
"""Five chunks of 12 frames."""


TEXTS = {"comment": "seed 5", "workflow": "{}", "prompt": "\u2603"}


@pytest.fixture(scope="module")
def rendered(make_plan, engine, tmp_path_factory):
    plan = make_plan(chunk=CHUNK, seconds=2.4)
    job = open_job_in(tmp_path_factory.mktemp("redo"), plan, name="v.mp4", metadata=TEXTS)
    job.render(engine)
    return job.path


@pytest.fixture
def video(rendered, tmp_path):
    return Path(shutil.copy(rendered, tmp_path))


@pytest.fixture
def other(make_plan):
    """The same with another seed."""
    return make_plan(chunk=CHUNK, seconds=2.4, seed=7)


def redo(video, plan, engine, chunks, **given):
    given = {"crf": 30} | given
    redo_chunks(open_stored(video), plan, ChunkRange.parse(chunks), engine, **given)


def changes(video):
    """Return the mean difference of each frame to the one before."""
    frames = read_frames_at(video, range(NUM_FRAMES), probe_video(video)).numpy()
    return np.abs(np.diff(frames, axis=0)).mean(axis=(1, 2, 3))


@pytest.mark.parametrize(("chunks", "changed"), [("3-4", {2, 3}), ("1", {0}), ("5", {4})])
def test_other_chunks_keep_their_packets(video, other, engine, chunks, changed):
    before, sound = packets(video, "video"), packets(video, "audio")
    redo(video, other, engine, chunks)
    after = packets(video, "video")
    assert len(after) == NUM_FRAMES
    different = {i // 12 for i in range(NUM_FRAMES) if before[i] != after[i]}
    assert different == changed
    assert packets(video, "audio") == sound
    measured = measure_video(video)
    assert (measured.num_frames, measured.is_exact) == (NUM_FRAMES, True)
    assert measured.num_samples == round(2.4 * 16_000)
    assert {path.name for path in video.parent.iterdir()} == {"v.mp4"}


def test_a_sound_that_is_not_the_speech_stays(make_plan, engine, open_job, other):
    mix = np.random.default_rng(5).standard_normal((2, round(2.4 * 44_100))) * 0.1
    mix = probe_audio(AudioArray("mix", mix.astype(np.float32), 44_100))
    job = open_job(replace(make_plan(chunk=CHUNK, seconds=2.4), soundtrack=mix), name="v.mp4")
    job.render(engine)
    before = probe_audio(job.path)
    redo(job.path, other, engine, "2")  # whose speech has another rate and one channel
    after = probe_audio(job.path)
    assert after.marks == before.marks
    assert (after.rate_hz, after.channels) == (44_100, 2)


def test_joins_are_as_smooth_as_elsewhere(video, other, engine):
    before = changes(video)
    redo(video, other, engine, "3-4")
    joins = [12 * chunk - 1 for chunk in range(1, 5)]
    assert changes(video)[joins].max() <= 1.1 * before[joins].max()


def test_the_same_settings_draw_about_the_same(video, make_plan, engine):
    before = read_frames_at(video, range(24, 36), probe_video(video))
    redo(video, make_plan(chunk=CHUNK, seconds=2.4), engine, "3")
    after = read_frames_at(video, range(24, 36), probe_video(video))
    assert (before - after).abs().mean() < 0.02  # frames of a file are not those of the model


def test_a_stop_leaves_the_video_as_it_is(video, other, engine):
    class Stopped(BaseException):
        pass

    def stop(_):
        raise Stopped

    before = video.read_bytes()
    with pytest.raises(Stopped):
        redo(video, other, engine, "3-4", events=EventHandlers(frames=stop))
    assert video.read_bytes() == before
    assert {path.name for path in video.parent.iterdir()} == {"v.mp4"}


def test_texts_of_the_file_stay_and_say_what_is_new(video, engine, other):
    redo(video, other, engine, "1")
    redo(video, other, engine, "2")
    found = dict(open_stored(video).metadata)
    comment = found.pop("comment")
    assert comment.startswith("seed 5; chunks 1-1 generated with")
    assert [part.split()[-1] for part in comment.split("; ")] == ["5", "7", "7"]
    assert found == {"workflow": "{}", "prompt": "\u2603"}
    with av.open(str(video)) as container:
        assert container.metadata["workflow"] == "{}"


@pytest.mark.parametrize(
    ("stage", "said"),
    [
        (UpscaleStage(Blurred()), "use --size 64x64, or if its frames were upscaled, render all"),
        (InterpolateStage(Mean()), "50 frames a second, and the model makes 25; render all of it"),
    ],
    ids=["upscaled", "interpolated"],
)
def test_a_video_of_other_frames_than_the_model_makes_is_refused(
    make_plan, open_job, engine, other, stage, said
):
    job = open_job(replace(make_plan(chunk=CHUNK, seconds=0.6), stage=stage), name="v.mp4")
    job.render(engine)
    before = job.path.read_bytes()
    with pytest.raises(InvalidInputError, match=said):
        redo(job.path, other, engine, "1")
    assert job.path.read_bytes() == before


def cut_off(video):
    with video.open("r+b") as file:
        file.truncate(int(0.9 * video.stat().st_size))


def with_shorter_data(video):
    """Let the box of the media data end where the file does, as a repair may."""
    data = bytearray(video.read_bytes()[: int(0.9 * video.stat().st_size)])
    at = data.index(b"mdat")
    data[at + 4 : at + 12] = (len(data) - at + 4).to_bytes(8, "big")
    video.write_bytes(data)


@pytest.mark.parametrize("damage", [cut_off, with_shorter_data])
def test_a_damaged_video_is_refused_and_stays(video, other, engine, damage):
    damage(video)
    before = video.read_bytes()
    with pytest.raises(InvalidInputError, match=r"cut off|ends too early"):
        redo(video, other, engine, "1")
    assert video.read_bytes() == before
    assert {path.name for path in video.parent.iterdir()} == {"v.mp4"}


def test_a_chunk_is_encoded_before_the_next_one_is_generated(video, other, engine, monkeypatch):
    encoded, waiting = [], []
    real = VideoEncoder.video_packets

    def counted(self, images, first):
        for packet in real(self, images, first):
            encoded.append(packet)
            yield packet

    monkeypatch.setattr(VideoEncoder, "video_packets", counted)
    redo(
        video,
        other,
        engine,
        "1-2",
        events=EventHandlers(frames=lambda _: waiting.append(len(encoded))),
    )
    assert waiting[-1] >= 12


def test_three_files_are_never_on_the_disk_at_once(video, other, engine, monkeypatch):
    whole, taken = video.stat().st_size, []

    def note(_):
        taken.append(sum(path.stat().st_blocks * 512 for path in video.parent.iterdir()))

    monkeypatch.setattr(moving, "sync", note)
    monkeypatch.setattr(moving, "BLOCK_BYTES", 4096)
    redo(video, other, engine, "1")
    assert len(taken) > 4
    assert max(taken) < 2.5 * whole + 40_000


def test_frames_change_over_in_even_steps():
    newer, older = np.zeros((4, 1, 1, 3), np.uint8), np.full((4, 1, 1, 3), 100, np.uint8)
    assert blend_into(newer, older)[:, 0, 0, 0].tolist() == [20, 40, 60, 80]
    assert np.array_equal(blend_into(older, older), older)
