"""Jobs of the tiny model at 32 x 32 pixels, of 18 frames in 5 chunks."""

import pytest

from flashtalk_core.config.chunk import ChunkConfig
from flashtalk_core.engine.build import LocalEngine
from flashtalk_core.engine.spec import RenderSpec, SamplingSpec
from flashtalk_core.jobs.job import Job, JobOptions
from tests.unit.engine.conftest import checkpoint, make_plan, networks  # noqa: F401

CHUNK = ChunkConfig(num_frames=9, num_motion_frames=5)


@pytest.fixture
def plan(make_plan):  # noqa: F811
    return make_plan(chunk=CHUNK, seconds=0.72)


@pytest.fixture
def engine(networks):  # noqa: F811
    return LocalEngine(networks)


@pytest.fixture
def open_job(tmp_path):
    """Open a job of a plan, under one name."""

    def make(plan, seed=9999, name="a.mp4", metadata=None, **options):
        spec = RenderSpec(sampling=SamplingSpec(seed=seed))
        return Job(
            plan, spec, tmp_path / name, JobOptions(crf=30, metadata=metadata or {}, **options)
        )

    return make
