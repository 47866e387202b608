"""One process that renders rows, as the batch sees it."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from queue import SimpleQueue
from threading import Thread

from ..batch.rows import CheckedRow, Outcome
from ..engine.spec import RenderSpec
from ..errors import WorkerError
from ..excerpt import reason
from ..runtime.environment import worker_environment
from .messages import Report, RowRequest, read_report, write_message
from .worker_log import WorkerLog

_PACKAGE = __name__.rpartition(".")[0]

Reports = SimpleQueue[tuple["RowProcess", "Report | None"]]
"""Reports of all processes; ``None`` is the end of one."""


class RowProcess:
    """Renders one row at a time. It ends at the end of its input, and so with this process."""

    def __init__(
        self,
        place: Callable[[RenderSpec], RenderSpec],
        reports: Reports,
        step_limit_s: float | None,
    ) -> None:
        """Start it.

        Args:
            place: Returns a spec as it is rendered there.
            reports: Gets what it reports.
            step_limit_s: How long networks may work without a report; ``None`` is as long as
                they like.

        Raises:
            WorkerError: If no process starts.
        """
        self._place = place
        self._step_limit_s = step_limit_s
        self.row: CheckedRow | None = None
        """What it renders; ``None`` while it waits."""
        self.is_hanging = False
        """Whether it was ended because it made no progress."""
        self.has_worked = False
        """Whether a step of a row has begun in it."""
        self._num_frames = self._num_resumed = 0
        self._start_s = 0.0
        self._last_s: float | None = None  # of its last report, while networks are at work
        self._log = WorkerLog()
        limit = "" if step_limit_s is None else str(step_limit_s)
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-m", _PACKAGE, limit],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._log.fileno(),
                env=worker_environment(os.environ, ()),
                start_new_session=True,  # Ctrl-C reaches the batch, which ends it in order
            )
        except OSError as error:
            self._log.close()
            raise WorkerError(f"no process starts: {reason(error)}") from error
        Thread(target=self._read, args=(reports,), daemon=True).start()

    def send(self, row: CheckedRow) -> None:
        """Let it render a row; that it cannot is reported as its end."""
        self.row, self._num_frames, self._num_resumed = row, 0, 0
        self._start_s, self._last_s = time.monotonic(), None
        request = RowRequest.of(row.row, self._place(row.row.spec))
        assert self._process.stdin is not None
        with suppress(OSError):
            self._process.stdin.write(write_message(request))
            self._process.stdin.flush()

    def note(self, report: Report) -> None:
        """Count what it reports."""
        self._num_frames += report.frames + report.resumed
        self._num_resumed += report.resumed

    def end_if_hanging(self) -> None:
        """End it if it made no progress for too long; that is reported as its end."""
        limit_s, last_s = self._step_limit_s, self._last_s
        if self.row is None or limit_s is None or last_s is None:
            return
        if time.monotonic() - last_s > limit_s:
            self.is_hanging = True
            self.kill()

    def stop(self) -> None:
        """Let it stop its row, report that and end."""
        assert self._process.stdin is not None
        with suppress(OSError):
            self._process.stdin.close()

    def kill(self) -> None:
        """End it at once."""
        self._process.kill()

    def close(self) -> None:
        """Wait for its end; its log is gone then."""
        self.stop()
        self._process.wait()
        self._log.close()

    def lost(self, why: str | None = None) -> Outcome:
        """Return what became of the row of a process that is no more."""
        code = self._process.wait()
        if self.is_hanging:
            why = f"no progress for {self._step_limit_s:g} s{self._kept_log()}"
        if why is None:
            how = f"signal {-code}" if code < 0 else f"code {code}"
            said = self._log.last_line()
            why = f"its process ended with {how}{said and f' ({said})'}{self._kept_log()}"
        seconds, resumed = time.monotonic() - self._start_s, self._num_resumed
        return Outcome("failed", self._num_frames, seconds, why, num_resumed=resumed)

    def _kept_log(self) -> str:
        name = self._log.keep()
        return name and f"; log in {name}"

    def _read(self, reports: Reports) -> None:
        assert self._process.stdout is not None
        try:
            with self._process.stdout as lines:
                for line in lines:
                    report = read_report(line)
                    self._time(report)
                    reports.put((self, report))
        finally:
            reports.put((self, None))

    def _time(self, report: Report) -> None:
        """Take the time as a report arrives: the batch may be busy with those of others."""
        if report.is_working:
            self.has_worked = True
        if report.is_working is not None:
            self._last_s = time.monotonic() if report.is_working else None
