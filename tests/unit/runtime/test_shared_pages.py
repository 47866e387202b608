"""Shared pages: progress, tickets, frames, and who does not go on."""

import errno
import mmap
import os
import resource
import time
from pathlib import Path
from threading import Thread

import pytest
import torch

from flashtalk_core.config.chunk import ChunkConfig
from flashtalk_core.engine.state import FrameGroup, SessionState
from flashtalk_core.errors import NoMemoryError
from flashtalk_core.files.room import available_bytes
from flashtalk_core.runtime.limits import Limits, StepClock
from flashtalk_core.runtime.shared.frames import SharedFrames, frame_bytes
from flashtalk_core.runtime.shared.pages import (
    Pages,
    Phase,
    create_pages,
    free_frames,
    reserve_frames,
)
from flashtalk_core.runtime.watch import Watch
from flashtalk_core.runtime.worker.tickets import StoppedError, Tickets

from .conftest import limited

pytestmark = pytest.mark.cpu

CHUNK = ChunkConfig(num_frames=9, num_motion_frames=5)


@pytest.fixture
def file():
    file = create_pages()
    yield file
    os.close(file)


def test_all_mappings_show_the_same(file):
    one, other = Pages(file), Pages(file)
    one.cancelled, one.failed, one.ticket = 3, 4, -(5 << 32)
    assert (other.cancelled, other.failed, other.ticket) == (3, 4, -(5 << 32))
    one.row(1).enter(Phase.STEP, chunk=7, step=2)
    one.row(1).beat()
    found = other.row(1).read()
    assert (found.count > 0, found.heartbeat, found.phase) == (True, 1, Phase.STEP)
    assert str(found) == "in step 2 of chunk 7"
    assert other.row(0).read().count == 0


def test_pages_have_no_name_in_any_folder(file):
    assert str(Path(f"/proc/self/fd/{file}").readlink()).startswith("/memfd:flashtalk")
    assert not list(Path("/dev/shm").glob("*flashtalk*"))


def test_frames_and_motion_frames_are_shared(file):
    reserve_frames(file, frame_bytes(CHUNK, (32, 48)))
    writing, reading = (SharedFrames(Pages(file), CHUNK, (32, 48)) for _ in range(2))
    frames = torch.randint(0, 255, (4, 32, 48, 3), dtype=torch.uint8)
    motion = torch.rand(1, 3, 5, 32, 48)
    writing.write(0, FrameGroup(frames[:1]))
    writing.write(1, FrameGroup(frames[1:], SessionState(1, motion)))
    assert torch.equal(reading.read(0, 4), frames)
    assert torch.equal(reading.read_motion(), motion)
    del writing, reading
    free_frames(file)
    assert os.fstat(file).st_size < 1e5


def test_memory_that_cannot_be_mapped_is_one_error(file):
    pages = Pages(file)
    own_bytes = int(Path("/proc/self/statm").read_text().split()[0]) * mmap.PAGESIZE
    os.truncate(file, 1 << 33)  # takes no memory
    with (
        limited(resource.RLIMIT_AS, own_bytes + (1 << 30)),
        pytest.raises(NoMemoryError, match=r"shared memory of 4\.3 GB for frames: Cann"),
    ):
        pages.map_frames(1 << 32)


def test_a_size_that_the_system_does_not_take_is_one_error(file):
    with (
        limited(resource.RLIMIT_FSIZE, 1 << 16),
        pytest.raises(NoMemoryError, match=r"shared memory of 1\.0 MB for frames: File too large"),
    ):
        reserve_frames(file, 1_000_000)


def test_more_memory_than_there_is_is_not_tried(file, monkeypatch):
    def fail(*_args):
        raise AssertionError("the system would end other programs")

    monkeypatch.setattr(os, "posix_fallocate", fail)
    with pytest.raises(NoMemoryError, match=r"shared memory of 1000000\.0 GB for frames: Cannot"):
        reserve_frames(file, 10**15)


