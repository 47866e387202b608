"""Each fault is reported in one line, loses nothing finished, and the same command goes on."""

import pytest

from tests.faults.disk import can_mount
from tests.faults.runner import inject, render_unbroken
from tests.faults.table import FAULTS

SAMPLE = (
    "SIGTERM",
    "SIGSEGV (a crash in a library)",
    "standard output closed",
    "the speech is removed",
    "the state is gone",
    "set back by ten years in mid-run",
)
"""One of most kinds, for every change."""


@pytest.fixture(scope="session")
def unbroken(tmp_path_factory):
    return render_unbroken(tmp_path_factory.mktemp("unbroken"))


@pytest.mark.ranks
@pytest.mark.parametrize("name", SAMPLE)
def test_a_fault_of_a_few_loses_nothing_that_is_finished(name, tmp_path, unbroken):
    (fault,) = [each for each in FAULTS if each.name == name]
    assert not inject(fault, tmp_path / "scene", unbroken).problems


@pytest.mark.manual
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_a_fault_loses_nothing_that_is_finished(fault, tmp_path, unbroken):
    if fault.disk and not can_mount():
        pytest.skip("a file system of its own takes root, and mount")
    found = inject(fault, tmp_path / "scene", unbroken)
    assert not found.problems
