"""The table of faults and its page agree."""

import re
from collections import Counter
from pathlib import Path

import pytest

from tests.faults.kills import BYTES, KIND, START_TIMES_S, TIMES_S
from tests.faults.table import FAULTS

pytestmark = pytest.mark.cpu

PAGE = Path(__file__).parents[2] / "docs" / "FAULTS.md"


def test_every_fault_has_a_name_of_its_own():
    counts = Counter(each.name for each in FAULTS)
    assert [name for name, count in counts.items() if count > 1] == []
    assert len(FAULTS) >= 40


def test_the_page_lists_every_fault_and_says_that_it_passed():
    rows = re.findall(r"^\| (.+?) \| .* \| (.+?) \|$", PAGE.read_text("utf-8"), re.MULTILINE)
    passed = {name for name, result in rows if result == "yes"}
    assert passed == {each.name for each in FAULTS}


def test_kills_are_random_and_the_same_each_time():
    assert len({*START_TIMES_S, *TIMES_S}) + len(set(BYTES)) == 20
    kills = [each for each in FAULTS if each.kind == KIND]
    assert all(each.code == -9 and each.most_again == 1 for each in kills)
