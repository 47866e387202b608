"""The table of faults and its page agree."""

import re
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.faults.kills import BYTES, CHUNK_SHARES, KIND, MOST_SHARE, START_SHARES
from tests.faults.moments import share_of_start
from tests.faults.scene import Pace
from tests.faults.table import FAULTS
from tools import faults

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


def test_the_page_says_how_soon_a_resumed_render_has_a_new_frame():
    found = re.findall(r"(?:a new render|four chunks) ([0-9.]+) s \(", PAGE.read_text("utf-8"))
    assert len(found) == 2
    assert all(float(seconds) > 0 for seconds in found)


def test_one_part_of_the_page_is_written_and_the_other_one_stays(tmp_path, monkeypatch):
    page = tmp_path / "page.md"
    monkeypatch.setattr(faults, "PAGE", page)
    page.write_text("# Faults\n\n| a | yes |\n")
    for seconds in (3, 4):
        section = faults.render_first_frames(new=[seconds] * 3, resumed=[1, seconds, 9], load=0)
        faults.write_page(first_frames=section)
    assert page.read_text().startswith(f"# Faults\n\n| a | yes |\n\n{faults.FIRST_FRAME}\nSeconds")
    assert page.read_text().count("a new render") == 1
    assert "four chunks 4.0 s (1.0 to 9.0)" in page.read_text()
    faults.write_page(table="# Faults\n\n| b | yes |\n")
    assert page.read_text().startswith(f"# Faults\n\n| b | yes |\n\n{faults.FIRST_FRAME}\nSeconds")


def test_kills_are_random_and_the_same_each_time():
    assert len({*START_SHARES, *CHUNK_SHARES}) + len(set(BYTES)) == 20
    kills = [each for each in FAULTS if each.kind == KIND]
    assert all(each.code == -9 and each.most_again == 1 for each in kills)


@pytest.mark.parametrize("shares", [START_SHARES, CHUNK_SHARES], ids=["start", "chunks"])
def test_kills_are_spread_over_a_run(shares):
    parts = [int(share / MOST_SHARE * len(shares)) for share in shares]
    assert parts == list(range(len(shares)))


@pytest.mark.parametrize("start_s", [0.4, 40.0], ids=["quick machine", "slow machine"])
def test_a_kill_waits_for_a_share_of_what_was_measured(start_s):
    scene = SimpleNamespace(pace=Pace(start_s, chunks_s=1.0))
    is_due = share_of_start(0.25)
    assert not is_due(scene, SimpleNamespace(processor_s=0.24 * start_s))
    assert is_due(scene, SimpleNamespace(processor_s=0.26 * start_s))
