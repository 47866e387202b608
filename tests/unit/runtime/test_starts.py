"""Starts that fail, and many that do not, leave this process as it was."""

import gc
import os
import subprocess

import pytest

from flashtalk_core.errors import WorkerError
from flashtalk_core.runtime.limits import Limits
from flashtalk_core.runtime.processes import Processes

from .conftest import DEVICES, fleet_processes, own_resources

NUM_STARTS = 50


@pytest.mark.ranks
def test_a_launcher_that_cannot_be_started_is_one_error(monkeypatch):
    def fail(*_args, **_settings):
        raise PermissionError(13, "Permission denied")

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


@pytest.mark.manual
def test_fifty_starts_and_ends_leave_nothing():
    before = own_resources()
    for _ in range(NUM_STARTS):
        processes = Processes(DEVICES, Limits())
        assert len(fleet_processes(os.getpid())) == 3
        processes.close()
    del processes
    gc.collect()
    assert own_resources() == before
