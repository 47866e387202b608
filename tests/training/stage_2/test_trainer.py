"""Stage 2 on toy networks: who is trained, and that a killed run repeats itself."""

import dataclasses

import pytest
import torch

from flashtalk_core.errors import InvalidInputError
from flashtalk_training.recipe import DistillRecipe
from flashtalk_training.runs.curves import read_curve
from flashtalk_training.runs.states import load_state, save_state
from flashtalk_training.stage_1.movement_codes import CodeLayout, read_codes
from flashtalk_training.stage_2.rollout_plan import RolloutPlan
from flashtalk_training.stage_2.states import STATE, is_distilled
from flashtalk_training.stage_2.trainer import DistillTrainer
from tests.training.toy_networks import NUM_FACES, toy_networks

pytestmark = pytest.mark.training

DEVICE = torch.device("cpu")
RECIPE = DistillRecipe(
    num_steps=5, batch=2, num_faces=NUM_FACES, max_chunks=2, steps=2, student_every=2,
    student_rate=1e-3, critic_rate=1e-3, report_every=1, save_every=2,
)  # fmt: skip


@pytest.fixture(scope="module")
def networks(config, corpus, tmp_path_factory):
    return toy_networks(config, corpus, tmp_path_factory.mktemp("tokens") / "spiece.model")


def make(config, networks, folder, **changes):
    model, vae, bank = networks
    recipe = dataclasses.replace(RECIPE, **changes)
    return DistillTrainer(config, recipe, model.dit, vae, bank, folder, seed=4)


def weights(module):
    return {name: p.detach().clone() for name, p in module.named_parameters()}


def curve(folder):
    return read_curve(folder / "distill.csv")


def test_student_and_critic_train_and_the_teacher_does_not(config, networks, tmp_path):
    trainer = make(config, networks, tmp_path, num_steps=2)
    before = [weights(m) for m in (trainer.teacher, trainer.student, trainer.critic)]
    assert trainer.run(1e9)
    after = [weights(m) for m in (trainer.teacher, trainer.student, trainer.critic)]
    changed = [
        any(not torch.equal(old[name], new[name]) for name in old)
        for old, new in zip(before, after, strict=True)
    ]
    assert changed == [False, True, True]
    assert all(p.grad is None for p in networks[0].parameters())
    # The student is trained in every second step.
    assert ["student_loss" in point for point in curve(tmp_path)] == [False, True]


def test_teacher_and_critic_see_the_codes_that_the_student_began_with(config, networks, tmp_path):
    trainer = make(config, networks, tmp_path, coded_movement=True)
    plan = RolloutPlan(2, 1)
    scene = networks[2].draw(2, 2, 2)
    with torch.no_grad():
        rollout = trainer.roll(scene, plan)
        _, noise, _ = trainer._noised(rollout, plan)
    layout = CodeLayout.of_frames(config.chunk.num_frames, config.chunk.num_motion_frames)
    assert not torch.allclose(noise, rollout.noise, atol=0.1)
    assert torch.allclose(read_codes(noise, layout), read_codes(rollout.noise, layout), atol=1e-5)


def test_rates_fall_in_a_straight_line(config, networks, tmp_path):
    changes = {"student_rate": 8e-4, "critic_rate": 4e-4, "final_rate_share": 0.25}
    trainer = make(config, networks, tmp_path, student_every=1, num_steps=3, **changes)
    step, seen = trainer._train_step, []

    def noted():
        values = step()
        optimizers = (trainer._student_optimizer, trainer._critic_optimizer)
        seen.append([optimizer.param_groups[0]["lr"] for optimizer in optimizers])
        return values

    trainer._train_step = noted
    assert trainer.run(1e9)
    assert seen == [pytest.approx(row) for row in ([8e-4, 4e-4], [5e-4, 2.5e-4], [2e-4, 1e-4])]


