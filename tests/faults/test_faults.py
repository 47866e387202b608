"""Each fault is reported in one line, loses nothing finished, and the same command goes on."""

import pytest

from tests.faults.disk import can_mount
from tests.faults.runner import inject, render_unbroken
from tests.faults.table import FAULTS

pytestmark = pytest.mark.manual


@pytest.fixture(scope="session")
def unbroken(tmp_path_factory):
    return render_unbroken(tmp_path_factory.mktemp("unbroken"))


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_a_fault_loses_nothing_that_is_finished(fault, tmp_path, unbroken):
    if fault.disk and not can_mount():
        pytest.skip("a file system of its own takes root, and mount")
    found = inject(fault, tmp_path / "scene", unbroken)
    assert not found.problems
