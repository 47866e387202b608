"""The recorded numbers come out of several ranks as they do of one device."""

from pathlib import Path

import pytest
import torch

from tests.parity.several_ranks import compare_on_rank
from tests.unit.parallel.thread_ranks import run_ranks

pytestmark = pytest.mark.ranks

GOLDEN = Path(__file__).parents[1] / "golden"


@pytest.mark.parametrize("num_ranks", [2, 3])
def test_ranks_reproduce_the_recorded_numbers(num_ranks):
    device, dtype = torch.device("cpu"), torch.float32
    found = run_ranks(num_ranks, lambda world: compare_on_rank(GOLDEN, world, device, dtype))
    assert len(found) == num_ranks
    for results in found:
        assert len(results) == 12
        assert not {name: pair for name, pair in results.items() if not pair[0] <= pair[1]}
