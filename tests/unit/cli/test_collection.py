"""No garbage is collected during a start, and all of it afterwards."""

import gc

import pytest

from flashtalk_core.cli.collection import uncollected

pytestmark = pytest.mark.cpu


@pytest.fixture
def thawed():
    gc.unfreeze()
    yield
    gc.unfreeze()
    gc.enable()


def test_what_is_there_after_a_start_is_not_looked_at_again(thawed):
    with uncollected():
        assert not gc.isenabled()
    assert gc.isenabled()
    frozen = gc.get_freeze_count()
    assert frozen > 0
    with uncollected():
        kept = [[] for _ in range(100)]
    assert len(kept) == 100
    assert gc.get_freeze_count() <= frozen  # the second one is no start


def test_it_is_enabled_after_an_error(thawed):
    with pytest.raises(KeyError), uncollected():
        raise KeyError
    assert gc.isenabled()


def test_who_has_disabled_it_keeps_it_so(thawed):
    gc.disable()
    with uncollected():
        pass
    assert not gc.isenabled()
