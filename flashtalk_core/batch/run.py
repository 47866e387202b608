"""The loop over the rows of a batch; a row that fails stops no other."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from ..borders import is_out_of_memory
from ..errors import FlashTalkError
from ..excerpt import printable, reason
from ..files.deferred_stops import deferred_stops
from ..log import printable_log
from .results import ResultFile, RowResult
from .rows import (
    BatchEvents,
    BatchRow,
    CheckedRow,
    FaultyRow,
    Outcome,
    Renderer,
    RowEvents,
    Status,
    model_key,
)

logger = printable_log(logging.getLogger(__name__))


class LocalWorker:
    """Renders in this process."""

    def __init__(self, renderer: Renderer) -> None:
        """Take what renders."""
        self._renderer = renderer

    def render_all(self, rows: Sequence[CheckedRow], events: BatchEvents) -> None:
        """Render row after row; see :class:`RowWorkers`."""
        try:
            for row in rows:
                events.started(row)
                self._render(row, events)
        finally:
            self._renderer.forget()

    def _render(self, row: CheckedRow, events: BatchEvents) -> None:
        outcome = render_row(row.row, self._renderer, _OfRow(row, events))
        with deferred_stops():  # what was rendered is written down
            events.ended(row, outcome)
        if outcome.stop is not None:
            raise outcome.stop


@dataclass(frozen=True)
class _OfRow:
    """Events of one row as those of the batch."""

    row: CheckedRow
    events: BatchEvents

    def resumed(self, count: int) -> None:
        self.events.resumed(self.row, count)

    def frames(self, count: int) -> None:
        self.events.frames(self.row, count)

    def working(self, _is_working: bool) -> None:
        self.events.frames(self.row, 0)  # time passes, and the batch may be stopped


@dataclass
class _Counted:
    """Counts frames of one row, and passes its events on."""

    events: RowEvents
    num_resumed: int = 0
    num_frames: int = 0

    def resumed(self, count: int) -> None:
        self.num_resumed, self.num_frames = count, count
        self.events.resumed(count)

    def frames(self, count: int) -> None:
        self.num_frames += count
        self.events.frames(count)

    def working(self, is_working: bool) -> None:
        self.events.working(is_working)


def render_row(row: BatchRow, renderer: Renderer, events: RowEvents) -> Outcome:
    """Render a row; whatever goes wrong is in the outcome."""
    counted, start_s = _Counted(events), time.monotonic()

    def outcome(status: Status, error: str | None, stop: BaseException | None = None) -> Outcome:
        seconds = time.monotonic() - start_s
        found = Outcome(status, counted.num_frames, seconds, error, stop)
        return replace(found, num_resumed=counted.num_resumed)

    try:
        counted.num_frames = renderer.render(row, counted)
        return outcome("done", None)
    except Exception as error:  # the border between a row and the rest of the batch
        logger.debug("row %s failed", row.number, exc_info=True)
        line = describe_error(error)
        is_known = isinstance(error, FlashTalkError)
    except BaseException as error:
        return outcome("stopped", _with_notes("", error), error)
    if not is_known:  # memory ran out, or nobody knows what state the networks are in
        renderer.forget()
    return outcome("failed", line)


def describe_error(error: BaseException) -> str:
    """Return in one line why a row failed, and where what was rendered of it is."""
    if isinstance(error, FlashTalkError):
        said = str(error)
    elif is_out_of_memory(error):
        said = f"out of memory ({reason(error)}); try a smaller size"
    else:
        said = f"unexpected {type(error).__name__}: {reason(error)}"
    return _with_notes(said, error)


def _with_notes(said: str, error: BaseException) -> str:
    parts = [*([said] if said else []), *getattr(error, "__notes__", ())]
    return printable(" ".join("; ".join(parts).split()))


def in_order(rows: Sequence[CheckedRow]) -> list[CheckedRow]:
    """Return rows so that those of one model follow each other, in the order of the manifest."""
    first: dict[object, int] = {}
    for index, row in enumerate(rows):
        first.setdefault(model_key(row.row.spec), index)
    return sorted(rows, key=lambda row: first[model_key(row.row.spec)])


def result_of(results: ResultFile, row: CheckedRow, outcome: Outcome) -> RowResult:
    """Return what the file of results says of a row."""
    found, is_done = row.row, outcome.status == "done"
    return RowResult(
        row=found.number,
        status=outcome.status,
        output=results.shown(found.output),
        image=results.shown(found.image),
        audio=results.shown(found.audio),
        seconds=round(outcome.seconds, 3),
        frames=outcome.num_frames,
        frames_resumed=outcome.num_resumed,
        frames_per_s=round(outcome.frames_per_s, 3),
        error=outcome.error or None,
        fingerprint=row.fingerprint if is_done else None,
        num_bytes=_size(found.output) if is_done else None,
        ended=_now(),
    )


def result_of_faulty(results: ResultFile, row: FaultyRow) -> RowResult:
    """Return what the file of results says of a row that cannot be rendered."""
    names = [None if each is None else results.shown(each) for each in (row.image, row.audio)]
    return RowResult(
        row=row.number,
        status="failed",
        output=None if row.output is None else results.shown(row.output),
        image=names[0],
        audio=names[1],
        error=describe_error(row.error),
        ended=_now(),
    )


def _size(path: Path) -> int | None:
    try:
        return path.stat().st_size
    except OSError:  # another program took it away just now; the next run renders it again
        return None


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
