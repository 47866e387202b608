"""Cells of a drawn image that nothing moves through."""

import pytest
import torch

from flashtalk_training.drawn_faces.faces import render, rest_motion, sample_identity, sample_motion
from flashtalk_training.drawn_faces.static_cells import static_cells

pytestmark = pytest.mark.training

FACES, CELLS = 4, 16


def test_nothing_moves_in_static_cells_and_heads_are_in_none():
    identity = sample_identity(FACES, torch.Generator().manual_seed(6))
    weights = static_cells(identity, (128, 128), CELLS)
    assert weights.shape == (FACES, CELLS, CELLS)
    assert weights.amin() >= 0
    assert weights.amax() <= 1
    assert (weights[:, 0, 0] > 0.9).all()
    assert weights[:, 4:15, 5:11].max() < 1e-3
    # Five minutes of the liveliest movement, every eighth second.
    motion = sample_motion(FACES, 7500, torch.Generator().manual_seed(9), liveliness=2)
    frames = render(identity, motion.frames(slice(0, None, 200)), (128, 128))
    change = (frames - render(identity, rest_motion(FACES), (128, 128))).abs().amax(dim=(1, 2))
    worst = torch.nn.functional.adaptive_max_pool2d(change, (CELLS, CELLS))
    assert worst[weights > 0.9].max() < 0.03
    assert worst[weights < 0.1].mean() > 0.1


def test_faces_do_not_depend_on_their_neighbours():
    identity = sample_identity(20, torch.Generator().manual_seed(6))
    weights = static_cells(identity, (64, 64), 8)
    torch.testing.assert_close(static_cells(identity.pick([17]), (64, 64), 8)[0], weights[17])
