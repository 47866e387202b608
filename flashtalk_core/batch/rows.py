"""Rows of a batch, what becomes of them, and who renders them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from ..engine.spec import ModelSpec, PlacementSpec, RenderSpec
from ..errors import FlashTalkError

Status = Literal["done", "failed", "stopped"]
"""How the render of a row ended."""
ModelKey = tuple[ModelSpec, PlacementSpec]


@dataclass(frozen=True, kw_only=True)
class BatchRow:
    """One video of a batch."""

    number: str
    """Of the row in the manifest; ``3.2`` is the second video of row 3."""
    image: Path
    audio: Path
    output: Path
    spec: RenderSpec
    crf: int
    given: frozenset[str] = frozenset()
    """Options that the manifest or a default sets, by name."""
    notes: tuple[str, ...] = ()
    """What of the row has no effect."""


@dataclass(frozen=True)
class FaultyRow:
    """A row that cannot be rendered."""

    number: str
    error: FlashTalkError
    output: Path | None = None
    """Where its video would go; ``None`` where that is not known."""
    image: Path | None = None
    audio: Path | None = None


@dataclass(frozen=True)
class RowFacts:
    """What a check finds out about a row."""

    fingerprint: str
    """Of everything that decides its video."""
    num_frames: int
    notes: tuple[str, ...] = ()
    """Options that have no effect where it runs."""


LookAtRow = Callable[[BatchRow], RowFacts]
"""Checks a row as far as that needs no weights; raises :class:`FlashTalkError`."""


@dataclass(frozen=True)
class CheckedRow:
    """A row that can be rendered, as far as that shows without its weights."""

    row: BatchRow
    fingerprint: str
    num_frames: int
    is_done: bool = False
    """Whether an earlier run rendered it with these settings, and its video is there."""
    notes: tuple[str, ...] = ()
    """Options that have no effect where it runs."""


def model_key(spec: RenderSpec) -> ModelKey:
    """Return what rows have in common that are rendered by the same networks."""
    return spec.model, spec.placement


@dataclass(frozen=True)
class Outcome:
    """How the render of a row ended."""

    status: Status
    num_frames: int
    """Frames of the video, or those that were there when it ended otherwise."""
    seconds: float
    error: str | None = None
    stop: BaseException | None = None
    """What stopped it from outside, such as Ctrl-C; to be raised once it is written down."""
    num_resumed: int = 0
    """Frames among them that an interrupted run had rendered."""

    @property
    def frames_per_s(self) -> float:
        """Frames a second of what was rendered now."""
        return (self.num_frames - self.num_resumed) / self.seconds if self.seconds > 0 else 0.0


class BatchEvents(Protocol):
    """What happens in a batch, from the thread that called; what it raises stops the batch."""

    def started(self, row: CheckedRow, /) -> object:
        """A worker begins a row."""
        ...

    def resumed(self, row: CheckedRow, count: int, /) -> object:
        """A row goes on after so many frames of an interrupted run."""
        ...

    def frames(self, row: CheckedRow, count: int, /) -> object:
        """So many more frames of a row were written."""
        ...

    def ended(self, row: CheckedRow, outcome: Outcome, /) -> object:
        """A row ended, one way or another."""
        ...


class RowWorkers(Protocol):
    """What renders rows: this process, or several others."""

    def render_all(self, rows: Sequence[CheckedRow], events: BatchEvents) -> None:
        """Render every row, and report each; an error of a row is its outcome.

        When stopped, rows that had begun are reported as stopped first.
        """
        ...


class RowEvents(Protocol):
    """What happens while one row is rendered; what it raises stops the row."""

    def resumed(self, count: int, /) -> object:
        """It goes on after so many frames of an interrupted run."""
        ...

    def frames(self, count: int, /) -> object:
        """So many more frames were written."""
        ...

    def working(self, is_working: bool, /) -> object:
        """Networks begin to work, at each step too; or files are written, however long it takes."""
        ...


class Renderer(Protocol):
    """Renders one row after another."""

    def render(self, row: BatchRow, events: RowEvents) -> int:
        """Render a row into its file; return its frames, or raise."""
        ...

    def forget(self) -> None:
        """Free all networks, after an error for example; the next row reads them again."""
        ...
