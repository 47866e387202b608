"""The recorded numbers come out of two ranks on GPUs: over gloo on one, over NCCL on two."""

from pathlib import Path

import pytest
import torch
import torch.distributed as dist

from flashtalk_core.bench.ranks.process import run_ranks
from flashtalk_core.parallel.torch_collectives import TorchCollectives
from flashtalk_core.parity.precision import exact_float32
from tests.parity.several_ranks import compare_on_rank

GOLDEN = Path(__file__).parents[1] / "golden"
DTYPES = (torch.float32, torch.bfloat16)


def compare_in_process(_device, num_gpus):
    device = torch.device("cuda", dist.get_rank() % num_gpus)
    torch.cuda.set_device(device)
    with exact_float32():
        return {
            f"{dtype} {name}": pair
            for dtype in DTYPES
            for name, pair in compare_on_rank(GOLDEN, TorchCollectives(), device, dtype).items()
        }


def check(backend, num_gpus, record_property):
    found = run_ranks(compare_in_process, 2, backend, num_gpus)
    record_property("error, bound", found[0])
    assert len(found) == 2
    for results in found:
        assert len(results) == 24
        assert not {name: pair for name, pair in results.items() if not pair[0] <= pair[1]}


@pytest.mark.gpu
def test_two_ranks_on_one_gpu_reproduce_the_recorded_numbers(record_property):
    check("gloo", 1, record_property)


@pytest.mark.multigpu
def test_two_gpus_reproduce_the_recorded_numbers(record_property):
    check("nccl", 2, record_property)
