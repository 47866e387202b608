"""What an idle fleet gives back by itself: weights first, its processes later."""

from __future__ import annotations

import logging
import weakref
from threading import Timer
from typing import Protocol

from ..excerpt import reason
from ..log import printable_log
from .limits import Limits

logger = printable_log(logging.getLogger(__name__))


class Idle(Protocol):
    """What can be idle; weakly referenced."""

    def release(self) -> None:
        """Free weights."""
        ...

    def end_idle(self) -> None:
        """End processes."""
        ...


class IdleTimers:
    """Timers of one fleet, which they do not keep alive."""

    def __init__(self, fleet: Idle, limits: Limits) -> None:
        """Start nothing yet."""
        self._fleet = weakref.ref(fleet)
        self._limits = limits
        self._timers: list[Timer] = []

    def start(self) -> None:
        """Free weights and end processes when nothing was rendered for a while."""
        for after_s, ends in (
            (self._limits.idle_release_s, False),
            (self._limits.idle_exit_s, True),
        ):
            if after_s is not None:
                timer = Timer(after_s, _on_idle, (self._fleet, ends))
                timer.daemon = True
                timer.start()
                self._timers.append(timer)

    def stop(self) -> None:
        """Forget what was to come."""
        for timer in self._timers:
            timer.cancel()
        self._timers.clear()


def _on_idle(reference: weakref.ref[Idle], ends: bool) -> None:
    fleet = reference()
    if fleet is None:
        return
    try:
        if ends:
            fleet.end_idle()
        else:
            fleet.release()
    except Exception as error:  # the border of a thread: the next render finds out
        logger.warning("idle devices of %r: %s", fleet, reason(error))
