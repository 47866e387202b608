"""Rows of a batch shared among processes, one for each device."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from queue import Empty, SimpleQueue

from ..batch.rows import BatchEvents, CheckedRow, Outcome
from ..engine.spec import RenderSpec
from ..errors import WorkerError
from ..files.deferred_stops import deferred_stops
from .process import Reports, RowProcess

_POLL_S = 0.5
_STOP_S = 30.0
"""Time for a step and the end of a file after Ctrl-C."""
_MOST_LOST = 2
"""Rows in a row whose process ended: then its device gets no new one."""

Place = Callable[[RenderSpec], RenderSpec]


class ProcessPool:
    """Renders as many rows at once as there are devices; :class:`.batch.rows.RowWorkers`.

    A process that ends takes its row with it, and a new one renders the rest.
    """

    def __init__(self, places: Sequence[Place], step_limit_s: float | None = None) -> None:
        """Start nothing yet.

        Args:
            places: One for each process; returns a spec as it is rendered there.
            step_limit_s: How long a step may take; ``None`` is as long as it likes.
        """
        self._places = places
        self._step_limit_s = step_limit_s

    def render_all(self, rows: Sequence[CheckedRow], events: BatchEvents) -> None:
        """Render every row; see :class:`.batch.rows.RowWorkers`."""
        run = _Run(rows, events, self._step_limit_s)
        try:
            run.start(self._places[: len(rows)])
            while run.is_busy:
                run.wait()
            run.give_up()
        finally:
            run.end()


class _Run:
    """One batch on its processes."""

    def __init__(
        self, rows: Sequence[CheckedRow], events: BatchEvents, step_limit_s: float | None
    ) -> None:
        self._left = deque(rows)
        self._events = events
        self._step_limit_s = step_limit_s
        self._reports: Reports = SimpleQueue()
        self._places: dict[RowProcess, Place] = {}
        self._num_lost: dict[RowProcess, int] = {}
        self._why = ""

    @property
    def is_busy(self) -> bool:
        return any(process.row is not None for process in self._places)

    def start(self, places: Sequence[Place]) -> None:
        for place in places:
            self._start(place, 0)

    def wait(self) -> None:
        """Take one report, or look for processes that hang."""
        try:
            process, report = self._reports.get(timeout=_POLL_S)
        except Empty:
            for each in self._places:
                each.end_if_hanging()
            return
        if report is None:
            self._lose(process)
        elif report.status is None:
            process.note(report)
            if process.row is not None and report.frames:
                self._events.frames(process.row, report.frames)
        else:
            self._num_lost[process] = 0
            self._end_row(process, report.outcome())
            self._give(process)

    def give_up(self) -> None:
        """Report rows for which there is no process any more."""
        while self._left:
            row = self._left.popleft()
            self._events.ended(row, Outcome("failed", 0, 0.0, f"no process is left: {self._why}"))

    def end(self) -> None:
        """Stop what still runs, and report it; a process that does not stop is ended."""
        try:
            for process in self._places:
                process.stop()
            self._collect(time.monotonic() + _STOP_S)
        finally:
            for process in self._places:
                process.kill()
            for process in self._places:
                process.close()

    def _collect(self, end_s: float) -> None:
        """Report rows that stop until that time, and then those that do not."""
        while self._places and (left_s := end_s - time.monotonic()) > 0:
            try:
                process, report = self._reports.get(timeout=min(left_s, _POLL_S))
            except Empty:
                continue
            if report is None:
                if process.row is not None:
                    self._end_row(process, _stopped(process))
                process.close()
                self._places.pop(process, None)
            elif report.status is not None:
                self._end_row(process, report.outcome())
        for process in self._places:
            process.kill()
            if process.row is not None:
                self._end_row(process, _stopped(process))

    def _start(self, place: Place, num_lost: int) -> None:
        try:
            process = RowProcess(place, self._reports, self._step_limit_s)
        except WorkerError as error:
            self._why = str(error)
            return
        self._places[process], self._num_lost[process] = place, num_lost
        self._give(process)

    def _give(self, process: RowProcess) -> None:
        if self._left:
            row = self._left.popleft()
            self._events.started(row)
            process.send(row)

    def _lose(self, process: RowProcess) -> None:
        place = self._places.pop(process)
        outcome = process.lost()
        self._why = outcome.error or ""
        if process.row is not None:
            self._end_row(process, outcome)
        process.close()
        num_lost = self._num_lost.pop(process) + 1
        if num_lost < _MOST_LOST and self._left:
            self._start(place, num_lost)

    def _end_row(self, process: RowProcess, outcome: Outcome) -> None:
        row, process.row = process.row, None
        assert row is not None
        with deferred_stops():
            self._events.ended(row, outcome)


def _stopped(process: RowProcess) -> Outcome:
    """Return what became of a row whose process did not say so before it ended."""
    lost = process.lost("its process was ended")
    return Outcome("stopped", lost.num_frames, lost.seconds, lost.error)
