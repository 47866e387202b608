"""Two processes draw what one does, and every fault ends in one error and a fleet that goes on."""

import gc
import logging
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from flashtalk_core.engine.events import NO_EVENTS, EventHandlers
from flashtalk_core.engine.session import run_session
from flashtalk_core.errors import NoMemoryError, OverflowedError, WorkerError
from flashtalk_core.media.audio.probe import AnalysisStream

from .conftest import (
    GONE_S,
    Seen,
    fail,
    fleet_processes,
    own_resources,
    rank_pid,
    render,
    running,
    wait_until_gone,
)

pytestmark = pytest.mark.ranks

HERE = Path(__file__).parent


def test_two_processes_draw_what_one_does(fleet, plan, by_one, drawn):
    frames, seen = drawn
    difference = (frames.int() - by_one.int()).abs()
    assert difference.max() <= 1  # sums in another order, rounded to whole levels
    assert difference.float().mean() < 0.01
    kinds = [kind.__name__ for kind in dict.fromkeys(seen.loaded)]
    assert kinds == ["TextEncoder", "ClipVision", "VideoVAE", "AvatarDiT", "AudioEncoder"]
    assert (seen.steps, [state.chunk_index for state in seen.states]) == (4, [1, 2])
    assert seen.stages.count("to host") == 2
    assert fleet._processes.ready.keys() == {0, 1}


def test_a_render_is_stopped_within_a_step_and_the_next_reads_no_weights(fleet, plan, expected):
    def stop():
        raise KeyboardInterrupt("stopped on request")

    stopped = Seen(4, stop)
    with pytest.raises(KeyboardInterrupt, match="stopped on request"):
        render(plan, fleet, stopped.events)
    assert stopped.steps == 4
    again = Seen()
    assert torch.equal(render(plan, fleet, again.events), expected)
    assert not again.loaded


def test_a_session_continues_from_any_state(fleet, plan, expected):
    def draw(state, events=NO_EVENTS):
        with (
            AnalysisStream(plan.audio, plan.chunk.sample_rate_hz) as samples,
            fleet.open(plan, samples, events) as source,
        ):
            if state is not None:
                with pytest.raises(WorkerError, match="another render runs on them"):
                    render(plan, fleet)
            return torch.cat(list(run_session(source, 7, state, events)))

    states = []
    draw(None, EventHandlers(state=states.append))
    rest = draw(states[0])
    assert torch.equal(rest, expected[4:7])


def test_a_user_gets_an_error_of_all_ranks_once_as_from_one_process(fleet, plan, fault):
    fault("OverflowedError", "chunk 2: NaN", ranks=[0, 1])
    assert fail(fleet, plan, Seen(), OverflowedError) == "chunk 2: NaN"
    assert fleet.is_running


def test_memory_that_runs_out_is_freed_on_all_ranks(fleet, plan, fault, expected):
    fault("OutOfMemoryError", "CUDA out of memory. Tried to allocate 2 GiB", ranks=[0, 1])
    said = fail(fleet, plan, Seen(), NoMemoryError)
    assert said.startswith("cpu (rank 0): out of memory in step 2 of chunk 2 (CUDA out of memory.")
    fault("OutOfMemoryError", "never", ranks=[])
    pids = [rank_pid(fleet, rank) for rank in range(2)]
    seen = Seen()
    assert torch.equal(render(plan, fleet, seen.events), expected)
    assert {kind.__name__ for kind in seen.loaded} >= {"VideoVAE", "AvatarDiT"}
    assert pids == [rank_pid(fleet, rank) for rank in range(2)]


