"""``bench ranks --alone``, as a user types it."""

import json

import pytest

from flashtalk_core.bench.ranks.chunks import slowest_rank
from flashtalk_core.cli.main import main


@pytest.mark.manual
def test_one_rank_of_several_is_timed_without_its_others(capsys):
    options = ["--model", "tiny", "--sizes", "32x32", "--steps", "1", "--repeats", "1", "--json"]
    assert main(["bench", "ranks", "--cpu", "--alone", "2", *options]) == 0
    rows = json.loads(capsys.readouterr().out)["summaries"]
    assert [row["devices"] for row in rows] == [1, 2]
    assert all(row["decode_ms"] > 0 for row in rows)


@pytest.mark.cpu
def test_the_rank_that_is_timed_has_the_most_heads_and_two_neighbours_if_it_can():
    assert [slowest_rank(40, world) for world in (2, 3, 4, 8)] == [0, 0, 1, 1]
