"""``kill -9`` at moments drawn from a fixed seed, and at each step that makes a file whole."""

import random

from tests.faults.case import Fault
from tests.faults.moments import bytes_written, chunk_begun, share_of_start
from tests.faults.scene import wait_until

SEED = 20261129
KIND = "kill -9"
MOST_SHARE = 0.85
"""Of a measured time: a run that takes less than the measured ones is to be killed, too."""
MOST_BYTES = 110_000
"""The partial file has some more at its end."""
_draw = random.Random(SEED)


def _spread(count):
    """Draw a share from each of ``count`` equal parts of a time."""
    width = MOST_SHARE / count
    return [round(_draw.uniform(n * width, (n + 1) * width), 3) for n in range(count)]


START_SHARES = _spread(3)
CHUNK_SHARES = _spread(7)
BYTES = sorted(_draw.randrange(1, MOST_BYTES) for _ in range(10))


def _kill(_scene, run):
    run.signal("SIGKILL")


def _kill_after(share):
    def act(scene, run):
        at_s = run.processor_s + share * scene.pace.chunks_s
        wait_until(lambda: run.processor_s >= at_s, run)
        run.signal("SIGKILL")

    return act


FAULTS = [
    *(
        Fault(name=f"kill -9 after {share:.1%} of the time to the first chunk", kind=KIND,
              when=share_of_start(share), act=_kill, code=-9)
        for share in START_SHARES
    ),
    *(
        Fault(name=f"kill -9 after {share:.1%} of the time from the first chunk to the end",
              kind=KIND, when=chunk_begun(1), act=_kill_after(share), code=-9)
        for share in CHUNK_SHARES
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
