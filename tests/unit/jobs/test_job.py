"""A render goes on after whatever ended it, and nobody can tell."""

import errno
import shutil
import weakref
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from flashtalk_core.config.chunk import ChunkConfig
from flashtalk_core.engine.events import EventHandlers
from flashtalk_core.engine.plan import PlannedSpeaker
from flashtalk_core.errors import InvalidInputError, OutputError
from flashtalk_core.files import whole_file
from flashtalk_core.jobs.job import open_writer
from flashtalk_core.jobs.record import JobRecord
from flashtalk_core.media.audio.info import AudioInfo
from flashtalk_core.media.isobmff import moving
from flashtalk_core.media.video import finishing
from flashtalk_core.media.video.reading.measure import measure_video
from tests.unit.jobs.conftest import Stopped, stop_after

pytestmark = pytest.mark.cpu

NUM_FRAMES, NUM_CHUNKS = 18, 5


@pytest.fixture
def whole(finished):
    return finished.read_bytes()


def finish(job, engine):
    """Render the rest; return how many frames that were."""
    frames = []
    job.render(engine, EventHandlers(frames=lambda group: frames.extend(group)))
    return len(frames)


@pytest.mark.parametrize("count", [1, 4])
def test_a_render_goes_on_after_its_last_whole_chunk(plan, engine, open_job, whole, count):
    stop_after(open_job(plan), engine, count)
    job = open_job(plan)
    assert (job.num_chunks_done, job.num_done) == (count, 4 * count)
    assert finish(job, engine) == NUM_FRAMES - 4 * count
    assert job.writer.output.final.read_bytes() == whole
    assert not job.writer.output.state.exists()


def test_one_of_an_earlier_version_goes_on_with_the_latents_it_began_with(
    plan, engine, open_job, stopped, whole
):
    request = replace(plan.request, num_decode_latents=3)
    later = replace(plan, request=request, older_decode_latents=1)
    job = open_job(later)
    assert (job.num_done, job.key) == (12, open_job(plan).key)
    assert finish(job, engine) == NUM_FRAMES - 12
    assert job.writer.output.final.read_bytes() == whole
    assert open_job(later).key != job.key  # nothing of it is left


def test_latents_that_were_named_are_no_earlier_default(plan, open_job, stopped, caplog):
    job = open_job(replace(plan, request=replace(plan.request, num_decode_latents=3)))
    assert job.num_done == 0
    assert "starts anew" in caplog.text


def test_it_may_be_interrupted_again_and_again(plan, engine, open_job, whole, tmp_path):
    for _ in range(1, NUM_CHUNKS):
        stop_after(open_job(plan), engine, 1)
    job = open_job(plan)
    assert finish(job, engine) == 2
    assert job.writer.output.final.read_bytes() == whole
    assert {path.name for path in tmp_path.iterdir()} == {"a.mp4"}


def test_what_lies_behind_the_last_whole_chunk_is_rendered_again(plan, engine, open_job, whole):
    stop_after(open_job(plan), engine, 2)
    with open_job(plan).writer.output.partial.open("ab") as file:
        file.write(b"half a fragment")
    job = open_job(plan)
    assert finish(job, engine) == NUM_FRAMES - 8
    assert job.writer.output.final.read_bytes() == whole


def test_the_first_chunk_of_a_stopped_render_is_not_there(plan, engine, open_job, whole):
    stop_after(open_job(plan), engine, 0)
    job = open_job(plan)
    assert finish(job, engine) == NUM_FRAMES
    assert job.writer.output.final.read_bytes() == whole


def test_other_settings_start_anew_and_say_which(engine, make_plan, open_job, stopped, caplog):
    other = make_plan(chunk=ChunkConfig(num_frames=9, num_motion_frames=5), seconds=0.72, seed=5)
    job = open_job(other, seed=5)
    assert job.num_done == 0
    assert "starts anew (with other settings: seed 5 was 9999)" in caplog.text
    stop_after(job, engine, 1)
    older = job.writer.output.final.with_name("a.partial.older.mp4")
    assert measure_video(older).num_frames == 12  # it holds more than the new one
    assert finish(open_job(other, seed=5), engine) == NUM_FRAMES - 4
    assert not older.exists()


def test_the_user_may_start_anew(plan, engine, open_job, stopped, whole):
    job = open_job(plan, start_anew=True)
    assert finish(job, engine) == NUM_FRAMES
    assert job.path.read_bytes() == whole


@pytest.mark.parametrize(
    ("name", "share"), [("state", 0.01), ("state", 0.5), ("partial", 0.01), ("partial", 0.5)]
)
def test_a_damaged_file_starts_anew(plan, open_job, stopped, name, share, caplog):
    path = getattr(open_job(plan).writer.output, name)
    data = bytearray(path.read_bytes())
    data[int(share * len(data))] ^= 255
    path.write_bytes(data)
    assert open_job(plan).num_done == 0
    assert "starts anew" in caplog.text


