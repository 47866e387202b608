"""Two speakers by regions: who hears what, on one device and on several."""

import pytest
import torch

from flashtalk_core.models.transformer.layout import WHOLE
from flashtalk_core.models.transformer.regions import find_regions, hear_regions
from flashtalk_core.parallel.plane import PlaneLayout

pytestmark = pytest.mark.cpu

GRID = (2, 2, 4)
CPU = torch.device("cpu")


class World:
    """One of two ranks."""

    size, recordable = 2, True

    def __init__(self, rank):
        self.rank = rank


def halves():
    masks = torch.zeros(3, 32, 64)
    masks[0, :, :16], masks[1, :, 48:], masks[2, :, 16:48] = 1, 1, 1
    return masks


def test_each_token_hears_the_audio_of_its_mask():
    regions = find_regions(halves(), GRID, WHOLE, CPU)
    assert [where.tolist() for where in regions.positions] == [[0, 4], [3, 7], [1, 2, 5, 6]]
    keys = torch.arange(6.0)[:, None, None, None]  # of three classes, two latent frames each

    def hear(rows, audio):
        return rows + audio[0].flatten().repeat_interleave(len(rows) // 2)[:, None]

    out = hear_regions(hear, torch.zeros(16, 1), (keys, keys), regions)
    assert out.view(2, 2, 4).tolist() == [[[0, 4, 4, 2]] * 2, [[1, 5, 5, 3]] * 2]


def test_ranks_hold_their_parts_of_the_regions():
    parts = [find_regions(halves(), GRID, PlaneLayout(World(rank)), CPU) for rank in (0, 1)]
    for part in parts:  # each has a row of the grid
        assert [where.tolist() for where in part.positions] == [[0], [3], [1, 2]]
