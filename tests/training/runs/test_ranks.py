"""Two processes that train together: what they share, and what each keeps for itself."""

import subprocess
import sys

import pytest
import torch

from flashtalk_training.runs.states import load_state
from flashtalk_training.stage_2.states import STATE

pytestmark = pytest.mark.ranks

_RANK = """
import sys, torch
from pathlib import Path
from flashtalk_training.stage_2.states import DistillState
from flashtalk_training.stage_2.rollout_plan import draw_plan
from flashtalk_training.runs.ranks import agreed, average_gradients
from flashtalk_training.recipe import DistillRecipe
rank, folder = int(sys.argv[1]), Path(sys.argv[2])
torch.distributed.init_process_group("gloo", f"file://{folder}/store", rank=rank, world_size=2)
reports = {}

generator = torch.Generator().manual_seed(rank)
alone = torch.Generator().manual_seed(rank)
reports["drawn"] = [
    [int(torch.randint(9, (), generator=alone)) for _ in range(2)] for _ in range(20)
]
reports["plans"] = [list(draw_plan(9, 9, generator)) for _ in range(20)]
reports["agreed"] = [agreed(rank == 0), agreed(rank == 1)]

weights = torch.nn.Linear(2, 1)
weights(torch.full((1, 2), 1.0 + rank)).sum().backward()
average_gradients(weights.parameters())
reports["gradients"] = [weights.weight.grad.tolist(), weights.bias.grad.tolist()]

def state(kept):
    torch.manual_seed(0)
    networks = [torch.nn.Linear(2, 1) for _ in range(2)]
    optimizers = [torch.optim.AdamW(each.parameters()) for each in networks]
    return DistillState(folder, DistillRecipe(), *networks, *optimizers, kept)

kept = {"motion": torch.full((2, 3), 0.5 + rank, dtype=torch.float16), "next": torch.tensor(7)}
saving = state(kept)
saving.step = 3
saving.save()
torch.distributed.barrier()
resumed = {name: torch.zeros_like(value) for name, value in kept.items()}
reports["step"] = state(resumed).step
reports["same"] = all(torch.equal(value, resumed[name]) for name, value in kept.items())
torch.save(reports, folder / f"rank-{rank}.pt")
torch.distributed.barrier()
torch.distributed.destroy_process_group()
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("ranks")
    ranks = [
        subprocess.Popen([sys.executable, "-c", _RANK, str(rank), str(path)]) for rank in range(2)
    ]
    assert [each.wait(timeout=60) for each in ranks] == [0, 0]
    return path


@pytest.fixture(scope="module")
def reports(folder):
    return [torch.load(folder / f"rank-{rank}.pt", weights_only=True) for rank in range(2)]


def test_two_ranks_share_the_plan_of_the_first(reports):
    first, second = reports
    assert first["drawn"] != second["drawn"]
    assert first["plans"] == second["plans"]
    whole = None, False  # chunks, heard to the end of the window
    assert first["plans"] == [[chunks + 1, step, *whole] for chunks, step in first["drawn"]]


def test_two_ranks_share_the_mean_gradient(reports):
    assert [each["gradients"] for each in reports] == [[[[1.5, 1.5]], [1.0]]] * 2


def test_the_first_rank_says_when_a_part_ends(reports):
    assert [each["agreed"] for each in reports] == [[True, False]] * 2


def test_each_rank_resumes_from_its_own_state(reports, folder):
    assert [(each["step"], each["same"]) for each in reports] == [(3, True)] * 2
    tensors, _ = load_state(folder, STATE)
    assert tensors["kept.motion"].unique().tolist() == [0.5]
    assert tensors["kept.motion.1"].unique().tolist() == [1.5]
