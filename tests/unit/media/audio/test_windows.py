import pytest
import torch

from flashtalk_core.media.audio.windows import window_features

pytestmark = pytest.mark.cpu

FEATURES = torch.arange(10.0).reshape(10, 1, 1)


def frames(start, stop, radius=2):
    return window_features(FEATURES, start, stop, radius)[:, :, 0, 0].int().tolist()


def test_windows_reach_to_both_sides():
    assert frames(4, 6)[0] == [2, 3, 4, 5, 5]


def test_start_of_the_features_repeats():
    assert frames(0, 10)[0] == [0, 0, 0, 1, 2]


def test_windows_do_not_reach_beyond_the_stop():
    assert frames(4, 7)[-1] == [4, 5, 6, 6, 6]


def test_the_radius_sets_the_width_of_windows():
    assert frames(3, 4, radius=0) == [[3]]


def test_span_outside_the_features_is_refused():
    with pytest.raises(AssertionError):
        window_features(FEATURES, 4, 11)