@pytest.mark.parametrize(
    ("limits", "megabytes"),
    [
        ({}, 4000),
        ({"": ("max", 900, 0)}, 4000),
        ({"": (2000, 900, 300)}, 1400),  # a container, whose group's path lies outside
        ({"a": (3000, 1000, 0), "a/b": (2500, 1000, 100)}, 1600),
        ({"a": (1000, 1200, 0), "a/b": ("max", 1000, 0)}, 0),
        ({"a/b": (9000, 1000, 0)}, 4000),
    ],
)
def test_memory_of_a_container_counts_where_it_has_less_than_the_machine(
    tmp_path, limits, megabytes
):
    (tmp_path / "proc" / "self").mkdir(parents=True)
    (tmp_path / "proc" / "meminfo").write_text("MemTotal: 9216000 kB\nMemAvailable: 4096000 kB\n")
    (tmp_path / "proc" / "self" / "cgroup").write_text("1:name=systemd:/x\n0::/a/b\n")
    for group, (limit, used, cached) in limits.items():
        folder = tmp_path / "sys" / "fs" / "cgroup" / group
        folder.mkdir(parents=True, exist_ok=True)
        text = {"memory.max": limit, "memory.current": used}
        for name, value in text.items():
            number = value if value == "max" else value << 20
            (folder / name).write_text(f"{number}\n")
        (folder / "memory.stat").write_text(f"anon 5\ninactive_file {cached << 20}\n")
    assert available_bytes(tmp_path) == megabytes << 20


def test_memory_that_runs_out_is_reported_before_it_is_used(file, monkeypatch):
    def fail(*_args):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "posix_fallocate", fail)
    with pytest.raises(NoMemoryError, match=r"shared memory of 50\.0 MB for frames: No space left"):
        reserve_frames(file, 50_000_000)


class Clock:
    now_s = 0.0

    def __call__(self):
        return self.now_s


def test_the_rank_that_is_furthest_behind_is_found(file):
    pages, clock = Pages(file), Clock()
    watch = Watch(pages, 3, clock)
    pages.row(0).advance()
    pages.row(1).advance()
    for _ in range(21):
        assert watch.find_stuck((), 10.0) is None
        clock.now_s += 0.5
    assert watch.find_stuck((), 10.0) == 2
    assert watch.find_stuck((2,), 10.0) == 0  # an answer is waited for no longer
    pages.row(0).advance()
    pages.row(1).advance()
    assert watch.find_stuck((2,), 10.0) is None


def test_a_stopped_process_is_to_blame_though_it_made_the_last_progress(file):
    pages, clock = Pages(file), Clock()
    watch = Watch(pages, 2, clock)
    for row, count in ((0, 3), (1, 1)):  # rank 0 queued more work for its GPU
        for _ in range(count):
            pages.row(row).advance()
        assert watch.find_stuck((), 10.0) is None
        clock.now_s += 0.4
    found = None
    while found is None:
        pages.row(0).beat()  # its process runs, and waits
        clock.now_s += 0.3
        found = watch.find_stuck((), 10.0)
    assert found == 1


def blamed(pages, num_ranks=2):
    """Return the rank to blame when none goes on."""
    clock = Clock()
    watch = Watch(pages, num_ranks, clock)
    for _ in range(30):
        for rank in range(num_ranks):
            pages.row(rank).beat()
        found = watch.find_stuck((), 10.0)
        clock.now_s += 0.5
    return found


def test_weights_that_only_rank_0_reads_do_not_put_it_ahead(file):
    pages = Pages(file)
    rows = [pages.row(0), pages.row(1)]
    for row in rows:
        row.begin(1)
        row.enter(Phase.LOADING)
        row.enter(Phase.ENCODING)
    rows[1].mark()  # it waits for what rank 0 encodes
    for _ in range(500):
        rows[0].load()
    assert blamed(pages) == 0
    rows[0].mark()
    for count, row in zip((3, 4), rows, strict=True):  # what both read
        for _ in range(count):
            row.load()
    assert blamed(pages) == 0
    rows[1].begin(2)
    assert blamed(pages) == 0
    rows[0].begin(2)
    for row in rows:
        row.enter(Phase.AUDIO, chunk=1)
        row.load()
    rows[1].enter(Phase.STEP, chunk=1, step=1)
    assert blamed(pages) == 0
    rows[0].enter(Phase.STEP, chunk=1, step=1)
    rows[0].enter(Phase.STEP, chunk=1, step=2)
    assert blamed(pages) == 1


