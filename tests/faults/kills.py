"""``kill -9`` at moments drawn from a fixed seed, and at each step that makes a file whole."""

import random
import time

from tests.faults.case import Fault
from tests.faults.moments import bytes_written, chunk_begun, seconds

SEED = 20261129
KIND = "kill -9"
LONGEST_S = 1.8
"""From the first chunk on, a render takes longer than this on a quiet machine."""
MOST_BYTES = 110_000
"""The partial file has some more at its end."""
_draw = random.Random(SEED)
START_TIMES_S = sorted(round(_draw.uniform(0.05, 0.9), 3) for _ in range(3))
TIMES_S = sorted(round(_draw.uniform(0, LONGEST_S), 3) for _ in range(7))
BYTES = sorted(_draw.randrange(1, MOST_BYTES) for _ in range(10))


def _kill(_scene, run):
    run.signal("SIGKILL")


def _kill_after(pause_s):
    def act(_scene, run):
        time.sleep(pause_s)
        run.signal("SIGKILL")

    return act


FAULTS = [
    *(
        Fault(name=f"kill -9 {at_s:.3f} s after the start", kind=KIND, when=seconds(at_s),
              act=_kill, code=-9)
        for at_s in START_TIMES_S
    ),
    *(
        Fault(name=f"kill -9 {at_s:.3f} s after the first chunk began", kind=KIND,
              when=chunk_begun(1), act=_kill_after(at_s), code=-9)
        for at_s in TIMES_S
    ),
    *(
        Fault(name=f"kill -9 at byte {count:,} of the partial file", kind=KIND,
              when=bytes_written(count), act=_kill, code=-9)
        for count in BYTES
    ),
    *(
        Fault(name=f"kill -9 before sync {number} of the writer", kind=KIND,
              child={"patch": ("kill_at", "fsync", number)}, code=-9)
        for number in (1, 2, 3, 4, 6, 10, 11, 12, 13, 14)
    ),
    *(
        Fault(name=f"kill -9 before {what}", kind=KIND, child={"patch": ("kill_at", *call)},
              code=-9)
        for what, call in (
            ("the first state takes its place", ("replace", 1)),
            ("the second state takes its place", ("replace", 2)),
            ("the finished video takes its place", ("replace", 4)),
            ("the partial file is removed at the end", ("unlink", 6)),
        )
    ),
]  # fmt: skip
