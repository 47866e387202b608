"""Recorded calls on a real GPU: equal to plain ones, and no draw of random numbers lost."""

import pytest
import torch

from flashtalk_training.runs.capture import Captured

pytestmark = pytest.mark.gpu


def test_a_recorded_call_equals_a_plain_one_for_every_shape():
    layer = torch.nn.Linear(8, 8).cuda()

    def function(x):
        return layer(x).relu() + x

    captured = Captured(function)
    for rows in (3, 5, 3):
        x = torch.randn(rows, 8, device="cuda")
        with torch.no_grad():
            assert torch.allclose(captured(x), function(x))
    # Weights that are trained in place are seen.
    with torch.no_grad():
        layer.weight.mul_(2)
        assert torch.allclose(captured(x), function(x))


def test_capture_draws_no_random_numbers_and_each_replay_draws_new_ones():
    def function(x):
        return x + torch.randn_like(x)

    captured, x = Captured(function), torch.zeros(4, device="cuda")
    torch.manual_seed(0)
    first, second = captured(x), captured(x)
    torch.manual_seed(0)
    assert torch.equal(captured(x), first)
    assert torch.equal(captured(x), second)
    assert not torch.equal(first, second)