def test_the_critic_learns_from_new_latents_alone(config, networks, tmp_path):
    trainer = make(config, networks, tmp_path)
    torch.manual_seed(0)
    plan = RolloutPlan(2, 1)
    scene = networks[2].draw(2, 2, 2)
    with torch.no_grad():
        rollout = trainer.roll(scene, plan)
    losses = []
    for value in (0.0, 100.0):
        data = rollout.data.clone()
        data[:, :, : rollout.motion.shape[2]] = value
        torch.manual_seed(1)
        losses.append(trainer.critic_loss(rollout._replace(data=data), scene, plan).item())
    assert losses[0] == losses[1]


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"lasting_sessions": 2, "fresh_share": 0.0, "anchor_weight": 1.0, "num_steps": 7},
        {"final_rate_share": 0.1, "anchor_weight": 1.0, "anchor_static": True},
        {"coded_movement": True},
        {"mouth_weight": 1.0, "border_weight": 1.0, "head_weight": 1.0, "decoded_batch": 1},
    ],
)
def test_a_killed_run_repeats_the_one_that_was_not(config, networks, tmp_path, changes):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    assert make(config, networks, whole, **changes).run(1e9)
    trainer = make(config, networks, killed, **changes)
    step, calls = trainer._train_step, []

    def fail_in_the_fourth_step():
        calls.append(1)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return step()

    trainer._train_step = fail_in_the_fourth_step
    with pytest.raises(KeyboardInterrupt):
        trainer.run(1e9)
    assert [point["step"] for point in curve(killed)] == [1, 2, 3]
    resumed = make(config, networks, killed, **changes)
    assert resumed.step == 2
    assert resumed.run(1e9)
    assert curve(killed) == curve(whole)
    (one, notes), (other, other_notes) = load_state(whole, STATE), load_state(killed, STATE)
    assert notes == other_notes
    assert one.keys() == other.keys()
    assert all(torch.equal(value, other[name]) for name, value in one.items())


def test_sessions_last_longer_than_one_rollout(config, networks, tmp_path):
    trainer = make(config, networks, tmp_path, num_steps=6, lasting_sessions=2, fresh_share=0.0)
    starts, roll = [], trainer.roll

    def watch(scene, plan, start=None):
        rollout = roll(scene, plan, start)
        starts.append((start, rollout.motion))
        return rollout

    trainer.roll = watch
    assert trainer.run(1e9)
    assert starts[0][0] is None
    aged = [index for index, (start, _) in enumerate(starts) if start is not None]
    assert len(aged) >= 2
    for index in aged:
        # Each goes on from what an earlier step has come to, whichever order they are drawn in.
        before = starts[index - 1][1].half().float()
        assert torch.equal(starts[index][0].sum(dim=0), before.sum(dim=0))


def test_lasting_sessions_need_capacity_and_longer_rollouts(config, networks, tmp_path):
    for changes in ({"lasting_sessions": 1}, {"lasting_sessions": 4, "max_chunks": 1}):
        with pytest.raises(InvalidInputError, match="lasting_sessions"):
            make(config, networks, tmp_path, **changes)


def test_a_state_of_another_recipe_is_refused(config, networks, tmp_path):
    assert make(config, networks, tmp_path, num_steps=2).run(1e9)
    same = dataclasses.replace(RECIPE, num_steps=2, report_every=7)
    assert is_distilled(tmp_path, same)
    # More steps are the same run, gone on with.
    assert not is_distilled(tmp_path, RECIPE)
    assert make(config, networks, tmp_path).step == 2
    for changes in ({"max_chunks": 1}, {"critic_rate": 2e-3}, {"num_steps": 1}):
        other = dataclasses.replace(same, **changes)
        with pytest.raises(InvalidInputError, match="2 steps of another recipe"):
            is_distilled(tmp_path, other)
        with pytest.raises(InvalidInputError, match="2 steps of another recipe"):
            make(config, networks, tmp_path, **{"num_steps": 2, **changes})


def test_a_state_that_names_no_recipe_is_gone_on_with(config, networks, tmp_path):
    assert make(config, networks, tmp_path, num_steps=2).run(1e9)
    tensors, notes = load_state(tmp_path, STATE)
    del notes["recipe"]
    tensors = {name: value for name, value in tensors.items() if not name.startswith("kept.")}
    save_state(tmp_path, STATE, tensors, notes)
    assert make(config, networks, tmp_path, max_chunks=3).step == 2


def test_a_part_ends_at_the_next_save(config, networks, tmp_path):
    assert not make(config, networks, tmp_path).run(0.0)
    assert make(config, networks, tmp_path).step == 2


def test_sessions_do_not_depend_on_the_length_of_rollouts(networks):
    bank = networks[2]
    batches = []
    for num_chunks in (1, 3):
        torch.manual_seed(0)
        batches.append(bank.draw(2, num_chunks, 3))
    short, long = batches
    assert [len(batch.windows) for batch in batches] == [1, 3]
    assert torch.equal(short.windows[0], long.windows[0])
    assert torch.equal(short.conditions.condition, long.conditions.condition)
    # A chunk's audio continues where the frames of the one before end.
    assert not torch.equal(long.windows[0], long.windows[1])
