"""What the two bars of a batch show to people and to log files."""

import io
from pathlib import Path

import pytest

from flashtalk_core.batch.rows import BatchRow, CheckedRow
from flashtalk_core.cli.batch.progress import BatchProgress
from flashtalk_core.engine.spec import RenderSpec

pytestmark = pytest.mark.cpu


class Terminal(io.StringIO):
    def isatty(self):
        return True


class Clock:
    now_s = 100.0

    def __call__(self):
        return self.now_s


def row(number, frames):
    files = {"image": Path("a"), "audio": Path("b"), "output": Path("c")}
    return CheckedRow(BatchRow(number=number, spec=RenderSpec(), crf=18, **files), "", frames)


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def progress(clock):
    return lambda stream, *rows: BatchProgress(
        len(rows), sum(each.num_frames for each in rows), stream, clock
    )


def test_one_bar_is_for_all_rows_and_one_for_the_current_one(progress, clock):
    first, second, stream = row("1", 100), row("2.1", 300), Terminal()
    with progress(stream, first, second) as bars:
        bars.started(first)
        clock.now_s += 10
        bars.add(first, 50)
        assert str(bars) == (
            "[##..............] 0/2 rows, 1:10 left | row 1 [#####.....] 50/100, 5.0/s"
        )
        bars.add(first, 50)
        bars.ended(first)
        assert str(bars) == "[####............] 1/2 rows, 0:30 left"
        bars.started(second)
    drawn = stream.getvalue().split("\r")[1:]
    assert drawn[0].rstrip() == "[................] 0/2 rows"
    assert {len(line.rstrip("\n")) for line in drawn} == {79}
    assert stream.getvalue().endswith("\n")


def test_a_row_that_failed_is_not_waited_for(progress, clock):
    first, second = row("1", 100), row("2", 100)
    with progress(io.StringIO(), first, second) as bars:
        bars.started(first)
        bars.ended(first)
        bars.started(second)
        clock.now_s += 10
        bars.add(second, 50)
        assert "1/2 rows, 0:10 left" in str(bars)


def test_rows_at_once_have_one_bar(progress):
    rows = [row(str(number), 10) for number in range(1, 6)]
    with progress(io.StringIO(), *rows) as bars:
        for each in rows:
            bars.started(each)
        bars.add(rows[0], 10)
        assert "rows 1, 2, 3 ... [##........] 10/50" in str(bars)


def test_without_a_terminal_there_are_whole_lines_now_and_then(progress, clock):
    only, stream = row("1", 100), io.StringIO()
    with progress(stream, only) as bars:
        bars.started(only)
        for _ in range(12):
            clock.now_s += 1
            bars.add(only, 1)
    assert [line.partition("| ")[2][:7] for line in stream.getvalue().splitlines()] == [
        "row 1 ["
    ] * 2
