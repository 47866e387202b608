"""Stage 2 on chunks of several lengths, some of which hear nothing after their end."""

import dataclasses

import pytest
import torch

from flashtalk_core.errors import InvalidInputError
from flashtalk_core.live.chunks import live_chunk
from flashtalk_training.recipe import DistillRecipe, DiTRecipe, TinyRecipe
from flashtalk_training.runs.curves import read_curve
from flashtalk_training.stage_1.movement_codes import CodeLayout, read_codes
from flashtalk_training.stage_2.rollout_plan import RolloutPlan
from flashtalk_training.stage_2.trainer import DistillTrainer
from tests.training.toy_networks import NUM_FACES, toy_networks

pytestmark = pytest.mark.training

LENGTHS = (17, 13, 9)
RECIPE = DistillRecipe(
    num_steps=12, batch=2, num_faces=NUM_FACES, max_chunks=2, steps=2, student_every=1,
    student_rate=1e-3, critic_rate=1e-3, report_every=1, save_every=2, chunk_lengths=LENGTHS,
    live_share=0.5, lasting_sessions=2, anchor_weight=1.0, anchor_static=True, mouth_weight=1.0,
    border_weight=1.0, head_weight=1.0, decoded_batch=1, damaged_motion_share=0.5,
    coded_movement=True,
)  # fmt: skip


@pytest.fixture(scope="module")
def networks(long_config, corpus, tmp_path_factory):
    return toy_networks(long_config, corpus, tmp_path_factory.mktemp("tokens") / "spiece.model")


def make(config, networks, folder, recipe=RECIPE):
    model, vae, bank = networks
    return DistillTrainer(config, recipe, model.dit, vae, bank, folder, seed=4)


def test_the_student_trains_on_every_length_in_sessions_that_last(long_config, networks, tmp_path):
    trainer = make(long_config, networks, tmp_path)
    before = trainer.student.head.head.weight.detach().clone()
    roll, seen = trainer.roll, []

    def noted(scene, plan, start=None):
        seen.append((plan.num_frames, plan.is_live, start is not None))
        rollout = roll(scene, plan, start)
        assert rollout.data.shape[2] == (plan.num_frames + 3) // 4
        return rollout

    trainer.roll = noted
    assert trainer.run(1e9)
    lengths, live, aged = (set(values) for values in zip(*seen, strict=True))
    assert lengths == set(LENGTHS)
    assert live == aged == {True, False}
    assert not torch.equal(trainer.student.head.head.weight, before)
    points = read_curve(tmp_path / "distill.csv")
    assert all(torch.isfinite(torch.tensor(list(point.values()))).all() for point in points)


def test_a_killed_run_repeats_the_one_that_was_not(long_config, networks, tmp_path):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    assert make(long_config, networks, whole).run(1e9)
    assert not make(long_config, networks, killed).run(0.0)
    assert make(long_config, networks, killed).run(1e9)
    assert read_curve(killed / "distill.csv") == read_curve(whole / "distill.csv")


def test_sessions_hear_what_live_ones_do_chunk_by_chunk(long_config, networks):
    bank, torch_seed = networks[2], 3
    step = long_config.chunk.samples_per_frame
    chunk = live_chunk(long_config.chunk, 9)
    heard, draws = [], []
    audio = bank._audio
    bank._audio = lambda samples, length: heard.append(samples) or audio(samples, length)
    try:
        for num_chunks in (2, 3):
            torch.manual_seed(torch_seed)
            draws.append(bank.draw(2, num_chunks, 3, chunk=chunk))
    finally:
        bank._audio = audio
    two, three = draws
    assert [windows.shape[1] for windows in three.windows] == [9, 9, 9]
    assert torch.equal(two.windows[1], three.windows[1])
    assert [opening.shape for opening in three.openings] == [(2, 9)] * 3
    # Each window ends with its chunk, and the next one with four new frames more.
    first, second = heard[2:4]
    assert torch.equal(first[:, 4 * step :], second[:, : -4 * step])
    # Mouths of motion frames are those with which the chunk before ended.
    assert torch.equal(three.openings[0][:, 4:], three.openings[1][:, :5])


def test_the_noise_of_a_short_chunk_has_codes_of_its_own(long_config, networks, tmp_path):
    trainer, plan = make(long_config, networks, tmp_path), RolloutPlan(2, 1, 9, True)
    scene = networks[2].draw(2, 2, 2, chunk=plan.chunk_of(long_config.chunk))
    with torch.no_grad():
        rollout = trainer.roll(scene, plan)
        _, noise, _ = trainer._noised(rollout, plan)
    layout = CodeLayout.of_frames(9, 5)
    assert noise.shape[2] == 3
    assert torch.allclose(read_codes(noise, layout), read_codes(rollout.noise, layout), atol=1e-5)


def test_what_cannot_be_is_refused(long_config, networks, tmp_path):
    with pytest.raises(InvalidInputError, match=r"chunk_lengths \[17\]: a causal student has one"):
        DistillRecipe(causal=True, chunk_lengths=(17,))
    longer = dataclasses.replace(RECIPE, chunk_lengths=(21,))
    with pytest.raises(InvalidInputError, match="21 frames: training clips have 17"):
        make(long_config, networks, tmp_path, longer)


def test_live_chunks_are_off_unless_asked_for():
    assert DiTRecipe().chunk_lengths == DistillRecipe().chunk_lengths == ()
    for plain in (TinyRecipe(), TinyRecipe().with_coded_movement()):
        live = plain.with_live_chunks()
        assert live.dit.chunk_lengths == live.distill.chunk_lengths == (33, 21, 17)
        assert (live.dit.live_share, live.distill.live_share) == (0.5, 0.5)
        off = {"chunk_lengths": (), "live_share": 0.0}
        assert dataclasses.replace(live.dit, **off) == plain.dit
        assert dataclasses.replace(live.distill, **off) == plain.distill
