"""Noise levels."""

import numpy as np
import pytest
import torch

from flashtalk_core.sampling.schedule import noise_levels, shift_timesteps

pytestmark = pytest.mark.cpu


def test_four_steps_are_the_distilled_ones():
    expected = torch.tensor([1.0, 0.9375, 0.8333333, 0.625, 0.0])
    torch.testing.assert_close(noise_levels(4, 5.0), expected, atol=1e-7, rtol=0)


def test_two_steps_are_the_distilled_ones():
    expected = torch.tensor([1.0, 0.8333333, 0.0])
    torch.testing.assert_close(noise_levels(2, 5.0), expected, atol=1e-7, rtol=0)


def test_one_step_goes_from_noise_to_data():
    assert noise_levels(1, 5.0).tolist() == [1.0, 0.0]


@pytest.mark.parametrize("steps", [3, 5, 50, 100])
def test_other_numbers_of_steps_are_evenly_spaced_before_the_shift(steps):
    t = np.linspace(1000, 1, steps, dtype=np.float32).astype(np.float64) / 1000
    expected = torch.tensor([*(5 * t / (1 + 4 * t)), 0.0], dtype=torch.float64)
    levels = noise_levels(steps, 5.0)
    assert levels.dtype == torch.float32
    torch.testing.assert_close(levels.double(), expected, atol=2e-7, rtol=0)
    assert (levels.diff() < 0).all()


def test_a_shift_of_one_changes_nothing():
    t = torch.linspace(0, 1, 7)
    assert torch.equal(shift_timesteps(t, 1.0), t)


def test_the_shift_keeps_both_ends_and_moves_the_middle_towards_noise():
    shifted = shift_timesteps(torch.tensor([0.0, 0.5, 1.0]), 3.0)
    torch.testing.assert_close(shifted, torch.tensor([0.0, 0.75, 1.0]))
