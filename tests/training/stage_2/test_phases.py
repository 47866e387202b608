"""Judging a step by where it ends: what is noised, and what the critic learns of it."""

import pytest
import torch

from flashtalk_core.errors import InvalidInputError
from flashtalk_training.losses import noisy_latent
from flashtalk_training.recipe import DistillRecipe
from flashtalk_training.stage_1.movement_codes import CodeLayout, read_codes
from flashtalk_training.stage_2.phases import Phase
from flashtalk_training.stage_2.rollout_plan import RolloutPlan
from flashtalk_training.stage_2.trainer import DistillTrainer
from tests.training.toy_networks import NUM_FACES, toy_networks

pytestmark = pytest.mark.training

SHAPE = (400_000, 1, 1, 1, 1)


def draw(*seeds):
    return [torch.randn(SHAPE, generator=torch.Generator().manual_seed(seed)) for seed in seeds]


@pytest.mark.parametrize(("start", "level"), [(0.9375, 0.96), (0.625, 0.8), (0.0, 0.4)])
def test_what_has_the_distribution_of_noised_data_has_it_further_on(start, level):
    first, second = draw(1, 2)
    data = 0.5 + 0.2 * draw(3)[0]
    levels = torch.full(SHAPE[:1], level)
    reached = noisy_latent(data, first, torch.full(SHAPE[:1], start))
    noisy = Phase(start, levels).noised(reached, second)
    assert float(noisy.mean()) == pytest.approx((1 - level) * 0.5, abs=0.01)
    expected = ((1 - level) ** 2 * 0.2**2 + level**2) ** 0.5
    assert float(noisy.std()) == pytest.approx(expected, rel=0.01)


@pytest.mark.parametrize(("start", "level"), [(0.9375, 0.96), (0.625, 0.8), (0.0, 0.4)])
def test_the_critic_that_learns_it_best_has_the_velocity_of_noised_data(start, level):
    """For normal data the best velocity is a line in the noisy latent, known in closed form."""
    first, second = draw(1, 2)
    mean, deviation = 0.5, 0.2
    data = mean + deviation * draw(3)[0]
    levels = torch.full(SHAPE[:1], level)
    reached = noisy_latent(data, first, torch.full(SHAPE[:1], start))
    phase = Phase(start, levels)
    noisy = phase.noised(reached, second)
    clean, noise, weights = phase.target(reached, second)
    assert weights.unique().numel() == 1
    points = torch.stack([noisy.flatten(), torch.ones(SHAPE[0])], dim=1).double()
    line = torch.linalg.lstsq(points, (noise - clean).flatten()[:, None].double()).solution
    variance = (1 - level) ** 2 * deviation**2 + level**2
    slope = (level - (1 - level) * deviation**2) / variance
    offset = -mean - slope * (1 - level) * mean
    for x in (-1.0, 0.0, 1.0):
        found = float(line[0] * x + line[1])
        assert found == pytest.approx(slope * x + offset, abs=0.12)


def test_the_last_phase_is_the_flow_matching_of_data():
    data, noise = (value[:8] for value in draw(1, 2))
    levels = torch.linspace(0.05, 0.95, 8)
    phase = Phase(0.0, levels)
    assert torch.allclose(phase.noised(data, noise), noisy_latent(data, noise, levels), atol=1e-6)
    clean, target, weights = phase.target(data, noise)
    assert torch.equal(clean, data)
    assert torch.allclose(target, noise, atol=1e-5)
    assert torch.allclose(weights, torch.ones_like(weights), atol=1e-5)


def test_levels_that_add_nothing_stay_finite():
    data, noise = (value[:2] for value in draw(1, 2))
    phase = Phase(0.9, torch.tensor([0.9, 0.900001]))
    for value in (phase.noised(data, noise), phase.codes_share(), *phase.target(data, noise)):
        assert value.isfinite().all()


@pytest.fixture(scope="module")
def networks(config, corpus, tmp_path_factory):
    return toy_networks(config, corpus, tmp_path_factory.mktemp("tokens") / "spiece.model")


def make(config, networks, folder, **changes):
    settings = {
        "num_steps": 4, "batch": 2, "num_faces": NUM_FACES, "max_chunks": 2, "steps": 3,
        "student_every": 2, "student_rate": 1e-3, "critic_rate": 1e-3, "report_every": 1,
        "save_every": 2, "phased": True,
    }  # fmt: skip
    model, vae, bank = networks
    recipe = DistillRecipe(**{**settings, **changes})
    return DistillTrainer(config, recipe, model.dit, vae, bank, folder, seed=4)


def test_a_student_trains_in_phases(config, networks, tmp_path):
    trainer = make(config, networks, tmp_path, noised_teacher_motion=True)
    before = [n.head.head.weight.detach().clone() for n in (trainer.student, trainer.critic)]
    assert trainer.run(1e9)
    after = [n.head.head.weight for n in (trainer.student, trainer.critic)]
    assert not any(torch.equal(a, b) for a, b in zip(before, after, strict=True))
    assert all(weight.isfinite().all() for weight in after)


def test_in_the_last_phase_nothing_differs(config, networks, tmp_path):
    plan, losses = RolloutPlan(2, 2), []
    scene = networks[2].draw(2, 2, 2)
    for phased in (False, True):
        trainer = make(config, networks, tmp_path / str(phased), phased=phased)
        torch.manual_seed(0)
        rollout = trainer.roll(scene, plan)
        found = (
            trainer.student_loss(rollout, scene, plan),
            trainer.critic_loss(rollout, scene, plan),
        )
        losses.append([loss.item() for loss in found])
    assert losses[0] == pytest.approx(losses[1], rel=1e-3)


def test_what_is_noised_further_keeps_the_codes_that_the_student_began_with(
    config, networks, tmp_path
):
    trainer = make(config, networks, tmp_path, coded_movement=True)
    scene, layout = networks[2].draw(2, 1, 1), CodeLayout(3, 2)
    with torch.no_grad():
        for step in range(3):
            plan = RolloutPlan(1, step)
            rollout = trainer.roll(scene, plan)
            start, began = trainer._roller.levels[step + 1], read_codes(rollout.noise, layout)
            # If its data has no codes, what a student reaches has s of those of the noise.
            rollout = rollout._replace(reached=start * rollout.noise)
            noisy, _, level = trainer._noised(rollout, plan)
            assert torch.allclose(read_codes(noisy, layout), level[:, None] * began, atol=1e-4)


def test_phases_need_eulers_rule():
    with pytest.raises(InvalidInputError, match="phased with rule 'renoise'"):
        DistillRecipe(phased=True, rule="renoise")
