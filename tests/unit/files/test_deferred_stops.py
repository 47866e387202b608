"""Stops that wait for the end of a step, and never get lost."""

import os
import signal
import sys

import pytest

from flashtalk_core.files.deferred_stops import deferred_stops

pytestmark = [
    pytest.mark.cpu,
    pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX"),
]


class EndedError(Exception):
    """What a request to end raises here."""


def end(*_):
    raise EndedError


@pytest.fixture(autouse=True)
def handlers():
    wanted = {signal.SIGINT: signal.default_int_handler, signal.SIGTERM: end}
    before = {number: signal.signal(number, handler) for number, handler in wanted.items()}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def send(number):
    os.kill(os.getpid(), number)


def test_a_stop_waits_for_the_end_of_the_step():
    done = []

    def step():
        with deferred_stops():
            send(signal.SIGINT)
            done.append(1)

    with pytest.raises(KeyboardInterrupt):
        step()
    assert done == [1]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert signal.getsignal(signal.SIGTERM) is end


def test_a_stop_just_as_the_step_ends_costs_no_later_one(monkeypatch):
    set_handler = signal.signal

    def set_and_stop(number, handler):
        before = set_handler(number, handler)
        if number == signal.SIGINT and handler is signal.default_int_handler:
            send(signal.SIGINT)
        return before

    with pytest.raises(KeyboardInterrupt), deferred_stops():
        monkeypatch.setattr(signal, "signal", set_and_stop)
    monkeypatch.undo()
    with pytest.raises(EndedError):
        send(signal.SIGTERM)
