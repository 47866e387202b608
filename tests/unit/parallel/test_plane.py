"""Tokens divided by their position in the frame."""

import pytest
import torch

from flashtalk_core.models.transformer.layout import WHOLE
from flashtalk_core.parallel.plane import PlaneLayout
from tests.unit.parallel.thread_ranks import run_ranks

pytestmark = pytest.mark.cpu

GRID = (3, 1, 5)


@pytest.mark.parametrize("world", [1, 2, 3, 5, 7])
def test_each_rank_holds_the_same_positions_of_every_frame(world):
    tokens = torch.arange(15.0).view(1, 15, 1).expand(1, 15, 2)
    rows = torch.stack([tokens[0, :, 0], -(tokens[0, :, 0] ** 2)])

    def work(group):
        layout = PlaneLayout(group)
        own = layout.scatter(tokens, GRID)
        assert own.shape[1] == layout.lengths[group.rank]
        own_rows = layout.scatter(rows[None].transpose(1, 2), GRID)[0].T
        return (
            own[0, :, 0].view(3, -1) if own.numel() else torch.zeros(3, 0),
            layout.gather(own, GRID),
            layout.first_frame(own[:, :, None], 5),
            layout.extremes(own_rows),
        )

    results = run_ranks(world, work)
    assert torch.equal(torch.cat([own for own, *_ in results], dim=1), tokens[0, :, 0].view(3, 5))
    for _, gathered, first, extremes in results:
        assert torch.equal(gathered, tokens)
        assert torch.equal(first, WHOLE.first_frame(tokens[:, :, None], 5))
        assert all(map(torch.equal, extremes, WHOLE.extremes(rows)))
