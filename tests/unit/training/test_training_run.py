import json
import time

import pytest
import torch
from torch import nn

from flashtalk_core.training.progress import (
    Average,
    Clock,
    learning_rate,
    load_state,
    save_state,
)
from flashtalk_core.training.training_run import OptimiserRecipe, TrainingRun

pytestmark = pytest.mark.cpu

RECIPE = OptimiserRecipe(learning_rate=0.05, warmup_steps=2, ema_decay=0.9, report_every=5)


def train(folder, part_s, seed=0):
    torch.manual_seed(seed)
    model = nn.Linear(3, 1)
    target = torch.tensor([[1.0, -2.0, 0.5]])
    generator = torch.Generator().manual_seed(seed)

    def loss(moment):
        time.sleep(0.001)
        x = torch.randn(16, 3, generator=generator)
        return (model(x) - x @ target.T).square().mean()

    def report():
        return {"distance": (model.weight - target).norm().item()}

    run = TrainingRun("toy", model, RECIPE, folder)
    run.run(1.0, part_s, loss, report)
    return run, model


def read_curve(folder):
    return [json.loads(line) for line in (folder / "toy.jsonl").read_text().splitlines()]


def test_training_lowers_the_reported_distance(tmp_path):
    train(tmp_path, 0.6)
    curve = read_curve(tmp_path)
    assert curve[-1]["distance"] < 0.3 * curve[0]["distance"]


def test_a_second_part_goes_on_with_step_weights_and_time(tmp_path):
    first, model = train(tmp_path, 0.2)
    tensors, notes = load_state(tmp_path, "toy")
    assert torch.equal(tensors["weight.weight"], model.weight.detach())
    assert notes["step"] == first.step
    second, _ = train(tmp_path, 0.2, seed=1)
    assert second.step > first.step
    curve = read_curve(tmp_path)
    assert curve[-1]["time_s"] > notes["spent_s"]
    assert curve[-1]["distance"] < curve[0]["distance"]


def test_a_run_whose_budget_is_spent_does_nothing_more(tmp_path):
    save_state(
        tmp_path,
        "toy",
        {f"average.{k}": v for k, v in nn.Linear(3, 1).named_parameters()},
        {"step": 7.0, "spent_s": 2.0},
    )
    run, _ = train(tmp_path, 5.0)
    assert run.step == 7


def test_large_states_are_split_into_shards_and_read_back(tmp_path):
    tensors = {f"t{i}": torch.randn(1_500_000) for i in range(4)}
    save_state(tmp_path, "big", tensors, {"step": 1.0})
    assert len(list(tmp_path.glob("big-*.safetensors"))) > 1
    read, notes = load_state(tmp_path, "big")
    assert all(torch.equal(read[key], value) for key, value in tensors.items())
    assert notes == {"step": 1.0}


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
    clock = Clock(budget_s=100.0, part_s=0.0, spent_s=25.0)
    assert clock.is_over()
    assert clock.progress() == pytest.approx(0.25, abs=0.01)
