"""Threads of this process, and an end to them before others are forked from it.

A process that is forked while another thread holds something waits for that for ever.
"""

import contextlib
import time
from pathlib import Path

WAIT_S = 10.0
POLL_S = 0.002


def wait_until_alone(wait_s=WAIT_S):
    """Wait until this process has one thread.

    Raises:
        RuntimeError: If it has more after ``wait_s`` seconds.
    """
    deadline_s = time.monotonic() + wait_s
    while len(names := thread_names()) > 1:
        if time.monotonic() > deadline_s:
            raise RuntimeError(
                f"{len(names)} threads run after {wait_s:g} s ({', '.join(names)}), and what is "
                "forked now could hang; set OMP_NUM_THREADS=1, and close what started them"
            )
        time.sleep(POLL_S)


def thread_names():
    """Return the names of all threads of this process, those of libraries included."""
    names = []
    for task in Path("/proc/self/task").iterdir():
        with contextlib.suppress(OSError):  # it has just ended
            names.append((task / "comm").read_text().strip())
    return names
