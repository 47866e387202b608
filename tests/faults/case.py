"""A fault as data, and what is found when it is injected."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.faults.processes import Outcome, Run
from tests.faults.scene import Scene

When = Callable[[Scene, Run], bool]
Act = Callable[[Scene, Run], Outcome | None]


@dataclass(frozen=True, kw_only=True)
class Fault:
    """One fault of the table."""

    name: str
    """What happens, as the table shows it."""
    kind: str
    """Heading of the table."""
    child: Mapping[str, Any] = field(default_factory=dict)
    """Settings of the run that is damaged; see :class:`.child.Settings`."""
    disk: str = ""
    """Options of a file system of its own for the video's folder."""
    prepare: Callable[[Scene], object] = lambda _: None
    """Before the run."""
    when: When | None = None
    """When ``act`` is called; ``None`` leaves the run alone."""
    act: Act = lambda _scene, _run: None
    """What is done in mid-run. What it returns is judged instead of the run, which has to end
    well then."""
    code: int = 0
    """Of the damaged run; negative for the signal that ends it."""
    says: str = ""
    """Pattern of one of its lines; empty if there is to be no error and no warning."""
    mend: Callable[[Scene], object] = lambda _: None
    """What a user does before the second run."""
    most_again: int = 1
    """Most chunks that are begun more than once."""
    keeps: bool = True
    """Whether every finished chunk plays after the fault. Without, the user has removed it."""
    leaves: tuple[str, ...] = ()
    """Files beside the finished video that are meant to stay."""


@dataclass(frozen=True)
class Found:
    """What was found of a fault."""

    fault: Fault
    said: str
    """Last line of the damaged run."""
    left: str
    """What was there after it."""
    num_again: int
    """Chunks that were begun more than once."""
    num_differing: int
    """Frames that differ from an unbroken render."""
    problems: tuple[str, ...]
    took_s: float

    @property
    def passed(self) -> bool:
        return not self.problems
