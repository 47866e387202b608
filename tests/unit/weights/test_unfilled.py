"""Networks are built without values, and just as well."""

import pytest
import torch
from torch import nn

from flashtalk_core.weights.unfilled import unfilled

pytestmark = pytest.mark.cpu


def build():
    network = nn.Sequential(
        nn.Linear(3, 4), nn.Conv2d(3, 4, 1), nn.LayerNorm(4), nn.Embedding(5, 2)
    )
    network.register_buffer("table", torch.tensor([1.0, 2.0], device="cpu"))
    return network


def test_shapes_and_buffers_are_those_of_any_other_building():
    with unfilled():
        found = build()
    expected = build()
    assert {n: p.shape for n, p in found.named_parameters()} == {
        n: p.shape for n, p in expected.named_parameters()
    }
    assert all(parameter.is_meta for parameter in found.parameters())
    assert torch.equal(found.table, expected.table)


def test_values_are_drawn_again_afterwards():
    with unfilled():
        build()
    assert build()[0].weight.abs().max() > 0
