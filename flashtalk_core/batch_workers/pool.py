"""Rows of a batch shared among processes, one for each device."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Sequence
from queue import Empty, SimpleQueue

from ..batch.rows import BatchEvents, CheckedRow, Outcome
from ..engine.spec import RenderSpec
from ..errors import WorkerError
from ..files.deferred_stops import deferred_stops
from ..log import printable_log
from .messages import Report
from .process import Reports, RowProcess

logger = printable_log(logging.getLogger(__name__))

_POLL_S = 0.5
_STOP_S = 30.0
"""Time for a step and the end of a file after Ctrl-C."""
_MOST_DEAD = 2
"""Processes of a device, one after the other, that ended before a first step: then it gets none."""

Place = Callable[[RenderSpec], RenderSpec]


class ProcessPool:
    """Renders as many rows at once as there are devices; :class:`.batch.rows.RowWorkers`.

    A process that ends takes its row with it, and a new one renders the rest. Warnings of all are
    logged here.
    """

    def __init__(self, places: Sequence[Place], step_limit_s: float | None = None) -> None:
        """Start nothing yet.

        Args:
            places: One for each process; returns a spec as it is rendered there.
            step_limit_s: How long networks may work without a report; ``None`` is as long as
                they like.
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
        self._num_dead: dict[RowProcess, int] = {}
        """Processes before each that ended before a first step."""
        self._why = ""

    @property
    def is_busy(self) -> bool:
        return any(process.row is not None for process in self._places)

    def start(self, places: Sequence[Place]) -> None:
        for place in places:
            self._start(place, 0)

    def wait(self) -> None:
        """Take one report, if there is one, and end processes that hang."""
        try:
            process, report = self._reports.get(timeout=_POLL_S)
        except Empty:
            pass
        else:
            self._take(process, report)
        for each in self._places:
            each.end_if_hanging()

    def _take(self, process: RowProcess, report: Report | None) -> None:
        if report is None:
            self._lose(process)
        elif report.status is None:
            self._pass_on(process, report)
        else:
            self._end_row(process, report.outcome())
            if not process.is_hanging:  # else it was ended just before it said so
                self._give(process)

    def _pass_on(self, process: RowProcess, report: Report) -> None:
        _note(process, report)
        if process.row is None:
            return
        if report.resumed:
            self._events.resumed(process.row, report.resumed)
        if report.frames:
            self._events.frames(process.row, report.frames)

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
            elif report.status is None:
                _note(process, report)
            else:
                self._end_row(process, report.outcome())
        for process in self._places:
            process.kill()
            if process.row is not None:
                self._end_row(process, _stopped(process))

    def _start(self, place: Place, num_dead: int) -> None:
        try:
            process = RowProcess(place, self._reports, self._step_limit_s)
        except WorkerError as error:
            self._why = str(error)
            return
        self._places[process], self._num_dead[process] = place, num_dead
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
        num_dead = self._num_dead.pop(process) + 1
        if process.has_worked:  # it was its row; the device is all right
            num_dead = 0
        if num_dead < _MOST_DEAD and self._left:
            self._start(place, num_dead)

    def _end_row(self, process: RowProcess, outcome: Outcome) -> None:
        row, process.row = process.row, None
        assert row is not None
        with deferred_stops():
            self._events.ended(row, outcome)


def _note(process: RowProcess, report: Report) -> None:
    process.note(report)
    if report.warning is not None:
        logger.warning("%s", report.warning)


def _stopped(process: RowProcess) -> Outcome:
    """Return what became of a row whose process did not say so before it ended."""
    lost = process.lost("its process was ended")
    return Outcome("stopped", lost.num_frames, lost.seconds, lost.error)
