"""Threads and processes of gloo exchange the same; a group of one exchanges nothing."""

from datetime import timedelta

import pytest
import torch

from flashtalk_core.bench.ranks.absent import AbsentRanks
from flashtalk_core.bench.ranks.process import run_ranks as run_processes
from flashtalk_core.parallel.collectives import Alone, joined
from flashtalk_core.parallel.torch_collectives import TorchCollectives
from tests.unit.parallel.thread_ranks import run_ranks

pytestmark = pytest.mark.ranks


def part_for(sender, receiver):
    return torch.full((sender + 1, receiver), 10.0 * sender + receiver)


def exchange_everything(group):
    """Return what a rank receives by every call of ``group``."""
    rank, size = group.rank, group.size
    ranks = range(size)
    received = group.all_to_all(
        [part_for(rank, other) for other in ranks], [(other + 1, rank) for other in ranks]
    )
    gathered = group.all_gather(part_for(rank, 2), [(other + 1, 2) for other in ranks])
    even = group.all_gather(torch.full((2,), float(rank)), [(2,)] * size)
    after, before = (rank + 1) % size, (rank - 1) % size
    shifted = group.send({after: part_for(rank, after)}, {before: (before + 1, rank)}, received[0])
    values = torch.tensor([float(rank), -float(rank)])
    last = size - 1
    found = [*received, *gathered, *even, shifted.wait()[before]]
    found += [group.sum(values), group.max(values), group.broadcast(values, last)]
    parity = group.subgroup([list(ranks[::2]), list(ranks[1::2])] if size > 1 else [[0]])
    return [*found, parity.sum(values), torch.tensor([float(parity.rank), float(parity.size)])]


def expected_of(rank, size):
    ranks = range(size)
    before, last = (rank - 1) % size, size - 1
    total = float(sum(ranks))
    members = list(ranks[rank % 2 :: 2]) if size > 1 else [0]
    found = [part_for(other, rank) for other in ranks]
    found += [part_for(other, 2) for other in ranks]
    found += [torch.full((2,), float(other)) for other in ranks]
    found += [part_for(before, rank), torch.tensor([total, -total]), torch.tensor([last, 0.0])]
    found += [torch.tensor([last, -float(last)])]
    found += [torch.tensor([float(sum(members)), -float(sum(members))])]
    return [*found, torch.tensor([float(members.index(rank)), float(len(members))])]


def assert_same(found, expected):
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        assert one.shape == other.shape
        assert torch.equal(one.float(), other.float()), (one, other)


@pytest.mark.parametrize("world", [1, 2, 3, 5])
def test_threads_exchange(world):
    for rank, found in enumerate(run_ranks(world, exchange_everything)):
        assert_same(found, expected_of(rank, world))


def test_a_rank_without_its_others_gets_what_they_would_send_in_shape():
    _, expected, _ = run_ranks(3, exchange_everything)
    found = exchange_everything(AbsentRanks(1, 3))
    assert [each.shape for each in found] == [each.shape for each in expected]
    assert all(each.abs().max() > 0 for each in found if each.numel())


def test_alone_there_is_nothing_to_exchange():
    assert_same(exchange_everything(Alone()), expected_of(0, 1))


def test_parts_that_follow_each_other_are_joined_without_a_copy():
    flat = torch.arange(10.0)
    parts = [flat[1:4], flat[4:4], flat[4:8].view(2, 2)]
    assert joined(parts).data_ptr() == flat[1:].data_ptr()
    apart = [flat[1:4], flat[5:8]], [flat[4:6], flat[1:4]], [flat.view(2, 5).T, flat[:1]]
    for each in (parts, *apart, [flat[:0]], [flat[:3], torch.ones(2)]):
        assert torch.equal(joined(each), torch.cat([part.reshape(-1) for part in each]))


def test_the_first_rank_to_fail_is_the_one_that_is_raised():
    def work(group):
        if group.rank == 1:
            raise ValueError("rank 1 failed")
        return group.sum(torch.zeros(1))

    with pytest.raises(ValueError, match="rank 1 failed"):
        run_ranks(3, work)


def limit_s_of(group):
    """Return how long an exchange of a group of gloo may wait, seconds."""
    backend = group.process_group._get_backend(torch.device("cpu"))
    return backend.options._timeout.total_seconds()


def exchange_in_a_process(_device):
    group = TorchCollectives(timeout=timedelta(seconds=77))
    halves = group.subgroup([[0], [1]])
    limits_s = [limit_s_of(each) for each in (halves, halves.subgroup([[0]]))]
    assert group.subgroup([[0], [1]]) is halves, "groups are kept until a process ends"
    assert group.subgroup([range(2)]) is not halves
    return [limits_s, *(each.tolist() for each in exchange_everything(group))]


def test_processes_of_gloo_exchange_and_subgroups_have_the_limit_that_was_given():
    ranks = run_processes(exchange_in_a_process, 2, "gloo")
    for rank, (limits_s, *found) in enumerate(ranks):
        assert limits_s == [77, 77]
        assert found == [each.float().tolist() for each in expected_of(rank, 2)]
