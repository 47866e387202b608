"""Faults of ranks, of their memory and of the process that renders, each in a real render."""

import os
import re
import resource
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from flashtalk_core.errors import NoMemoryError, OverflowedError, WorkerError
from flashtalk_core.runtime.messages import Release

from .conftest import Seen, fail, fleet_processes, limited, rank_pid, render, wait_until_gone


@pytest.mark.ranks
def test_memory_for_frames_that_is_missing_is_said_before_weights_are_read(
    running_fleet, plan, expected
):
    fleet = running_fleet
    fleet.release()
    pids = fleet_processes(os.getpid())
    seen = Seen()
    with limited(resource.RLIMIT_FSIZE, 1 << 16):
        said = fail(fleet, plan, seen, NoMemoryError)
    assert re.match(r"shared memory of [0-9.]+ kB for frames: File too large; free some", said)
    assert not seen.loaded
    assert torch.equal(render(plan, fleet), expected)
    assert fleet_processes(os.getpid()) == pids


@pytest.mark.ranks
def test_what_is_no_number_on_one_rank_is_one_error_of_all(
    running_fleet, plan, fault, fault_file, expected
):
    """Every rank gets all tokens, so that all see it, and the exchanges match."""
    fleet = running_fleet
    pids = fleet_processes(os.getpid())
    fault("poison", ranks=[1], at=(1, 1))
    said = fail(fleet, plan, Seen(), OverflowedError)
    assert said.startswith("chunk 1: the model's output is NaN or infinite; use another dtype")
    fault_file.unlink()
    assert torch.equal(render(plan, fleet), expected)
    assert fleet_processes(os.getpid()) == pids


@pytest.mark.ranks
def test_an_interrupt_while_kernels_are_built_waits_as_long_as_that_may_take(
    running_fleet, plan, fault, expected, monkeypatch
):
    """They are built in the first chunk, in a step that takes longer than others may."""
    fleet = running_fleet
    monkeypatch.setattr(fleet, "_limits", replace(fleet._limits, step_s=3))
    monkeypatch.setattr(fleet._processes, "_limits", fleet._limits)
    pids = fleet_processes(os.getpid())
    fault("pause", at=(1, 1))

    def stop():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        render(plan, fleet, Seen(1, stop).events)
    assert fleet_processes(os.getpid()) == pids


@pytest.mark.ranks
def test_a_process_that_does_not_read_is_said_to_stand_still_not_to_have_ended(running_fleet):
    fleet = running_fleet
    workers, pids = fleet._processes, fleet_processes(os.getpid())
    blobs = [bytes(1 << 24)]
    os.kill(rank_pid(fleet, 1), signal.SIGSTOP)
    workers._launched.ranks[1]._socket.settimeout(1)
    with pytest.raises(WorkerError, match=r"^cpu \(rank 1\): no progress for 120 s .*; log: "):
        list(workers.run(lambda n: Release(command=n, networks=False, session=None), blobs))
    wait_until_gone(pids)


STOP_AND_GO = "import os, time; os.kill({0}, {1}); time.sleep(7); os.kill({0}, {2})"


@pytest.mark.manual
def test_a_pause_of_the_process_that_renders_is_no_fault(
    running_fleet, plan, expected, monkeypatch
):
    """Longer than ranks may be silent, and than a step may take: as a debugger stops it."""
    fleet = running_fleet
    monkeypatch.setattr(fleet, "_limits", replace(fleet._limits, step_s=4))
    pids, helpers = fleet_processes(os.getpid()), []

    def pause():
        numbers = os.getpid(), int(signal.SIGSTOP), int(signal.SIGCONT)
        helpers.append(subprocess.Popen([sys.executable, "-c", STOP_AND_GO.format(*numbers)]))

    seen = Seen(2, pause)
    try:
        assert torch.equal(render(plan, fleet, seen.events), expected)
    finally:
        assert [each.wait(20) for each in helpers] == [0]
    assert fleet_processes(os.getpid()) == pids


@pytest.mark.ranks
def test_memory_that_runs_out_on_one_rank_names_it_and_ends_all(
    running_fleet, plan, fault, expected
):
    """The others are in exchanges that it does not take part in."""
    fleet = running_fleet
    pids = fleet_processes(os.getpid())
    fault("OutOfMemoryError", "CUDA out of memory. Tried to allocate 2 GiB")
    said = fail(fleet, plan, Seen(), NoMemoryError)
    assert said.startswith("cpu (rank 1): out of memory in step 2 of chunk 2 (CUDA out of memory.")
    assert "; all its processes were ended; decode fewer latents at once, use float8" in said
    wait_until_gone(pids)


@pytest.mark.manual
@pytest.mark.parametrize("how", ["block_with_lock", "block_without_lock"])
def test_native_code_that_does_not_return_is_named_and_shown_after_the_limit(
    fleet, plan, fault, monkeypatch, how
):
    """With Python's lock not even the thread runs that beats; without it, all other threads do."""
    monkeypatch.setattr(fleet, "_limits", replace(fleet._limits, step_s=4))
    fault(how)
    seen = Seen(1, lambda: pids.extend(fleet_processes(os.getpid())))
    pids = []
    said = fail(fleet, plan, seen)
    assert re.match(r"cpu \(rank 1\): no progress for 4 s in step 2 of chunk 2; all proc", said)
    log = Path(said.rpartition("log: ")[2]).read_text()
    assert f"in {how}" in log
    assert log.count("Current thread") + log.count("Thread 0x") >= 2
    assert len(pids) == 3
    wait_until_gone(pids)
