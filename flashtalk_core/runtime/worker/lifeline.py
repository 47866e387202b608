"""A rank ends with its launcher and with the process that renders, however these end."""

from __future__ import annotations

import ctypes
import os
import select
import signal
import sys
from threading import Thread

from ..shared.pages import RankRow

_PR_SET_PDEATHSIG = 1
_PAUSE_MS = 500


def tie_to(launcher: int, pipe: int, channel: int, row: RankRow) -> None:
    """End this process when others do, by three means of which each may fail.

    The kernel kills it when the launcher ends; a thread ends it at the end of a pipe that only the
    launcher holds, when it has another parent, or at the end of its channel. That thread also runs
    while a kernel or an exchange does not return, and shows by its beats that the process runs.

    Args:
        launcher: Process id of the launcher, whose main thread started this process: the kernel
            acts at the end of that thread.
        pipe: Reading end of a pipe.
        channel: Socket to the process that renders.
        row: Where to beat.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
    if os.getppid() != launcher:
        os._exit(1)  # it ended before the kernel was asked
    Thread(target=_watch, args=(launcher, pipe, channel, row), daemon=True).start()


def _watch(launcher: int, pipe: int, channel: int, row: RankRow) -> None:
    poll = select.poll()
    poll.register(pipe, select.POLLHUP)
    # The end of its stream, but not what arrives before.
    poll.register(channel, select.POLLHUP | getattr(select, "POLLRDHUP", 0))
    while not poll.poll(_PAUSE_MS) and os.getppid() == launcher:
        row.beat()
    os._exit(1)
