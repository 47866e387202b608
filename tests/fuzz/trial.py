"""One input after the other through a reader, within bounds; and the count of what became of them.

Bounds of a case: :data:`MAX_CASE_S` seconds of the processor and :data:`MAX_WAIT_S` in all, the
address space its reader states, no file outside its folder, no process, no connection.
"""

import contextlib
import resource
import signal
import traceback
import warnings
from collections import Counter
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from .watch import Watch

MAX_CASE_S = 10
"""Of the processor: a busy machine may let a process wait."""
MAX_WAIT_S = 60
MAX_MORE_BYTES = 4 * 2**30
"""Address space that a case may take where its reader states no less."""
MAX_TEXT = 2000
"""Characters of a refusal."""


class TooLateError(BaseException):
    """A case took too long; no border of a library may take it for a fault of the file."""


@dataclass
class Count:
    """What became of the cases of one reader."""

    reader: str
    accepted: int = 0
    refused: int = 0
    uncaught: Counter = field(default_factory=Counter)
    """By kind and place."""
    examples: dict = field(default_factory=dict)
    """An input of each, by kind and place."""

    @property
    def cases(self):
        return self.accepted + self.refused + sum(self.uncaught.values())

    def __str__(self):
        line = (
            f"{self.reader}: {self.cases} cases, {self.accepted} accepted, {self.refused} refused"
        )
        places = [
            f"\n  {n} x {place}: {self.examples[place]!r:.300}"
            for place, n in self.uncaught.most_common()
        ]
        return f"{line}, {sum(self.uncaught.values())} uncaught{''.join(places)}"


class Trial:
    """Lets a reader take inputs."""

    def __init__(self, name, read, refusals, folder=None, *, names_files=False):
        """Take nothing yet.

        Args:
            name: Of the reader.
            read: Takes one input.
            refusals: Errors that tell a user what is wrong; their text has to be printable and
                short.
            folder: The only one that may be written; ``None`` leaves out what is watched.
            names_files: See :class:`.reader.Reader`.
        """
        self.count = Count(name)
        self._read, self._refusals, self._folder = read, refusals, folder
        self._names_files = names_files

    def take(self, case):
        """Let it read one input, and count what becomes of it."""
        try:
            with _in_time(), self._watched():
                self._read(case)
            self.count.accepted += 1
        except self._refusals as error:
            place = _fault_of_text(str(error))
            self.count.refused += not place
            if place:
                self._note(place, case)
        except (Exception, TooLateError) as error:
            frame = traceback.extract_tb(error.__traceback__)[-1]
            place = f"{type(error).__name__} {error!s:.80} {frame.filename}:{frame.lineno}"
            self._note(place.replace("\n", " "), case)

    def _note(self, place, case):
        self.count.uncaught[place] += 1
        self.count.examples.setdefault(place, case)

    @contextlib.contextmanager
    def _watched(self):
        if self._folder is None:
            yield
            return
        with the_watch().inside(self._folder, reads_any=self._names_files) as watch:
            watch.escapes.clear()
            try:
                yield
            finally:
                if watch.escapes:  # also where the reader took it for a fault of the file
                    raise AssertionError(f"escape: {watch.escapes[0]}")


@cache
def the_watch():
    """Return the watch of this process: a hook cannot be removed."""
    return Watch()


def run(
    reader, read, cases, refusals, folder=None, memory_bytes=MAX_MORE_BYTES, *, names_files=False
):
    """Let ``read`` take each of ``cases``; print and return what became of them."""
    trial = Trial(reader, read, refusals, folder, names_files=names_files)
    with limited(memory_bytes), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for case in cases:
            trial.take(case)
    print(trial.count)  # noqa: T201 (the result of the tier, shown by -s and on failure)
    return trial.count


def _fault_of_text(text):
    """Return what is wrong with the text of a refusal."""
    if not text.isprintable():
        return "a refusal that is not printable"
    return f"a refusal of {len(text)} characters" if len(text) > MAX_TEXT else ""


@contextlib.contextmanager
def _in_time():
    def late(*_):
        raise TooLateError(f"more than {MAX_CASE_S} s of the processor, or {MAX_WAIT_S} s")

    timers = {signal.SIGPROF: signal.ITIMER_PROF, signal.SIGALRM: signal.ITIMER_REAL}
    before = {each: signal.signal(each, late) for each in timers}
    signal.setitimer(signal.ITIMER_PROF, MAX_CASE_S)
    signal.setitimer(signal.ITIMER_REAL, MAX_WAIT_S)
    try:
        yield
    finally:
        for number, timer in timers.items():
            signal.setitimer(timer, 0)
            signal.signal(number, before[number])


@contextlib.contextmanager
def limited(more_bytes):
    """Let memory that is asked for beyond ``more_bytes`` fail at once, and not take the machine."""
    limits = resource.getrlimit(resource.RLIMIT_AS)
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    taken = pages * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (taken + more_bytes, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, limits)
