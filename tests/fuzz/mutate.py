"""Damaged inputs made of valid ones, and the count of what a reader did with them.

A run is decided by its seed: the same cases come in the same order on every machine.
"""

import contextlib
import os
import random
import resource
import signal
import traceback
import warnings
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

CASES = int(os.environ.get("FUZZ_CASES", "0"))
"""Cases of every harness; 0 leaves each its own number."""
SEED = int(os.environ.get("FUZZ_SEED", "1"))
MAX_CASE_S = 10
MAX_MORE_BYTES = 4 * 2**30

NUMBERS = (0, 1, 2, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF, 2**63 - 1, 2**64 - 1)
VALUES = (
    None, True, False, 0, 1, -1, 2, 7, 128, 65_537, 2**31, 2**53, 2**63, 2**64, 10**400, 0.0, -0.5,
    1e-30, 1e308, float("nan"), float("inf"), -float("inf"), "", "0", "a", "a" * 5000, "\ud800",
    "\x1b[2J", "../a", "a\0b", [], [0], [1, 2, 3], [None], ["a"], [[1]], {}, {"a": 1},
)  # fmt: skip


def mutated(rng: random.Random, seeds: list[bytes]) -> bytes:
    """Return one of ``seeds`` with one damage, or up to eight."""
    data = bytearray(rng.choice(seeds))
    for _ in range(min(8, 1 + int(rng.expovariate(0.9)))):
        _damage(rng, data, seeds)
    return bytes(data)


def _damage(rng: random.Random, data: bytearray, seeds: list[bytes]) -> None:
    at = rng.randrange(len(data) + 1)
    length = min(len(data) - at, rng.choice((1, 2, 4, 8, 16, 64, 1024)))
    kind = rng.randrange(8)
    if kind == 0 and at < len(data):
        data[at] ^= 1 << rng.randrange(8)
    elif kind == 1:
        data[at : at + length] = rng.randbytes(length)
    elif kind == 2:
        del data[at : at + length]
    elif kind == 3:
        data[at:at] = data[at : at + length]
    elif kind == 4:
        width = rng.choice((1, 2, 4, 8))
        number = rng.choice(NUMBERS) % 256**width
        data[at : at + width] = number.to_bytes(width, rng.choice(("little", "big")))
    elif kind == 5 and rng.random() < 0.3:
        del data[at:]
    elif kind == 6:
        other = rng.choice(seeds)
        start = rng.randrange(len(other) + 1)
        data[at : at + length] = other[start : start + length]
    else:
        data[at:at] = rng.randbytes(rng.randint(1, 8))


def mutated_value(rng: random.Random, value):
    """Return a value of JSON in which one to three places are others."""
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        value = _changed(rng, value)
    return value


def _changed(rng, value):
    if isinstance(value, dict) and value and rng.random() < 0.9:
        key = rng.choice(list(value))
        kind = rng.random()
        if kind < 0.1:
            return {name: each for name, each in value.items() if name != key}
        if kind < 0.15:
            return value | {rng.choice(("a", "", "\ud800", "a" * 300)): value[key]}
        return value | {key: _changed(rng, value[key])}
    if isinstance(value, list) and value and rng.random() < 0.7:
        at = rng.randrange(len(value))
        kind = rng.random()
        if kind < 0.2:
            return value[:at] + value[at + 1 :]
        if kind < 0.4:
            return value + value[at:]
        return [*value[:at], _changed(rng, value[at]), *value[at + 1 :]]
    if type(value) in (int, float) and abs(value) < 2**64 and rng.random() < 0.4:
        return rng.choice((value + 1, value - 1, -value, 2 * value, value * 1000, float(value)))
    if rng.random() < 0.02:
        return _nested(rng.choice((20, 40, 400)))
    return rng.choice(VALUES)


def _nested(depth):
    value = []
    for _ in range(depth):
        value = [value]
    return value


@dataclass
class Count:
    """What became of the cases of one reader."""

    reader: str
    accepted: int = 0
    refused: int = 0
    uncaught: Counter = field(default_factory=Counter)
    """By kind and place."""
    examples: dict = field(default_factory=dict)

    def __str__(self):
        cases = self.accepted + self.refused + sum(self.uncaught.values())
        line = f"{self.reader}: {cases} cases, {self.accepted} accepted, {self.refused} refused"
        places = [f"\n  {n} x {place}: {self.examples[place]}" for place, n in
                  self.uncaught.most_common()]  # fmt: skip
        return f"{line}, {sum(self.uncaught.values())} uncaught{''.join(places)}"


def run(reader, read, cases, refusals):
    """Let ``read`` take each of ``cases``; print and return what became of them.

    Args:
        reader: Name for the line that is printed.
        read: Takes one case.
        cases: Yields cases, which an example is shown of if it is not caught.
        refusals: Errors that tell a user what is wrong; their text has to be printable and short.
    """
    count = Count(reader)
    with _limits(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for case in cases:
            try:
                with _in_time():
                    read(case)
                count.accepted += 1
            except refusals as error:
                place = _fault_of_text(str(error))
                count.refused += not place
                if place:
                    _note(count, place, case)
            except Exception as error:
                frame = traceback.extract_tb(error.__traceback__)[-1]
                place = f"{type(error).__name__} {error!s:.80} {frame.filename}:{frame.lineno}"
                _note(count, place.replace("\n", " "), case)
    print(count)  # noqa: T201 (the result of the tier, shown by -s and on failure)
    return count


def _note(count, place, case):
    count.uncaught[place] += 1
    count.examples.setdefault(place, repr(case)[:300])


def _fault_of_text(text):
    """Return what is wrong with the text of a refusal."""
    if not text.isprintable():
        return "a refusal that is not printable"
    return f"a refusal of {len(text)} characters" if len(text) > 2000 else ""


@contextlib.contextmanager
def _in_time():
    def late(*_):
        raise TimeoutError(f"more than {MAX_CASE_S} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(MAX_CASE_S)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


@contextlib.contextmanager
def _limits():
    """Let memory that is asked for without measure fail at once, and not take the machine."""
    limits = resource.getrlimit(resource.RLIMIT_AS)
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    taken = pages * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (taken + MAX_MORE_BYTES, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, limits)


def cases(usual, make, seed=SEED):
    """Yield ``usual`` cases, or as many as asked for, each from its own seed."""
    for number in range(CASES or usual):
        yield make(random.Random(f"{seed} {number}"))