def test_an_idle_fleet_frees_its_weights_and_reads_them_again(fleet, plan, expected, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(fleet._idle, "_limits", replace(fleet._limits, idle_release_s=0.1))
        render(plan, fleet)
        end_s = time.monotonic() + GONE_S
        while fleet._idle._timers[0].is_alive() and time.monotonic() < end_s:
            time.sleep(0.05)
    seen = Seen()
    assert torch.equal(render(plan, fleet, seen.events), expected)
    assert {kind.__name__ for kind in seen.loaded} >= {"VideoVAE", "AvatarDiT"}


PARENT = """
import os, sys, time
sys.path.insert(0, {root!r})
from tests.unit.runtime.conftest import make_plan, render
from flashtalk_core.runtime.fleet import Fleet
fleet = Fleet(("cpu", "cpu"))
frames = render(make_plan(), fleet)
print(int(frames.long().sum()), fleet._processes.log, flush=True)
os.fork() or time.sleep(600)  # a child that holds all of its parent's files
time.sleep(600)
"""


def test_two_fleets_run_at_once_and_one_ends_with_its_parent(fleet, plan, expected):
    root = str(HERE.parents[2])
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT.format(root=root)], stdout=subprocess.PIPE, text=True
    )
    assert torch.equal(render(plan, fleet), expected)
    assert parent.stdout is not None
    total, log = parent.stdout.readline().split()
    assert int(total) == int(expected.long().sum())
    pids = fleet_processes(parent.pid)
    assert len(pids) == 3
    children = [pid for pid in running(fleet_children(parent.pid)) if pid not in pids]
    parent.kill()
    try:
        wait_until_gone(pids)
    finally:
        for pid in children:
            os.kill(pid, signal.SIGKILL)
    parent.wait()
    parent.stdout.close()
    assert not Path(log).exists()
    assert torch.equal(render(plan, fleet), expected)  # the other one is not concerned


def fleet_children(parent):
    from .conftest import processes

    return {pid for pid, (above, _, _) in processes().items() if above == parent}


def test_a_bug_in_one_rank_is_one_error_and_the_next_render_starts_new_ones(
    running_fleet, plan, fault
):
    fleet = running_fleet
    pids = fleet_processes(os.getpid())
    fault("ZeroDivisionError", "division", ranks=[1])
    said = fail(fleet, plan, Seen())
    assert said.startswith(
        "cpu (rank 1): ZeroDivisionError in step 2 of chunk 2: division; all its processes were "
        "ended; log: "
    )
    log = Path(said.rpartition("log: ")[2]).read_text()
    assert "Traceback (most recent call last)" in log
    wait_until_gone(pids)


@pytest.mark.parametrize(
    ("at", "rank", "when"),
    [
        (4, 1, r"(in step [12] of|while) chunk 2( was decoded)?"),
        ("step 2", 0, r"(in step 2 of|while) chunk 2( was decoded)?"),
    ],
    ids=["in a step", "while decoding"],
)
def test_a_rank_that_is_killed_is_named_and_the_next_render_starts_new_ones(
    running_fleet, plan, expected, at, rank, when
):
    fleet = running_fleet
    pids = fleet_processes(os.getpid())
    assert len(pids) == 3
    seen = Seen(at, lambda: os.kill(rank_pid(fleet, rank), signal.SIGKILL))
    start_s = time.monotonic()
    said = fail(fleet, plan, seen)
    assert time.monotonic() - start_s < 30
    assert re.fullmatch(rf"cpu \(rank {rank}\) was killed \(signal 9\) {when}; log: .*", said)
    wait_until_gone(pids)
    assert torch.equal(render(plan, fleet), expected)


def test_a_rank_that_was_killed_while_idle_is_replaced_at_the_next_render(
    running_fleet, plan, expected, caplog
):
    fleet = running_fleet
    os.kill(rank_pid(fleet, 1), signal.SIGKILL)
    with caplog.at_level(logging.WARNING, "flashtalk_core"):
        assert torch.equal(render(plan, fleet), expected)
    assert "cpu (rank 1) was killed (signal 9) while it was idle" in caplog.text


def test_a_rank_that_does_not_go_on_is_named_after_the_limit(running_fleet, plan, monkeypatch):
    fleet = running_fleet
    monkeypatch.setattr(fleet, "_limits", replace(fleet._limits, step_s=4))
    pids = fleet_processes(os.getpid())
    seen = Seen(4, lambda: os.kill(rank_pid(fleet, 1), signal.SIGSTOP))
    said = fail(fleet, plan, seen)
    assert re.match(r"cpu \(rank 1\): no progress for 4 s (in step|while|at the start)", said)
    log = Path(said.rpartition("log: ")[2]).read_text()
    assert "Current thread" in log  # where rank 0 was
    wait_until_gone(pids)


def test_ranks_end_with_their_launcher(running_fleet, plan):
    fleet = running_fleet
    pids = fleet_processes(os.getpid())
    launcher = fleet._processes._launched.pid
    said = fail(fleet, plan, Seen(4, lambda: os.kill(launcher, signal.SIGKILL)))
    assert said.startswith(
        "devices cpu, cpu: the launcher of their processes was killed (signal 9); log: "
    )
    wait_until_gone(pids)


def test_nothing_is_left_after_so_many_ends(before, fleet):
    fleet.close()
    gc.collect()
    assert own_resources() == before
