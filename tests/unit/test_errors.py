"""Which errors are a user's, and how they can be caught."""

import inspect
import pickle
from collections.abc import Iterator

import pytest

from flashtalk_core import errors
from flashtalk_core.errors import about, require

pytestmark = pytest.mark.cpu


def test_every_fault_of_a_user_is_one_kind():
    classes = [c for _, c in inspect.getmembers(errors, inspect.isclass) if c is not Iterator]
    assert all(issubclass(c, errors.FlashTalkError) for c in classes)
    assert all(c.__doc__ for c in classes)


def test_a_bad_value_is_a_value_error_too():
    with pytest.raises(ValueError, match="steps 0"):
        require(False, "steps 0")


def test_a_good_value_passes():
    require(True, "steps 4")


def test_the_subject_is_the_innermost_one_that_is_known():
    with pytest.raises(errors.WeightsError) as caught, about("vae"), about("text"):
        raise errors.WeightsError("no such file")
    assert caught.value.subject == "text"
    with pytest.raises(errors.OutputError) as caught, about("vae"):
        raise errors.OutputError("no such folder")
    assert caught.value.subject == "output"


def test_a_subject_that_a_caller_knows_better_is_replaced():
    for subject, found in (("device", "vae_device"), (None, "vae_device"), ("dtype", "dtype")):
        raised = pytest.raises(errors.WeightsError)
        with raised as caught, about("vae_device", instead_of="device"):
            raise errors.WeightsError("no", subject=subject)
        assert caught.value.subject == found


def test_a_subject_survives_the_way_between_processes():
    with pytest.raises(errors.InvalidInputError) as caught:
        require(False, "steps 0", subject="steps")
    copy = pickle.loads(pickle.dumps(caught.value))
    assert (str(copy), copy.subject) == ("steps 0", "steps")
