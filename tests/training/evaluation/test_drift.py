"""Long runs: the speech they are given, and what is measured between frames."""

import numpy as np
import pytest
import torch

from flashtalk_training.evaluation.drift import _changes
from flashtalk_training.evaluation.eval_clip import LoopedAudio

pytestmark = pytest.mark.training


@pytest.mark.parametrize("offset", [0, 7, 23])
@pytest.mark.parametrize("span", [(-5, -2), (-5, 3), (0, 4), (8, 35), (-3, 40)])
def test_speech_that_ends_starts_over_and_is_silent_before_its_beginning(offset, span):
    audio = LoopedAudio(np.arange(1, 11, dtype=np.float32), offset)
    places = np.arange(*span)
    assert np.array_equal(
        audio.read(*span), np.where(places < 0, 0, audio.samples[(places + offset) % 10])
    )


def test_a_join_is_compared_with_the_movement_after_it():
    light = torch.tensor([0.0, 0.3, 0.4, 0.3, 0.4])
    frames = light.view(1, -1, 1, 1, 1).expand(2, -1, 3, 4, 4)
    changes = _changes(frames)
    assert changes["movement"].tolist() == pytest.approx([0.1, 0.1])
    assert changes["join_jump"].tolist() == pytest.approx([3.0, 3.0])
