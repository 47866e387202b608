"""NCCL with several ranks on one GPU: groups, uneven exchanges and graphs, where it allows that.

NCCL before 2.30 refuses a GPU that two ranks share, and these tests are skipped with what it said.
``NCCL_LIBRARY`` names a libnccl.so.2 that ranks load instead of the one that PyTorch brings:

    NCCL_LIBRARY=/path/libnccl.so.2 python -m pytest tests/gpu/test_nccl_one_gpu.py -m gpu -rsP

Times mean nothing here: ranks take turns on the GPU.
"""

import ctypes
import os

import pytest
import torch

from flashtalk_core.acceleration.apply import release_graphs, set_graph
from flashtalk_core.bench.ranks.process import run_ranks
from flashtalk_core.errors import WorkerError
from flashtalk_core.parallel.groups import sequence_groups
from flashtalk_core.parallel.sequence import spread_transformer
from flashtalk_core.parallel.torch_collectives import TorchCollectives
from tests.gpu.test_parallel import check_rank
from tests.unit.parallel.test_collectives import exchange_everything, expected_of

pytestmark = pytest.mark.gpu

LIBRARY = "NCCL_LIBRARY"
SHARED = {"NCCL_MULTI_RANK_GPU_ENABLE": "1", "NCCL_MAX_CTAS": "2"}
REFUSALS = "Duplicate GPU", "using the same GPU"
LIMIT_S = 120


@pytest.fixture(autouse=True)
def ranks_that_share_a_gpu(monkeypatch):
    """What processes that are started find in their environment."""
    first = os.environ.get("CUDA_VISIBLE_DEVICES", "0").split(",")[0].strip()
    shared = SHARED | {"CUDA_VISIBLE_DEVICES": first}
    if library := os.environ.get(LIBRARY):
        shared["LD_PRELOAD"] = library
    for name, value in shared.items():
        monkeypatch.setenv(name, value)


def run(work, num_ranks):
    """Run work on every rank; skip where NCCL refuses a shared GPU."""
    try:
        return run_ranks(work, num_ranks, "nccl", limit_s=LIMIT_S)
    except WorkerError as error:
        if any(each in str(error) for each in REFUSALS):
            (version,) = run_ranks(version_of_nccl, 1, "nccl")
            pytest.skip(f"NCCL {version} refuses several ranks on one GPU: {error}")
        raise


def version_of_nccl(_device):
    """Return the version that is loaded; PyTorch says which it was built with."""
    torch.ones(1, device="cuda")
    number = ctypes.c_int()
    ctypes.CDLL("libnccl.so.2").ncclGetVersion(ctypes.byref(number))
    return f"{number.value // 10_000}.{number.value // 100 % 100}.{number.value % 100}"


def exchange(device):
    group = TorchCollectives()
    with device:
        found = exchange_everything(group)
    return [version_of_nccl(device), *(each.tolist() for each in found)]


@pytest.mark.parametrize("num_ranks", [2, 4])
def test_groups_and_uneven_exchanges(num_ranks, record_property):
    """With four ranks the groups are two of two."""
    for rank, (version, *found) in enumerate(run(exchange, num_ranks)):
        record_property("NCCL", version)
        assert found == [each.float().tolist() for each in expected_of(rank, num_ranks)]


def replay(device):
    """Record uneven exchanges and messages to a neighbour, and replay them with other numbers."""
    group = TorchCollectives()
    rank, size = group.rank, group.size
    counts = [(rank + 1) * (other + 1) for other in range(size)]
    shapes = [((other + 1) * (rank + 1),) for other in range(size)]
    after, before = (rank + 1) % size, (rank - 1) % size
    source = torch.zeros(sum(counts), device=device)

    def call():
        received = group.all_to_all(source.split(counts), shapes)
        sent = {after: source[: rank + 1].clone()}
        neighbour = group.send(sent, {before: (before + 1,)}, source).wait()[before]
        return torch.cat([*received, neighbour])

    call()  # connects the ranks
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        found = call()
    are_equal = []
    for number in range(4):
        source.copy_(torch.arange(len(source), device=device) * (rank + 1) + 100 * number)
        graph.replay()
        torch.cuda.synchronize()
        are_equal.append(torch.equal(found, call()) and bool(found.abs().sum() > 0))
    del graph
    return are_equal


def test_recorded_exchanges_are_replayed():
    assert run(replay, 2) == [[True] * 4] * 2


@torch.no_grad()
def draw_as_graph(device):
    """Draw a chunk eagerly, then twice with recorded steps, by Ulysses and by Ring."""
    from tests.gpu.test_step_graph import draw_chunk, make_audio, make_dit, make_session

    group, are_equal = TorchCollectives(), []
    for ring in (1, group.size):
        dit = make_dit()
        spread_transformer(dit, sequence_groups(group, ring=ring))
        set_graph(dit, "off", device)
        session, audio = make_session(dit), make_audio(dit)
        eager = draw_chunk(dit, session, audio)
        set_graph(dit, "on", device)
        are_equal += [torch.equal(draw_chunk(dit, session, audio), eager) for _ in range(2)]
        are_equal.append(dit.step_execution._recorded is not None)
        release_graphs(dit)  # they go before the group that they use
    return are_equal


def test_recorded_steps_equal_those_that_are_launched():
    assert run(draw_as_graph, 2) == [[True] * 6] * 2


def compute(device):
    return check_rank(device, TorchCollectives())


@pytest.mark.parametrize("num_ranks", [2, 4])
def test_ranks_compute_what_one_device_does(num_ranks, record_property):
    """With four ranks by Ulysses with Ring, too, over groups of two."""
    found = run(compute, num_ranks)
    record_property("relative rms, bound", found[0])
    assert not [name for each in found for name, pair in each.items() if not pair[0] <= pair[1]]