@pytest.mark.parametrize("change", [{"chunk_index": 2}, {"chunk_index": 2, "num_frames": 8}])
def test_a_state_that_does_not_fit_the_frames_starts_anew(
    plan, engine, open_job, whole, stopped, change, caplog
):
    output = open_job(plan).writer.output
    replace(JobRecord.read(output.state), **change).write(output.state)
    job = open_job(plan)
    assert job.num_done == 0
    assert "starts anew" in caplog.text
    stop_after(job, engine, 1)
    assert measure_video(output.older[0]).num_frames == 12
    assert finish(open_job(plan), engine) == NUM_FRAMES - 4
    assert output.final.read_bytes() == whole


def test_a_partial_file_of_other_chunks_is_refused_in_words(plan, open_job, stopped, tmp_path):
    mark = JobRecord.read(open_job(plan).writer.output.state).mark
    other = replace(plan, request=replace(plan.request, chunk=ChunkConfig(num_frames=13)))
    writer = open_writer(other, tmp_path / "a.mp4", crf=30, resumed=mark)
    with pytest.raises(InvalidInputError, match="12 frames are there, and a chunk has 8"), writer:
        pass


def test_frames_to_go_on_from_are_kept_once(plan, engine, open_job, stopped):
    job = open_job(plan)
    frames = weakref.ref(job._older.motion_frames)
    seen = []
    job.render(engine, EventHandlers(state=lambda _: seen.append(frames())))
    assert seen[-1] is None


@pytest.mark.parametrize("name", ["state", "partial"])
def test_a_file_that_is_gone_starts_anew(plan, engine, open_job, stopped, name):
    getattr(open_job(plan).writer.output, name).unlink()
    assert finish(open_job(plan), engine) == NUM_FRAMES


def test_a_finished_render_is_rendered_again(plan, engine, open_job, finished, tmp_path):
    shutil.copy(finished, tmp_path)
    job = open_job(plan)
    assert finish(job, engine) == NUM_FRAMES


def test_audio_that_nothing_identifies_is_never_continued(plan, engine, open_job, growing_audio):
    growing = AudioInfo.growing(growing_audio(np.zeros((1, 11_520), np.float32), 16_000, 640))
    plan = replace(plan, speakers=(PlannedSpeaker(growing),))
    job = open_job(plan)
    stop_after(job, engine, 2)
    assert not job.writer.output.state.exists()
    assert open_job(plan).num_done == 0


def test_a_state_that_cannot_be_written_stops_nothing(
    plan, engine, open_job, monkeypatch, whole, caplog
):
    def write(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(JobRecord, "write", write)
    job = open_job(plan)
    assert finish(job, engine) == NUM_FRAMES
    assert job.writer.output.final.read_bytes() == whole
    assert caplog.text.count("cannot be saved (No space left on device)") == 1


def test_two_runs_of_one_job_at_once_are_refused(plan, engine, open_job):
    job = open_job(plan)
    seen = []

    def step(_):
        if not seen:
            seen.append(None)
            with pytest.raises(OutputError, match="another render is writing it"):
                open_job(plan)

    job.render(engine, EventHandlers(step=step))
    assert seen


def test_a_disk_without_room_for_two_files_is_no_obstacle(
    plan, engine, open_job, whole, monkeypatch
):
    monkeypatch.setattr(finishing, "has_room", lambda _: False)
    job = open_job(plan)
    assert finish(job, engine) == NUM_FRAMES
    assert job.writer.output.final.read_bytes() == whole


def test_a_stop_while_the_disk_has_no_room_renders_nothing_again(
    plan, engine, open_job, whole, monkeypatch, tmp_path
):
    def stop(_):
        raise Stopped

    with monkeypatch.context() as patch:
        patch.setattr(finishing, "has_room", lambda _: False)
        patch.setattr(moving, "sync", stop)
        with pytest.raises(Stopped) as stopped:
            open_job(plan).render(engine)
    assert "the same command puts them together" in stopped.value.__notes__[0]
    job = open_job(plan)
    assert (job.is_rendered, job.num_done) == (True, 16)
    assert finish(job, engine) == 0
    assert job.writer.output.final.read_bytes() == whole
    assert {path.name for path in tmp_path.iterdir()} == {"a.mp4"}


def test_a_video_that_a_player_has_open_is_put_in_place_by_the_same_command(
    plan, engine, open_job, whole, monkeypatch
):
    real = Path.replace

    def replace(source, target):
        if Path(target).name != "a.mp4":
            return real(source, target)
        error = PermissionError(13, "Access is denied", str(source), None, str(target))
        error.winerror = 5
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", replace)
        patch.setattr(whole_file.time, "sleep", lambda _: None)
        with pytest.raises(OutputError, match="close it and run the same command"):
            open_job(plan).render(engine)
    assert finish(open_job(plan), engine) == 2
    assert open_job(plan).path.read_bytes() == whole
