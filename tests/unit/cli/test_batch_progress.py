"""What the two bars of a batch show to people and to log files."""

import io
import os
from pathlib import Path

import pytest

from flashtalk_core.batch.rows import BatchRow, CheckedRow
from flashtalk_core.cli import terminal
from flashtalk_core.cli.batch.progress import BatchProgress
from flashtalk_core.engine.spec import RenderSpec
from tests.unit.cli.terminals import Clock, Terminal

pytestmark = pytest.mark.cpu


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


def test_frames_of_an_interrupted_run_count_as_done_and_not_for_the_speed(progress, clock):
    only = row("1", 100)
    with progress(io.StringIO(), only) as bars:
        bars.started(only)
        bars.resumed(only, 90)
        clock.now_s += 10
        assert str(bars) == "[##############..] 0/1 rows | row 1 [#########.] 90/100"
        bars.add(only, 5)
        assert "0/1 rows, 0:10 left" in str(bars)
        assert str(bars).endswith("95/100, 0.5/s")


@pytest.mark.parametrize(("columns", "width"), [(60, 59), (80, 79), (200, 199), (0, 79)])
def test_the_line_fits_the_terminal(progress, monkeypatch, columns, width):
    stream = Terminal()
    monkeypatch.setattr(stream, "fileno", lambda: 2, raising=False)
    monkeypatch.setattr(terminal.os, "get_terminal_size", lambda _: os.terminal_size((columns, 24)))
    rows = [row(f"100{number}.1000", 100_000) for number in range(4)]
    with progress(stream, *rows) as bars:
        for each in rows:
            bars.started(each)
        bars.add(rows[0], 10)
        assert len(str(bars)) > 80
    drawn = stream.getvalue().rstrip("\n").split("\r")[1:]
    assert {len(line) for line in drawn} == {width}
