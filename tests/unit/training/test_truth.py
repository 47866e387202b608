"""What of a chunk is held to the portrait and to the true mouth."""

import dataclasses

import pytest
import torch

from flashtalk_core.training.recipe import DistillRecipe
from flashtalk_core.training.rollout import Roller, Rollout
from flashtalk_core.training.truth import portrait_loss, truth_loss
from tests.unit.training.toy_networks import toy_networks

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


@pytest.fixture(scope="module")
def judged(config, corpus, tmp_path_factory):
    """Return what a truth loss is taken of, but for the recipe: two sessions of one chunk."""
    _, vae, bank = toy_networks(config, corpus, tmp_path_factory.mktemp("tokens") / "spiece.model")
    torch.manual_seed(0)
    scene = bank.draw(2, 1, 1)
    still = bank.still(scene.told.faces)
    data = still + 0.1 * torch.randn_like(still)
    roller = Roller.around(vae, config, config.sampling)
    return bank, vae, roller, Rollout(data, data[:, :, :2].clone()), scene, 0


def truth(judged, data=None, **weights):
    bank, vae, roller, rollout, scene, chunk = judged
    rollout = rollout if data is None else rollout._replace(data=data)
    recipe = DistillRecipe(decoded_batch=1, **weights)
    return truth_loss(recipe, bank, vae, roller, rollout, scene, chunk)


WEIGHTS = {"mouth_weight": 2.0, "border_weight": 3.0, "head_weight": 5.0, "anchor_weight": 7.0}


def test_a_recipe_of_the_paper_asks_for_no_truth(judged):
    assert truth(judged) == 0


def test_every_weight_counts_its_own_error(judged):
    parts = [float(truth(judged, **{name: weight})) for name, weight in WEIGHTS.items()]
    assert all(part > 0 for part in parts)
    once = [float(truth(judged, **{name: 1.0})) for name in WEIGHTS]
    assert parts == pytest.approx([w * one for w, one in zip(WEIGHTS.values(), once, strict=True)])
    assert float(truth(judged, **WEIGHTS)) == pytest.approx(sum(parts))


@pytest.mark.parametrize("name", ["mouth_weight", "border_weight", "head_weight"])
def test_new_latents_of_decoded_sessions_alone_are_blamed(judged, name):
    data = judged[3].data.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(truth(judged, data, **{name: 1.0}), data)
    assert (gradient[0, :, 2:] != 0).any()
    assert (gradient[0, :, :2] == 0).all()
    assert (gradient[1] == 0).all()
