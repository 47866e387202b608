"""The interrupted renders of a folder are listed, removed and bounded."""

import os
from dataclasses import replace

import pytest

from flashtalk_core.errors import OutputError
from flashtalk_core.files.output_lock import lock_output
from flashtalk_core.files.output_path import OutputPath
from flashtalk_core.jobs.folder import (
    MAX_JOBS,
    find_interrupted,
    find_job,
    limit_jobs,
    list_jobs,
    remove_job,
)  # fmt: skip
from tests.unit.jobs.test_job import stop_after
from tests.unit.jobs.test_record import RECORD

pytestmark = pytest.mark.cpu


@pytest.fixture
def outputs(tmp_path):
    """Three interrupted renders, the first one the oldest."""
    found = [OutputPath(tmp_path / f"{name}.mp4") for name in ("b", "a", "c")]
    for age, output in zip((30, 20, 10), found, strict=True):
        RECORD.write(output.state)
        output.partial.write_bytes(b"video")
        os.utime(output.state, (1_000_000_000 - age,) * 2)
    return found


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_jobs_are_listed_by_name(outputs, tmp_path):
    outputs[1].state.write_bytes(b"damaged")
    jobs = list_jobs(tmp_path)
    assert [job.output.final.name for job in jobs] == ["a.mp4", "b.mp4", "c.mp4"]
    assert jobs[0].record is None
    assert "damaged" in jobs[0].problem
    assert jobs[1].record.num_frames == 84
    assert jobs[1].num_bytes == outputs[0].state.stat().st_size + 5
    assert find_job(OutputPath(tmp_path / "d.mp4")) is None


def test_the_newest_of_interrupted_renders_is_found_by_any_of_its_keys(outputs, tmp_path):
    replace(RECORD, saved_s=RECORD.saved_s + 1).write(outputs[2].state)
    assert find_interrupted(tmp_path, ("new", RECORD.key)) == outputs[2]
    assert find_interrupted(tmp_path, ("new",)) is None
    with lock_output(outputs[2].final, outputs[2].lock):  # it runs
        assert find_interrupted(tmp_path, (RECORD.key,)) == outputs[1]


def test_a_job_is_removed_with_its_video(outputs, tmp_path):
    remove_job(find_job(outputs[0]))
    assert names(tmp_path) == [
        "a.partial.mp4", "a.partial.state", "c.partial.mp4", "c.partial.state",
    ]  # fmt: skip


def test_a_job_that_runs_is_not_removed(outputs, tmp_path):
    before = names(tmp_path)
    job = find_job(outputs[0])
    with (
        lock_output(job.output.final, job.output.lock),
        pytest.raises(OutputError, match="another render is writing it"),
    ):
        remove_job(job)
    assert names(tmp_path) == before


@pytest.mark.parametrize(
    ("limits", "left", "said"),
    [
        ((3, 10**9), "abc", ""),
        ((2, 10**9), "ac", "2 are kept"),
        ((1, 10**9), "c", "1 are kept"),
        ((3, 70_000), "ac", "70.0 kB is kept"),
        ((3, 9), "c", "0.0 kB is kept"),
    ],
)
def test_the_oldest_states_go_beyond_the_limits_and_no_video(
    outputs, tmp_path, limits, left, said, caplog
):
    limit_jobs(outputs[2].state, *limits)
    found = names(tmp_path)
    assert [name[0] for name in found if name.endswith(".state")] == list(left)
    assert [name[0] for name in found if name.endswith(".mp4")] == list("abc")
    assert caplog.text.count("removed") == 3 - len(left)
    assert said in caplog.text
    assert all(output.partial.is_file() for output in outputs)


def test_the_state_that_asks_and_those_of_running_renders_stay(outputs, tmp_path):
    oldest, running, _ = outputs
    with lock_output(running.final, running.lock):
        limit_jobs(oldest.state, 1)
    assert [name for name in names(tmp_path) if name.endswith(".state")] == [
        "a.partial.state", "b.partial.state",
    ]  # fmt: skip


def test_the_oldest_of_too_many_renders_goes_on(plan, engine, open_job, tmp_path):
    stop_after(open_job(plan), engine, 2)
    os.utime(open_job(plan).writer.output.state, (1_000_000_000,) * 2)
    for number in range(MAX_JOBS):
        RECORD.write(OutputPath(tmp_path / f"{number}.mp4").state)
    stop_after(open_job(plan), engine, 0)
    job = open_job(plan)
    assert job.num_chunks_done == 2
    assert len(list_jobs(tmp_path)) == MAX_JOBS + 1  # nothing was saved by then
    stop_after(job, engine, 1)
    assert open_job(plan).num_chunks_done == 3
    assert len(list_jobs(tmp_path)) == MAX_JOBS
