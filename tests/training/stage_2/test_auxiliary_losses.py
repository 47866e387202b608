"""What of a chunk is held to the portrait and to the true mouth."""

import dataclasses

import pytest
import torch

from flashtalk_training.recipe import DistillRecipe
from flashtalk_training.stage_2.auxiliary_losses import auxiliary_loss, portrait_loss
from flashtalk_training.stage_2.image_errors import border_error, head_error, mouth_error
from flashtalk_training.stage_2.rollout import Portraits, Roller, Rollout, decode_clip
from tests.training.toy_networks import toy_networks

pytestmark = pytest.mark.training

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


def test_the_portrait_and_motion_latents_add_no_loss():
    data = portraits()
    data[:, :, :MOTION] += 5
    assert loss(data) == 0


def test_movement_among_free_cells_adds_no_loss():
    data = portraits()
    data[:, :, MOTION:, 0, 1] += 3
    data[:, :, MOTION:, 0, 2] -= 3
    assert loss(data) == pytest.approx(0, abs=1e-9)
    # The other anchor holds it.
    assert loss(data, dataclasses.replace(FREE, anchor_static=False)) > 0.1


def test_drift_onto_mouth_cells_costs_as_much_as_drift_away():
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


def test_without_a_mean_only_static_cells_count():
    only = dataclasses.replace(FREE, anchor_inner=0.0)
    data = portraits()
    data[:, :, MOTION:, :, 1:] += 2
    assert loss(data, only) == 0
    # Where all is static there is nothing to take a mean of.
    everywhere = Bank()
    everywhere.static = lambda faces: torch.ones(len(faces), CELLS, CELLS)
    assert portrait_loss(only, everywhere, data, FACES, MOTION).item() == pytest.approx(3.0)


@pytest.fixture(scope="module")
def judged(config, corpus, tmp_path_factory):
    """Return the inputs of the auxiliary losses but the recipe: the second chunk of 3 sessions."""
    _, vae, bank = toy_networks(config, corpus, tmp_path_factory.mktemp("tokens") / "spiece.model")
    torch.manual_seed(0)
    scene = bank.draw(3, 2, 2)
    still = bank.still(scene.conditioning.faces)
    data = still + 0.1 * torch.randn_like(still)
    roller = Roller.around(vae, config, config.sampling)
    return bank, vae, roller, Rollout(data, data[:, :, :2] + 1, data, data), scene, 1


def truth(judged, data=None, **weights):
    bank, vae, roller, rollout, scene, chunk = judged
    rollout = rollout if data is None else rollout._replace(data=data)
    recipe = DistillRecipe(decoded_batch=2, **weights)
    return auxiliary_loss(recipe, bank, vae, roller, rollout, scene, chunk)


WEIGHTS = {"mouth_weight": 2.0, "border_weight": 3.0, "head_weight": 5.0, "anchor_weight": 7.0}


def test_the_recipe_of_the_paper_has_no_auxiliary_losses(judged):
    assert truth(judged) == 0


@pytest.fixture(scope="module")
def errors(judged, config):
    """Return the error of every weight, from what is shown of two sessions."""
    bank, vae, roller, rollout, scene, _ = judged
    latent = torch.cat([rollout.motion, rollout.data[:, :, 2:]], dim=2)[:2]
    past = config.chunk.num_motion_frames
    raw = decode_clip(vae, latent)[:, :, past:]
    faces = scene.conditioning.faces
    portraits = Portraits.encode(vae, bank.images(faces[:2]) * 2 - 1)
    shown = (roller.show(latent, portraits)[:, :, past:].transpose(1, 2) + 1) / 2
    images = bank.images(faces)[:2]
    return {
        "mouth_weight": mouth_error(raw, scene.openings[1][:2, past:]),
        "border_weight": border_error(shown, images),
        "head_weight": head_error(shown, images),
        "anchor_weight": portrait_loss(DistillRecipe(), bank, rollout.data, faces, 2),
    }


@pytest.mark.parametrize("name", WEIGHTS)
def test_each_loss_weight_scales_its_own_error(judged, errors, name):
    weight = WEIGHTS[name]
    assert errors[name] > 0
    assert float(truth(judged, **{name: weight})) == pytest.approx(weight * float(errors[name]))


def test_errors_add_up(judged, errors):
    whole = sum(weight * float(errors[name]) for name, weight in WEIGHTS.items())
    assert float(truth(judged, **WEIGHTS)) == pytest.approx(whole)


def test_images_are_the_portraits_that_were_encoded(judged):
    bank, vae, _, _, scene, _ = judged
    images = bank.images(scene.conditioning.faces)
    assert images.min() >= 0
    assert images.max() <= 1
    encoded = Portraits.encode(vae, images * 2 - 1).first_motion
    torch.testing.assert_close(encoded, scene.portraits.first_motion)


@pytest.mark.parametrize("name", ["mouth_weight", "border_weight", "head_weight"])
def test_only_new_latents_of_decoded_sessions_get_a_gradient(judged, name):
    data = judged[3].data.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(truth(judged, data, **{name: 1.0}), data)
    assert (gradient[0, :, 2:] != 0).any()
    assert (gradient[0, :, :2] == 0).all()
    assert (gradient[1, :, 2:] != 0).any()
    assert (gradient[2] == 0).all()
