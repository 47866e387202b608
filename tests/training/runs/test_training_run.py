import dataclasses

import pytest
import torch
from torch import nn

from flashtalk_core.errors import InvalidInputError
from flashtalk_training.recipe import OptimiserRecipe
from flashtalk_training.runs.curves import Curve, read_curve
from flashtalk_training.runs.progress import Average, Clock, learning_rate
from flashtalk_training.runs.states import (
    SHARD_BYTES,
    begin_from,
    load_notes,
    load_state,
    save_state,
)
from flashtalk_training.runs.training_run import TrainingRun

pytestmark = pytest.mark.training

RECIPE = OptimiserRecipe(learning_rate=0.05, warmup_steps=2, ema_decay=0.9, report_every=5)


class FakeTime:
    """A clock that a step of training moves on by a hundredth of a second."""

    def __init__(self):
        self.now_s = 100.0

    def __call__(self):
        return self.now_s


def train(folder, part_s, seed=0, stop_at=None):
    torch.manual_seed(seed)
    model = nn.Linear(3, 1)
    target = torch.tensor([[1.0, -2.0, 0.5]])
    clock = FakeTime()

    def loss(moment):
        if moment.step == stop_at:
            raise KeyboardInterrupt
        clock.now_s += 0.01
        x = torch.randn(16, 3)
        return (model(x) - x @ target.T).square().mean()

    def report():
        return {"distance": (model.weight - target).norm().item()}

    run = TrainingRun("toy", model, RECIPE, folder, seed=0)
    run.is_spent = run.run(1.0, part_s, loss, report, clock)
    return run, model


def test_training_lowers_the_reported_distance(tmp_path):
    train(tmp_path, 0.6)
    curve = read_curve(tmp_path / "toy.csv")
    assert curve[-1]["distance"] < 0.3 * curve[0]["distance"]


def test_a_second_part_goes_on_with_step_weights_and_time(tmp_path):
    first, model = train(tmp_path, 0.195)
    tensors, notes = load_state(tmp_path, "toy")
    assert torch.equal(tensors["weight.weight"], model.weight.detach())
    assert notes == {"step": 20.0, "spent_s": pytest.approx(0.2)}
    assert not first.is_spent
    second, _ = train(tmp_path, 5.0, seed=1)
    assert second.is_spent
    assert second.step == pytest.approx(100, abs=1)
    curve = read_curve(tmp_path / "toy.csv")
    assert [point["step"] for point in curve[:5]] == [5, 10, 15, 20, 25]
    assert curve[4]["time_s"] == pytest.approx(0.25)
    assert curve[-1]["distance"] < curve[0]["distance"]


def test_an_interrupted_part_keeps_what_it_trained(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path, 5.0, stop_at=8)
    tensors, notes = load_state(tmp_path, "toy")
    assert notes["step"] == 8
    resumed, _ = train(tmp_path, 0.0)
    assert resumed.step == 8
    assert torch.equal(tensors["average.weight"], resumed._average.values[0])


def test_a_long_part_saves_every_so_many_reports(tmp_path):
    steps = []
    torch.manual_seed(0)
    model = nn.Linear(3, 1)
    recipe = dataclasses.replace(RECIPE, report_every=2, save_every=3)
    run = TrainingRun("toy", model, recipe, tmp_path, seed=0)

    def loss(moment):
        notes = load_notes(tmp_path, "toy")
        steps.append(None if notes is None else int(notes["step"]))
        return model(torch.ones(1, 3)).square().mean()

    clock = iter(range(1000))
    run.run(60.0, 60.0, loss, dict, lambda: float(next(clock)))
    assert steps[5:8] == [None, 6, 6]


def test_parts_of_one_run_draw_different_numbers(tmp_path):
    drawn = []

    def loss(moment):
        drawn.append(torch.rand(4))
        return model(torch.ones(1, 3)).square().mean()

    for _ in range(2):
        clock = iter(range(1000))
        model = nn.Linear(3, 1)
        run = TrainingRun("toy", model, RECIPE, tmp_path, seed=2)
        run.run(1e3, 8.0, loss, dict, lambda clock=clock: float(next(clock)))
    assert len({tuple(values.tolist()) for values in drawn}) == len(drawn) > 2


def test_a_run_whose_budget_is_spent_does_nothing_more(tmp_path):
    save_state(
        tmp_path,
        "toy",
        {f"average.{k}": v for k, v in nn.Linear(3, 1).named_parameters()},
        {"step": 7.0, "spent_s": 2.0},
    )
    run, _ = train(tmp_path, 5.0)
    assert run.is_spent
    assert run.step == 7


def test_large_states_are_split_into_shards_and_read_back(tmp_path):
    tensors = {f"t{i}": torch.randn(1_500_000) for i in range(4)}
    save_state(tmp_path, "big", tensors, {"step": 1.0})
    assert len(list(tmp_path.glob("big-*.safetensors"))) > 1
    read, notes = load_state(tmp_path, "big")
    assert all(torch.equal(read[key], value) for key, value in tensors.items())
    assert notes == {"step": 1.0}


