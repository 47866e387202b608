"""Many starts and ends leave this process as it was."""

import gc
import os

import pytest

from flashtalk_core.runtime.limits import Limits
from flashtalk_core.runtime.processes import Processes

from .conftest import DEVICES, fleet_processes, own_resources

NUM_STARTS = 50


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
