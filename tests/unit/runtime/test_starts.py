"""Starts that fail, and many that do not, leave this process as it was."""

import gc
import json
import os
import resource
import subprocess
from contextlib import ExitStack
from importlib.metadata import version
from pathlib import Path

import pytest

import flashtalk_core
from flashtalk_core.errors import WorkerError
from flashtalk_core.runtime.limits import Limits
from flashtalk_core.runtime.processes import Processes

from .conftest import DEVICES, fleet_processes, injected, limited, own_resources, used_ports

NUM_STARTS = 50


@pytest.mark.ranks
def test_a_launcher_that_cannot_be_started_is_one_error(monkeypatch):
    def fail(*_args, **_settings):
        raise PermissionError(13, "Permission denied")

    gc.collect()  # what tests before this one left
    before = own_resources()
    with monkeypatch.context() as patch:
        patch.setattr(subprocess, "Popen", fail)
        with pytest.raises(WorkerError, match="no process starts: Permission denied"):
            Processes(DEVICES, Limits())
    gc.collect()
    assert own_resources() == before


@pytest.mark.ranks
def test_ranks_that_end_at_once_are_one_error_and_nothing_stays(monkeypatch, tmp_path):
    (tmp_path / "sitecustomize.py").write_text(
        "import sys\nif 'worker' in ''.join(sys.orig_argv[:3]): raise SystemExit(3)\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    before = own_resources()
    with pytest.raises(WorkerError, match=r"cpu \(rank \d\) ended .*while it started; log: "):
        Processes(DEVICES, Limits())
    gc.collect()
    assert own_resources() == before


@pytest.mark.ranks
@pytest.mark.parametrize("lacks", ["place for the log", "files"])
def test_what_a_start_needs_and_lacks_is_one_error(monkeypatch, tmp_path, lacks):
    before = own_resources()
    with monkeypatch.context() as patch, ExitStack() as limits:
        if lacks == "files":
            limits.enter_context(limited(resource.RLIMIT_NOFILE, before[0] + 4))
            says = "Too many open files"
        else:
            patch.setattr("tempfile.tempdir", str(tmp_path / "gone"))
            says = "No such file or directory"
        with pytest.raises(WorkerError, match=f"^devices cpu, cpu: no process starts: {says}$"):
            Processes(DEVICES, Limits())
    gc.collect()
    assert own_resources() == before


@pytest.fixture
def fault(monkeypatch, tmp_path):
    """Request an error in rank 1 while it starts; its log stays."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    file = tmp_path / "fault.json"
    for name, value in injected(file).items():
        monkeypatch.setenv(name, value)

    def request(error, message=""):
        fault = {"error": error, "message": message, "ranks": [1], "at": "start"}
        file.write_text(json.dumps(fault))

    return request


@pytest.mark.ranks
def test_an_error_at_the_start_is_said_though_the_disk_has_no_room_for_the_log(
    fault, monkeypatch, tmp_path
):
    log = tmp_path / "log"
    log.symlink_to("/dev/full")
    given = os.open(log, os.O_WRONLY), str(log)
    monkeypatch.setattr("flashtalk_core.runtime.launched.mkstemp", lambda **_names: given)
    fault("ConnectionError", "no address for gloo")
    with pytest.raises(WorkerError) as caught:
        Processes(DEVICES, Limits())
    assert str(caught.value) == (
        "cpu (rank 1): ConnectionError while it started: no address for gloo; all its processes "
        f"were ended; log: {log}"
    )


@pytest.mark.ranks
def test_ranks_of_different_versions_are_refused_and_both_are_named(fault):
    fault("be_another_version")
    with pytest.raises(WorkerError) as caught:
        Processes(DEVICES, Limits())
    ours = f"flashtalk {flashtalk_core.__version__}, torch"
    assert str(caught.value) == (
        f"cpu (rank 0) runs {ours} {version('torch')} and cpu (rank 1) runs {ours} 9.0; they "
        "need the same, of one installation"
    )


@pytest.mark.ranks
def test_a_rank_that_does_not_come_to_meet_the_others_is_named(fault):
    """Other threads of it run; the others wait, and name nobody themselves."""
    fault("block_without_lock")
    with pytest.raises(WorkerError, match=r"^cpu \(rank 1\): no progress for 20 s ") as caught:
        Processes(DEVICES, Limits(start_s=20))
    log = Path(str(caught.value).rpartition("log: ")[2])
    assert "in block_without_lock" in log.read_text()


@pytest.mark.manual
def test_fifty_starts_and_ends_leave_nothing():
    before = own_resources()
    ports = set()
    for _ in range(NUM_STARTS):
        processes = Processes(DEVICES, Limits())
        pids = fleet_processes(os.getpid())
        assert len(pids) == 3
        ports |= used_ports(pids)
        processes.close()
    assert len(ports) >= 2
    del processes
    gc.collect()
    assert own_resources() == before
    assert not ports & used_ports()
