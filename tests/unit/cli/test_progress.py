"""What the progress bar shows to people and to log files."""

import io

import pytest

from flashtalk_core.cli.progress import Progress
from flashtalk_core.config.chunk import ChunkConfig
from tests.unit.cli.terminals import Clock, Terminal

pytestmark = pytest.mark.cpu

CHUNK = ChunkConfig()


def watch(stream, total, steps, seconds_each=1.0):
    """Add groups of frames, so many seconds apart; return what was written."""
    clock = Clock()
    with Progress(total, CHUNK, stream, clock) as progress:
        for frames in steps:
            clock.now_s += seconds_each
            progress.add(frames)
    return stream.getvalue()


def test_the_bar_shows_chunks_frames_rate_and_time_left():
    drawn = watch(Terminal(), 100, [4] * 14).split("\r")
    assert drawn[1].rstrip() == "chunk 1/4 [....................] 0/100 frames"
    last = "chunk 3/4 [###########.........] 56/100 frames, 4.0 frames/s, 0:11 left"
    assert drawn[-1].rstrip() == last
    assert drawn[-1].endswith("\n")
    assert "\n" not in "".join(drawn[:-1])


def test_every_redraw_of_the_bar_covers_the_previous_one():
    drawn = watch(Terminal(), 100, [4] * 25).rstrip("\n").split("\r")[1:]
    assert {len(line) for line in drawn} == {79}


def test_the_end_tells_the_time_taken():
    lines = watch(io.StringIO(), 28 * 1000, [28] * 1000, 4.0).splitlines()
    assert lines[-1] == (
        "chunk 1000/1000 [####################] 28000/28000 frames, 7.0 frames/s, took 1:06:40"
    )


def test_without_a_terminal_there_are_whole_lines_now_and_then():
    shown = watch(io.StringIO(), 28 * 100, [4] * 700, 0.1)
    lines = shown.splitlines()
    assert "\r" not in shown
    assert "4/2800 frames" in lines[0]
    assert "2800/2800 frames" in lines[-1]
    # 70 s pass, one line for every 5 s at most.
    assert 8 < len(lines) <= 16


def test_the_shown_chunk_number_never_exceeds_the_last():
    assert "chunk 2/2" in watch(io.StringIO(), 56, [56])
    assert "chunk 1/1" in watch(io.StringIO(), 1, [1])
