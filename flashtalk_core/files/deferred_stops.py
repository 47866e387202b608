"""Keeping Ctrl-C and requests to end out of steps that must not be left half done."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_STOPS = tuple(
    number
    for number in (getattr(signal, name, None) for name in ("SIGINT", "SIGTERM", "SIGHUP"))
    if number is not None
)


@contextmanager
def deferred_stops() -> Iterator[None]:
    """Let signals that raise wait until the end of a short step.

    They raise as soon as a function of a library returns, and what it has returned is lost: frames
    that an encoder gave out, for example. Threads other than the main one get no signals.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handlers = {number: signal.getsignal(number) for number in _STOPS}
    caught: list[tuple[int, FrameType | None]] = []
    is_over = False

    def hold(number: int, frame: FrameType | None) -> None:
        handler = handlers[signal.Signals(number)]
        # One that stayed: a stop may come between setting back two of them.
        if is_over and callable(handler):
            handler(number, frame)
        else:
            caught.append((number, frame))

    raising = [number for number, handler in handlers.items() if callable(handler)]
    try:
        for number in raising:
            signal.signal(number, hold)
        yield
    finally:
        is_over = True
        for number in raising:
            signal.signal(number, handlers[number])
        if caught:
            handler = handlers[signal.Signals(caught[0][0])]
            assert callable(handler)
            handler(*caught[0])
