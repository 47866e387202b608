"""One line in a terminal, whole lines now and then in a file."""

import io

import pytest

from flashtalk_core.cli.batch.checking import Checking
from flashtalk_core.cli.status_line import StatusLine
from tests.unit.cli.terminals import Clock, Terminal

pytestmark = pytest.mark.cpu


def write(stream, clock):
    """Say something each second; a line is added when one is due."""
    line = StatusLine(stream, clock)
    clock.now_s += 50  # until something begins
    line.begin()
    for number in range(12):
        clock.now_s += 1
        line.draw(f"step {number}")
        if line.is_due:
            line.add_line(f"step {number}")
    assert line.elapsed_s == 12
    line.end()
    return stream.getvalue()


def test_a_terminal_shows_the_last_of_it_in_one_line():
    drawn = write(Terminal(), Clock())
    assert drawn.count("\n") == 1
    assert [part.strip() for part in drawn.split("\r")[1:]] == [f"step {n}" for n in range(12)]


def test_a_file_gets_a_line_now_and_then():
    assert write(io.StringIO(), Clock()) == "step 4\nstep 9\n"


def test_a_terminal_that_was_shown_nothing_gets_no_empty_line():
    stream = Terminal()
    StatusLine(stream).end()
    assert stream.getvalue() == ""


@pytest.mark.parametrize(
    ("stream", "shown"),
    [
        (Terminal(), f"\r{'checked 2 of 9 rows':79}\r{'checked 4 of 9 rows':79}\n"),
        (io.StringIO(), "checked 2 of 9 rows\nchecked 4 of 9 rows\n"),
    ],
    ids=["terminal", "file"],
)
def test_checks_that_take_a_while_are_counted(stream, shown, monkeypatch):
    clock = Clock()
    monkeypatch.setattr("sys.stderr", stream)
    with Checking(9, clock) as checks:
        for _ in range(5):
            clock.now_s += 3
            checks.add()
    assert stream.getvalue() == shown
