"""Jobs of the tiny model at 32 x 32 pixels, of 18 frames in 5 chunks."""

import shutil
from functools import partial

import pytest

from flashtalk_core.config.chunk import ChunkConfig
from flashtalk_core.engine.build import LocalEngine
from flashtalk_core.engine.events import EventHandlers
from flashtalk_core.engine.spec import RenderSpec, SamplingSpec
from flashtalk_core.jobs.job import Job, JobOptions
from tests.unit.engine.conftest import checkpoint, make_plan, networks  # noqa: F401

CHUNK = ChunkConfig(num_frames=9, num_motion_frames=5)


@pytest.fixture(scope="session")
def plan(make_plan):  # noqa: F811
    return make_plan(chunk=CHUNK, seconds=0.72)


@pytest.fixture(scope="session")
def engine(networks):  # noqa: F811
    return LocalEngine(networks)


def open_job_in(folder, plan, seed=9999, name="a.mp4", metadata=None, **options):
    spec = RenderSpec(sampling=SamplingSpec(seed=seed))
    return Job(plan, spec, folder / name, JobOptions(crf=30, metadata=metadata or {}, **options))


@pytest.fixture
def open_job(tmp_path):
    """Open a job of a plan, under one name."""
    return partial(open_job_in, tmp_path)


@pytest.fixture(scope="session")
def finished(plan, engine, tmp_path_factory):
    """The video of a render that was never interrupted; not to be changed."""
    job = open_job_in(tmp_path_factory.mktemp("finished"), plan)
    job.render(engine)
    return job.path


class Stopped(BaseException):
    pass


def stop_after(job, engine, count):
    """Render until ``count`` groups of frames are written, and a step into the next."""
    seen = []

    def step(_):
        if len(seen) >= count:
            raise Stopped

    with pytest.raises(Stopped):
        job.render(engine, EventHandlers(step=step, frames=seen.append))


@pytest.fixture(scope="session")
def stopped_folder(plan, engine, tmp_path_factory):
    folder = tmp_path_factory.mktemp("stopped")
    stop_after(open_job_in(folder, plan), engine, 3)
    return folder


@pytest.fixture
def stopped(stopped_folder, tmp_path):
    """Let the first 12 of 18 frames be there of a render to ``a.mp4``."""
    shutil.copytree(stopped_folder, tmp_path, dirs_exist_ok=True)
