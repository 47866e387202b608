"""Every command that writes an output keeps what an earlier render has left there."""

import errno
import shutil

import av
import pytest

from flashtalk_core.engine.spec import RenderSpec
from flashtalk_core.errors import OutputError
from flashtalk_core.files.output_lock import lock_output
from flashtalk_core.files.output_path import OutputPath
from flashtalk_core.jobs.extend import begin_extended
from flashtalk_core.jobs.record import JobRecord
from flashtalk_core.jobs.redo import ChunkRange, redo_chunks
from flashtalk_core.media.isobmff import moving
from flashtalk_core.media.video import finishing
from flashtalk_core.media.video.older_partials import num_saved_frames
from flashtalk_core.media.video.reading.measure import measure_video
from flashtalk_core.media.video.stored import open_stored
from tests.unit.jobs.conftest import CHUNK, Stopped, stop_after

pytestmark = pytest.mark.cpu

GIVEN = {"crf": 30}


@pytest.fixture
def first(finished, tmp_path):
    """A finished video of 18 frames, four whole chunks of which can go on."""
    return shutil.copy(finished, tmp_path / "first.mp4")


@pytest.fixture
def longer(make_plan):
    return make_plan(chunk=CHUNK, seconds=1.0)


@pytest.fixture
def half_moved(plan, engine, open_job, monkeypatch):
    """An output whose 18 frames are in two files, by a stop on a full disk."""

    def stop(_):
        raise Stopped

    job = open_job(plan, name="v.mp4")
    with monkeypatch.context() as patch:
        patch.setattr(finishing, "has_room", lambda _: False)
        patch.setattr(moving, "sync", stop)
        with pytest.raises(Stopped):
            job.render(engine)
    assert not job.path.exists()
    return job.writer.output


def extend(first, plan, path):
    begin_extended(open_stored(first), plan, RenderSpec(), path, key="k", **GIVEN)


def test_extending_keeps_an_interrupted_render(first, plan, longer, engine, open_job, tmp_path):
    job = open_job(plan, name="v.mp4")
    stop_after(job, engine, 3)
    older = job.writer.output.partial.read_bytes()
    extend(first, longer, tmp_path / "v.mp4")
    assert (tmp_path / "v.partial.older.mp4").read_bytes() == older
    assert num_saved_frames(tmp_path / "v.partial.mp4") == 16


def test_extending_keeps_texts_and_says_what_goes_on(plan, longer, engine, open_job, tmp_path):
    job = open_job(plan, name="a.mp4", metadata={"comment": "seed 5", "workflow": "{}"})
    job.render(engine)
    extend(job.path, longer, tmp_path / "v.mp4")
    with av.open(str(tmp_path / "v.partial.mp4")) as container:
        assert container.metadata["workflow"] == "{}"
        assert container.metadata["comment"].startswith("seed 5; from chunk 5 on generated with")


def test_extending_keeps_frames_that_are_in_two_files(first, longer, half_moved):
    extend(first, longer, half_moved.final)
    assert [measure_video(path).num_frames for path in half_moved.older] == [18]


def test_extending_that_fails_leaves_an_interrupted_render_as_it_was(
    first, plan, longer, engine, open_job, monkeypatch, tmp_path
):
    def write(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    stop_after(open_job(plan, name="v.mp4"), engine, 3)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    monkeypatch.setattr(JobRecord, "write", write)
    with pytest.raises(OutputError, match="free some space"):
        extend(first, longer, tmp_path / "v.mp4")
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_an_output_is_held_while_it_is_extended_into(first, longer, monkeypatch, tmp_path):
    final, seen = tmp_path / "v.mp4", []

    def write(*_):
        with (
            pytest.raises(OutputError, match="another render is writing it") as refused,
            lock_output(final, OutputPath(final).lock),
        ):
            pass
        seen.append(refused)

    monkeypatch.setattr(JobRecord, "write", write)
    extend(first, longer, final)
    assert seen


def test_redo_keeps_frames_that_are_in_two_files(first, plan, engine, half_moved):
    first.rename(half_moved.final)
    redo_chunks(open_stored(half_moved.final), plan, ChunkRange.parse("2"), engine, **GIVEN)
    assert measure_video(half_moved.final).num_frames == 18
    assert [measure_video(path).num_frames for path in half_moved.older] == [18]


def test_redo_leaves_an_interrupted_render_alone(first, plan, engine, open_job, tmp_path):
    job = open_job(plan, name="v.mp4")
    stop_after(job, engine, 3)
    first.rename(job.path)
    redo_chunks(open_stored(job.path), plan, ChunkRange.parse("2"), engine, **GIVEN)
    assert open_job(plan, name="v.mp4").num_done == 12
