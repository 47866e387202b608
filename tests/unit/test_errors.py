"""Which faults are a user's, and how they can be caught."""

import inspect

import pytest

from flashtalk_core import errors
from flashtalk_core.errors import require

pytestmark = pytest.mark.cpu


def test_every_fault_of_a_user_is_one_kind():
    classes = [c for _, c in inspect.getmembers(errors, inspect.isclass)]
    assert all(issubclass(c, errors.FlashTalkError) for c in classes)
    assert all(c.__doc__ for c in classes)


def test_a_bad_value_is_a_value_error_too():
    with pytest.raises(ValueError, match="steps 0"):
        require(False, "steps 0")


def test_a_good_value_passes():
    require(True, "steps 4")
