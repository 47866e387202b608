"""Threads that take frames away from a clock: all of them, or none once they are behind."""

from threading import Event

import numpy as np
import pytest
import torch

from flashtalk_core.live.shown import Shown
from flashtalk_core.serve.outputs import OutputThread, finish

pytestmark = pytest.mark.cpu


def frame(number):
    return Shown(number, torch.zeros(2, 2, 3), np.zeros((1, 640)), None, is_held=False)


class Slow:
    """Takes nothing before it may."""

    def __init__(self):
        self.may_take, self.is_taking = Event(), Event()
        self.taken, self.closed = [], []

    def take(self, shown):
        self.is_taking.set()
        assert self.may_take.wait(20)
        self.taken.append(shown.frame)

    def close(self, *, is_whole):
        self.closed.append(is_whole)


def thread_of(output, capacity):
    """Return a thread that holds a frame, and the list of those that ended by themselves."""
    ended = []
    thread = OutputThread("slow", output, ended.append, capacity)
    thread.put(frame(0))
    assert output.is_taking.wait(20)
    return thread, ended


def test_all_that_may_wait_is_taken_before_the_end():
    output = Slow()
    thread, ended = thread_of(output, 5)
    for number in range(1, 6):
        thread.put(frame(number))
    thread.end()
    thread.end()  # twice is once
    thread.put(frame(6))  # and nothing is taken afterwards
    output.may_take.set()
    finish([thread])
    assert not thread.is_alive()
    assert (output.taken, output.closed, ended) == ([*range(6)], [True], [])


def test_one_that_falls_behind_ends_by_itself_and_says_that_frames_are_missing(caplog):
    output = Slow()
    thread, ended = thread_of(output, 5)
    for number in range(1, 8):
        thread.put(frame(number))
    output.may_take.set()
    thread.wait(20)
    assert not thread.is_alive()
    assert (output.closed, ended) == ([False], [thread])
    assert output.taken == [0]
    assert "live-slow fell 5 frames behind and was ended" in caplog.text
    finish([thread])
    assert output.closed == [False]
