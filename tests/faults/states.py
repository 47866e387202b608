"""State files and segments of the video that are damaged between two runs, and clocks set back."""

import time

from tests.faults.acts import (
    append,
    cut,
    date,
    flip,
    interrupted_and,
    kill,
    other_version,
    remove,
    replace_by_folder,
    write,
)  # fmt: skip
from tests.faults.case import Fault
from tests.faults.moments import chunk_saved

KIND = "state and segments"
CLOCK = "clock"
ANEW = "starts anew"


def _damaged(name, change, **given):
    """A fault of a render that was killed after two chunks, and damaged since."""
    given = {"says": ANEW, "most_again": 3} | given
    return Fault(name=name, kind=KIND, prepare=interrupted_and(change), **given)


FAULTS = [
    _damaged("the state is empty", write("state", b"")),
    _damaged("the state is cut to half", cut("state", 0.5)),
    _damaged("a byte of the state's header is another one", flip("state", 0.005)),
    _damaged("a byte of the state's frames is another one", flip("state", 0.6)),
    _damaged("the state is of another program", write("state", b"\x93NUMPY" * 999)),
    _damaged("the state is of a later version", other_version),
    _damaged("the state is gone", remove("state"), says=r"partial\.older\.mp4"),
    _damaged("a folder is in the place of the state", replace_by_folder("state"),
             says="cannot be saved", leaves=("talk.partial.state",)),
    _damaged("the partial file is empty", write("partial", b""), keeps=False),
    _damaged("the partial file is cut within chunk 1", cut("partial", 0.3), keeps=False),
    _damaged("the partial file is cut within chunk 2", cut("partial", 0.9), keeps=False),
    _damaged("a byte of the partial file's head is another one", flip("partial", 0.005),
             keeps=False, leaves=("talk.partial.older.mp4",)),
    _damaged("a byte of a finished segment is another one", flip("partial", 0.4), keeps=False),
    _damaged("the partial file is gone", remove("partial"), says="", keeps=False),
    _damaged("half a segment lies behind the last whole one", append("partial", b"\0\0\1\0moof"),
             says="56 frames are there", most_again=1),
    Fault(name="set back by ten years in mid-run", kind=CLOCK,
          child={"patch": ("set_clock_back", 3650, 1.0)}, most_again=0),
    Fault(name="set back by ten years in mid-run, then kill -9", kind=CLOCK,
          child={"patch": ("set_clock_back", 3650, 1.0)}, when=chunk_saved(2), act=kill, code=-9),
    Fault(name="set back between two runs: files are of tomorrow", kind=CLOCK,
          prepare=interrupted_and(date(time.time() + 86_400)), says="56 frames are there"),
    Fault(name="files are of 1970", kind=CLOCK, prepare=interrupted_and(date(0)),
          says="56 frames are there"),
]  # fmt: skip
