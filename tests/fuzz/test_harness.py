"""What tries the readers: it notices what it is to notice, and is decided by its seed."""

import os
import random
import subprocess
import time
from pathlib import Path

import pytest

from . import trial as trials
from .guided import BEGIN, END, write_counts
from .mutate import changed_json, changed_lines, changed_safetensors, mutated
from .readers import ALL
from .trial import Trial, limited

pytestmark = pytest.mark.cpu

HERE = Path(__file__).parent


def taken(read, folder=None):
    """Return what a trial says of one input."""
    trial = Trial("a", lambda case: read(), (ValueError,), folder)
    trial.take(b"case")
    return trial.count


def swallowing(act):
    """Return what takes any error for a fault of the file, as borders of libraries do."""

    def read():
        try:
            act()
        except Exception as error:
            raise ValueError("damaged") from error

    return read


def spin():
    until_s = time.monotonic() + 5
    while time.monotonic() < until_s:
        pass


def refuse(text):
    raise ValueError(text)


def test_what_is_read_and_what_is_refused_is_no_fault():
    assert taken(lambda: None).accepted == 1
    assert taken(lambda: refuse("no")).refused == 1


@pytest.mark.parametrize("text", ["a\x1b[2J", "two\nlines", "a" * 3000])
def test_a_refusal_that_cannot_be_printed_is_a_fault(text):
    assert taken(lambda: refuse(text)).uncaught


@pytest.mark.parametrize(
    ("limit", "act"),
    [("MAX_WAIT_S", lambda: time.sleep(2)), ("MAX_CASE_S", spin)],
)
def test_what_takes_too_long_is_a_fault_whoever_catches_it(monkeypatch, limit, act):
    monkeypatch.setattr(trials, limit, 0.02)
    count = taken(swallowing(act))
    assert next(iter(count.uncaught)).startswith("TooLateError")


def test_memory_beyond_the_bound_is_a_fault():
    with limited(64 * 2**20):
        assert next(iter(taken(lambda: bytearray(2**30)).uncaught)).startswith("MemoryError")


@pytest.mark.parametrize(
    "act",
    [
        lambda folder: os.system("true"),
        lambda folder: subprocess.run(["true"], check=True),
        lambda folder: (folder.parent / "out").write_bytes(b"a"),
        lambda folder: (folder / ".." / "out").write_bytes(b"a"),
        lambda folder: (folder.parent / "out").mkdir(),
        lambda folder: (folder / "link").write_bytes(b"a"),
        lambda folder: (folder / "a").rename(folder.parent / "a"),
        lambda folder: (folder.parent / "secret").read_bytes(),
        lambda folder: (folder.parent / "secret").unlink(),
    ],
)
def test_what_leaves_the_folder_or_runs_something_is_a_fault_whoever_catches_it(tmp_path, act):
    folder = tmp_path / "read"
    folder.mkdir()
    (folder / "a").write_bytes(b"a")
    (tmp_path / "secret").write_bytes(b"a")
    (folder / "link").symlink_to(tmp_path / "out")
    assert "escape" in next(iter(taken(swallowing(lambda: act(folder)), folder).uncaught))
    assert not (tmp_path / "out").exists()
    assert (tmp_path / "secret").exists()


def test_a_reader_whose_inputs_name_files_may_read_them_and_no_more(tmp_path):
    folder, other = tmp_path / "read", tmp_path / "other"
    folder.mkdir()
    other.write_bytes(b"a")

    def count(act):
        trial = Trial("a", lambda case: act(), (), folder, names_files=True)
        trial.take(b"case")
        return trial.count

    assert count(other.read_bytes).accepted == 1
    assert count(other.unlink).uncaught
    assert other.exists()


def test_what_stays_in_the_folder_is_no_fault(tmp_path):
    def act():
        (tmp_path / "a").write_bytes(b"a")
        (tmp_path / "link").symlink_to("/etc/passwd")
        (tmp_path / "link").unlink()
        (HERE / "reader.py").read_bytes()

    assert taken(act, tmp_path).accepted == 1
    (tmp_path.parent / "later").write_bytes(b"a")  # nothing is watched afterwards
    (tmp_path.parent / "later").unlink()


SAMPLES = {
    mutated: b"0123456789" * 20,
    changed_json: b'{"a": [1, 2, {"b": "c"}], "d": 0.5}',
    changed_lines: b"step,loss\n1,0.5\n2,0.25\n",
    changed_safetensors: b'\x0f\0\0\0\0\0\0\0{"a":{"b":[1]}}data',
}


@pytest.mark.parametrize("change", SAMPLES)
def test_inputs_are_decided_by_the_seed_and_differ(change):
    made = [[change(random.Random(f"{n}"), [SAMPLES[change]]) for n in range(50)] for _ in "12"]
    assert made[0] == made[1]
    assert len(set(made[0])) > 30


def test_changes_take_what_they_made():
    for change, sample in SAMPLES.items():
        rng = random.Random(0)
        for _ in range(300):
            sample = change(rng, [sample, SAMPLES[change]])[:2000]


def test_readers_have_names_of_their_own():
    assert len({reader.slug for reader in ALL}) == len(ALL)
    assert {path.name for path in (HERE / "found").iterdir()} <= {each.slug for each in ALL}


def test_counts_replace_earlier_ones_in_a_document(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n", "utf-8")
    row = {"reader": "a", "cases": 3, "accepted": 1, "refused": 2, "uncaught": {}, "memory_mib": 4}
    for _ in range(2):
        write_counts(page, [row], 1)
    text = page.read_text("utf-8")
    assert "| a | 3 | 1 | 2 | 0 | 4 |" in text
    assert "old" not in text
    assert text.startswith("before\n")
    assert text.endswith(f"{END}\nafter\n")
    assert text.count(BEGIN) == 1
