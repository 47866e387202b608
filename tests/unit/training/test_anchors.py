"""What of a chunk is held to the portrait."""

import dataclasses

import pytest
import torch

from flashtalk_core.training.anchors import portrait_loss
from flashtalk_core.training.recipe import DistillRecipe

pytestmark = pytest.mark.cpu

CELLS, LATENTS, MOTION = 4, 3, 1
FACES = torch.tensor([1, 0])
FREE = DistillRecipe(anchor_weight=1.0, anchor_inner=0.5, anchor_static=True)


class Bank:
    """Two faces with flat portraits; of each, the left column of cells is static."""

    def still(self, faces):
        return faces.float().view(-1, 1, 1, 1, 1).expand(-1, 16, LATENTS, CELLS, CELLS)

    def static(self, faces):
        weights = torch.zeros(len(faces), CELLS, CELLS)
        weights[:, :, 0] = 1
        return weights


def loss(data, recipe=FREE):
    return portrait_loss(recipe, Bank(), data, FACES, MOTION).item()


def portraits():
    return Bank().still(FACES).clone()


def test_the_portrait_itself_and_motion_latents_cost_nothing():
    data = portraits()
    data[:, :, :MOTION] += 5
    assert loss(data) == 0


def test_what_moves_about_the_free_cells_costs_nothing():
    data = portraits()
    data[:, :, MOTION:, 0, 1] += 3
    data[:, :, MOTION:, 0, 2] -= 3
    assert loss(data) == pytest.approx(0, abs=1e-9)
    # The other anchor holds it.
    assert loss(data, dataclasses.replace(FREE, anchor_static=False)) > 0.1


def test_what_goes_where_mouths_are_is_not_told_from_what_goes_away():
    data = portraits()
    data[:, :, MOTION:, 0, 1] += 3
    # Rows 2 and 3 of columns 1 and 2 are the mouth's, which the mean leaves out.
    data[:, :, MOTION:, 2, 1] -= 3
    assert loss(data) == pytest.approx(0.5 * (3 / 8) ** 2)


def test_a_static_cell_and_the_mean_of_the_free_ones_are_held():
    data = portraits()
    data[:, :, MOTION:, 2, 0] += 2
    # One of the four static cells is off by 2.
    assert loss(data) == pytest.approx(2**2 / 4)
    data = portraits()
    data[:, :, MOTION:, :, 1:] += 2
    assert loss(data) == pytest.approx(0.5 * 2**2)
