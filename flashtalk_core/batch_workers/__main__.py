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
from threading import Thread

from ..batch.renderer import RowRenderer
from ..batch.run import render_row
from ..runtime.cluster.process import engine_at
from .messages import Report, read_job, write_message


class _Jobs:
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


def main(step_limit: str) -> None:
    """Render row after row until standard input ends."""
    reports = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)  # what libraries print is no report
    logging.basicConfig(level="INFO", format="%(asctime)s %(name)s: %(message)s")
    limits = {"step_s": float(step_limit)} if step_limit else {}
    renderer = RowRenderer(lambda spec: spec, lambda place: engine_at(place, limits))
    jobs = _Jobs()
    while (line := jobs.next()) is not None:
        row = read_job(line).row()
        outcome = render_row(
            row, renderer, lambda count: reports.write(write_message(Report(frames=count)))
        )
        reports.write(write_message(Report.of(outcome)))


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except KeyboardInterrupt:  # between two rows
        sys.exit(1)
