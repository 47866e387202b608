"""Groups of ranks for Ulysses and Ring."""

import pytest

from flashtalk_core.errors import InvalidInputError
from flashtalk_core.parallel.collectives import Alone
from flashtalk_core.parallel.groups import sequence_degrees, sequence_groups
from tests.unit.parallel.thread_ranks import run_ranks

pytestmark = pytest.mark.cpu


@pytest.mark.parametrize(
    ("num_ranks", "asked", "expected"),
    [
        (1, (None, None), (1, 1)),
        (7, (None, None), (7, 1)),
        (8, (None, 2), (4, 2)),
        (8, (2, None), (2, 4)),
        (6, (3, 2), (3, 2)),
        (8, (None, 8), (1, 8)),
    ],
)
def test_ulysses_takes_all_that_is_not_asked_for(num_ranks, asked, expected):
    assert sequence_degrees(num_ranks, *asked) == expected


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ((None, 3), "ring 3: it must divide the number of devices, 8; use one of 1, 2, 4, 8"),
        ((0, None), "ulysses 0: it must divide the number of devices, 8"),
        ((2, 2), "ulysses 2 and ring 2: their product must be .* 8; use ring 4, or leave"),
    ],
)
def test_degrees_that_do_not_multiply_to_the_ranks_are_refused(asked, message):
    with pytest.raises(InvalidInputError, match=message):
        sequence_degrees(8, *asked)


def test_ulysses_is_among_neighbours_and_ring_across():
    def work(world):
        groups = sequence_groups(world, ring=2)
        return groups.world is world, groups.ulysses.ranks, groups.ring.ranks

    found = run_ranks(6, work)
    assert [each[0] for each in found] == [True] * 6
    assert [each[1] for each in found] == [[0, 1, 2]] * 3 + [[3, 4, 5]] * 3
    assert [each[2] for each in found] == [[0, 3], [1, 4], [2, 5]] * 2


@pytest.mark.parametrize("way", [(2, 1), (1, 2)])
def test_one_way_alone_uses_the_group_of_all(way):
    def work(world):
        groups = sequence_groups(world, *way)
        used, unused = (groups.ulysses, groups.ring)[:: 1 if way[1] == 1 else -1]
        return used is world and isinstance(unused, Alone)

    assert run_ranks(2, work) == [True, True]
