import pytest

from flashtalk_core.parallel.shares import ranges_of, split_evenly

pytestmark = pytest.mark.cpu


@pytest.mark.parametrize(
    ("total", "parts", "expected"),
    [(8, 4, (2, 2, 2, 2)), (7, 3, (3, 2, 2)), (2, 4, (1, 1, 0, 0)), (0, 2, (0, 0)), (5, 1, (5,))],
)
def test_items_are_split_by_counts_that_differ_by_one(total, parts, expected):
    assert split_evenly(total, parts) == expected


def test_ranges_follow_one_another():
    assert ranges_of((3, 0, 2)) == (range(3), range(3, 3), range(3, 5))