def test_nobody_is_to_blame_while_the_rank_that_is_furthest_behind_goes_on(file):
    pages, clock = Pages(file), Clock()
    rows = [pages.row(0), pages.row(1)]
    for row in rows:
        row.begin(1)
        row.enter(Phase.ENCODING)
    rows[1].mark()  # it waits for what rank 0 encodes, in an exchange
    watch = Watch(pages, 2, clock)
    for _ in range(100):
        rows[0].load()
        for row in rows:
            row.beat()
        assert watch.find_stuck((), 10.0) is None
        clock.now_s += 0.5
    clock.now_s += 0.5
    for _ in range(30):
        for row in rows:
            row.beat()
        found = watch.find_stuck((), 10.0)
        clock.now_s += 0.5
    assert found == 0


def test_ranks_that_wait_in_an_exchange_are_ahead_of_the_one_that_does_not_come(file):
    pages = Pages(file)
    rows = [pages.row(0), pages.row(1), pages.row(2)]
    for row in rows:
        row.begin(1)
        row.enter(Phase.DECODE, chunk=1)
    for row, num_halos in zip(rows, (3, 2, 0), strict=True):
        for _ in range(num_halos):
            row.exchange(is_whole=False)
    rows[2].exchange(is_whole=True)  # it has no band, and waits for what both are to join
    assert blamed(pages, 3) == 1
    rows[1].exchange(is_whole=True)
    assert blamed(pages, 3) == 0


def test_time_in_which_this_process_did_not_run_does_not_count(file):
    clock = Clock()
    watch = Watch(Pages(file), 2, clock)
    watch.find_stuck((), 10.0)
    clock.now_s += 1000  # stopped by a debugger
    assert watch.find_stuck((), 10.0) is None


def test_limits_of_a_step_follow_its_usual_time(monkeypatch):
    clock = Clock()
    monkeypatch.setattr("time.monotonic", clock)
    steps = StepClock(Limits())
    assert steps.limit_s == 60
    for step in (0, 1, 2, 0, 1):
        steps.note(is_first=step == 0)
        clock.now_s += 4
    assert steps.limit_s == 80
    assert StepClock(Limits(step_s=2)).limit_s == 2
    with pytest.raises(ValueError, match="limit step 0 s"):
        Limits(step_s=0)


def run_units(file, rank, counts, num_units=50, command=1):
    tickets = Tickets(Pages(file), rank)
    tickets.begin(command)
    try:
        for _ in range(num_units):
            tickets.next_unit()
            counts[rank] += 1
            if rank == 0 and counts[0] == 20:
                tickets._pages.cancelled = command
    except StoppedError:
        counts[rank] += 1000


def in_threads(work, num_ranks=3):
    threads = [Thread(target=work, args=(rank,)) for rank in range(num_ranks)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)


def test_all_ranks_stop_before_the_same_unit(file):
    counts = [0, 0, 0]
    in_threads(lambda rank: run_units(file, rank, counts))
    assert counts == [1020, 1020, 1020]
    counts = [0, 0, 0]
    in_threads(lambda rank: run_units(file, rank, counts, 10, command=2))
    assert counts == [10, 10, 10]


def test_a_failure_of_any_rank_stops_the_others(file):
    for failing in range(3):
        counts, command = [0, 0, 0], failing + 1

        def work(rank, failing=failing, command=command, counts=counts):
            tickets = Tickets(Pages(file), rank)
            tickets.begin(command)
            try:
                while counts[rank] < 10_000:
                    tickets.next_unit()
                    counts[rank] += 1
                    time.sleep(0.001)  # rank 0 waits for no other
                    if rank == failing and counts[rank] == 5:
                        tickets.fail()
                        return
            except StoppedError:
                pass

        in_threads(work)
        assert counts[failing] == 5
        stopped = {count for rank, count in enumerate(counts) if rank != failing}
        assert len(stopped) == 1
        assert 5 <= stopped.pop() < 10_000
