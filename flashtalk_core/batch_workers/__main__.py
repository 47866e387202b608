"""A process that renders rows: ``python -m flashtalk_core.batch_workers``.

Rows come from standard input, whose end stops the row that is rendered; reports go to standard
output, and everything else to standard error.
"""

from __future__ import annotations

import _thread
import logging
import os
import sys
from queue import SimpleQueue
from threading import Lock, Thread

from ..batch.renderer import RowRenderer
from ..batch.run import render_row
from ..log import printable_log
from ..runtime.cluster.process import engine_at
from .messages import Report, read_request, write_message


class _Requests:
    """Rows as they arrive; at the end of the input the current one is stopped."""

    def __init__(self) -> None:
        self._lines: SimpleQueue[bytes | None] = SimpleQueue()
        self._is_busy = False
        Thread(target=self._read, daemon=True).start()

    def next(self) -> bytes | None:
        self._is_busy = False
        line = self._lines.get()
        self._is_busy = line is not None
        return line

    def _read(self) -> None:
        for line in sys.stdin.buffer:
            self._lines.put(line)
        self._lines.put(None)
        if self._is_busy:
            _thread.interrupt_main()  # as Ctrl-C does: within a step, and files stay in order


class _Reports:
    """Tells the batch what happens; a :class:`.batch.rows.RowEvents`."""

    def __init__(self) -> None:
        self._stream = os.fdopen(os.dup(1), "wb", buffering=0)
        self._lock = Lock()  # libraries may warn from threads of their own
        os.dup2(2, 1)  # what libraries print is no report

    def send(self, report: Report) -> None:
        with self._lock:
            self._stream.write(write_message(report))

    def resumed(self, count: int) -> None:
        self.send(Report(resumed=count))

    def frames(self, count: int) -> None:
        self.send(Report(frames=count))

    def working(self, is_working: bool) -> None:
        self.send(Report(is_working=is_working))


class _Warnings(logging.Handler):
    """Passes warnings on to the batch, whose user sees no log of this process."""

    def __init__(self, reports: _Reports) -> None:
        super().__init__(logging.WARNING)
        self._reports = reports

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self._reports.send(Report(warning=record.getMessage()))
        except Exception:  # the border between the work and its log
            self.handleError(record)


def main(step_limit: str) -> None:
    """Render row after row until standard input ends."""
    reports = _Reports()
    logging.basicConfig(level="INFO", format="%(asctime)s %(name)s: %(message)s")
    own = printable_log(logging.getLogger(__package__.partition(".")[0]))
    own.logger.addHandler(_Warnings(reports))
    limits = {"step_s": float(step_limit)} if step_limit else {}
    renderer = RowRenderer(lambda spec: spec, lambda place: engine_at(place, limits))
    requests = _Requests()
    while (line := requests.next()) is not None:
        row = read_request(line).row()
        reports.send(Report.of(render_row(row, renderer, reports)))


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except KeyboardInterrupt:  # between two rows
        sys.exit(1)