def test_no_shard_is_larger_than_said_however_many_tensors_it_names(tmp_path):
    tensors = {f"average.dit.blocks.{i}.attention.weight": torch.ones(600) for i in range(9000)}
    notes = dict.fromkeys(("step", "updates", "recipe", "spent_s"), 1 / 3)
    save_state(tmp_path, "many", tensors, notes)
    sizes = [path.stat().st_size for path in tmp_path.iterdir()]
    assert len(sizes) == 2
    assert 14_000_000 < max(sizes) <= SHARD_BYTES == 15_000_000


def test_a_smaller_state_leaves_no_shards_of_the_larger_one(tmp_path):
    save_state(tmp_path, "big", {f"t{i}": torch.randn(3_000_000) for i in range(3)}, {"step": 1.0})
    save_state(tmp_path, "big", {"t": torch.ones(2)}, {"step": 2.0})
    assert [path.name for path in tmp_path.iterdir()] == ["big-0.safetensors"]
    tensors, notes = load_state(tmp_path, "big")
    assert set(tensors) == {"t"}
    assert notes == {"step": 2.0}


@pytest.mark.parametrize("lost", [0, 1, 2])
def test_a_state_with_a_missing_shard_is_refused(tmp_path, lost):
    save_state(tmp_path, "big", {f"t{i}": torch.randn(3_000_000) for i in range(3)}, {"step": 1.0})
    (tmp_path / f"big-{lost}.safetensors").unlink()
    with pytest.raises(InvalidInputError, match="2 shards of state 'big' instead of 3"):
        load_state(tmp_path, "big")


def test_shards_of_two_states_are_refused(tmp_path):
    tensors = {f"t{i}": torch.randn(3_000_000) for i in range(2)}
    save_state(tmp_path, "big", tensors, {"step": 1.0})
    old = (tmp_path / "big-1.safetensors").read_bytes()
    save_state(tmp_path, "big", tensors, {"step": 2.0})
    (tmp_path / "big-1.safetensors").write_bytes(old)
    with pytest.raises(InvalidInputError, match="of one state"):
        load_state(tmp_path, "big")


def test_average_swaps_in_and_out():
    model = nn.Linear(2, 2)
    average = Average(model.parameters(), 0.5)
    before = model.weight.detach().clone()
    with torch.no_grad():
        model.weight.add_(1.0)
    average.swap()
    assert torch.equal(model.weight, before)
    average.swap()
    assert torch.allclose(model.weight, before + 1.0)


def test_learning_rate_warms_up_and_falls_to_a_fiftieth():
    assert learning_rate(1.0, 0, 10, 0.0) == pytest.approx(0.1)
    assert learning_rate(1.0, 100, 10, 0.5) == pytest.approx(0.51)
    assert learning_rate(1.0, 100, 10, 1.0) == pytest.approx(0.02)


def test_clock_ends_a_part_before_the_budget():
    clock = Clock(budget_s=100.0, part_s=0.0, spent_s=25.0, now=lambda: 7.0)
    assert clock.is_over()
    assert clock.progress() == pytest.approx(0.25)


def test_a_curve_forgets_what_is_done_again_and_what_was_cut_off(tmp_path):
    path = tmp_path / "curve.csv"
    path.write_text("step,loss\n1.0,0.5\n2.0,0.25\n3.0,0.125\n4.0,0.1")
    Curve(path).cut("step", 2)
    assert path.read_text() == "step,loss\n1.0,0.5\n2.0,0.25\n"


def test_a_curve_takes_in_values_that_come_later_or_not_always(tmp_path):
    path = tmp_path / "curve.csv"
    Curve(path).add(step=1, critic=0.5)
    curve = Curve(path)
    curve.add(step=2, student=0.123456, critic=0.25)
    curve.add(step=3, critic=0.125)
    assert path.read_text().splitlines()[0] == "step,critic,student"
    points = [{"step": 1, "critic": 0.5}, {"step": 2, "critic": 0.25, "student": 0.12346}]
    assert read_curve(path) == [*points, {"step": 3, "critic": 0.125}]


def test_a_stage_begins_from_the_average_of_another_run_with_its_budget_unspent(tmp_path):
    source, folder = tmp_path / "source", tmp_path / "folder"
    train(source, 0.6)
    begin_from(source, folder, "toy")
    tensors, notes = load_state(folder, "toy")
    assert notes == {"step": 0.0, "spent_s": 0.0}
    assert tensors.keys() == {"average.weight", "average.bias"}
    begun, model = train(folder, 1e-9)
    assert begun.step == 1
    before = load_state(source, "toy")[0]["average.weight"]
    assert (model.weight - before).abs().max() < 0.06
    begin_from(source, folder, "toy")
    assert load_notes(folder, "toy")["step"] == 1
    with pytest.raises(InvalidInputError, match="no state 'other' to begin from"):
        begin_from(source, folder, "other")
