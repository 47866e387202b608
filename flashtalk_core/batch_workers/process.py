"""One process that renders rows, as the batch sees it."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from queue import SimpleQueue
from tempfile import mkstemp
from threading import Thread

from ..batch.rows import CheckedRow, Outcome
from ..engine.spec import RenderSpec
from ..errors import WorkerError
from ..excerpt import excerpt, reason
from ..runtime.environment import worker_environment
from .messages import Job, Report, read_report, write_message

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
            step_limit_s: How long a step may take; ``None`` is as long as it likes.

        Raises:
            WorkerError: If no process starts.
        """
        self._place = place
        self._step_limit_s = step_limit_s
        self.row: CheckedRow | None = None
        """What it renders; ``None`` while it waits."""
        self.is_hanging = False
        """Whether it was ended because it made no progress."""
        self._num_frames = 0
        self._start_s = 0.0
        self._last_s: float | None = None  # of its first step on
        log, self.log = mkstemp(prefix="flashtalk-batch-", suffix=".log")
        limit = "" if step_limit_s is None else str(step_limit_s)
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-m", _PACKAGE, limit],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env=worker_environment(os.environ, ()),
                start_new_session=True,  # Ctrl-C reaches the batch, which ends it in order
            )
        except OSError as error:
            raise WorkerError(f"no process starts: {reason(error)}") from error
        finally:
            os.close(log)
        Thread(target=self._read, args=(reports,), daemon=True).start()

    def send(self, row: CheckedRow) -> None:
        """Let it render a row; that it cannot is reported as its end."""
        self.row, self._num_frames = row, 0
        self._start_s, self._last_s = time.monotonic(), None
        job = Job.of(row.row, self._place(row.row.spec))
        assert self._process.stdin is not None
        with suppress(OSError):
            self._process.stdin.write(write_message(job))
            self._process.stdin.flush()

    def note(self, report: Report) -> None:
        """Count what it reports."""
        self._last_s = time.monotonic()
        self._num_frames += report.frames

    def end_if_hanging(self) -> None:
        """End it if it made no progress for too long; that is reported as its end."""
        limit_s = self._step_limit_s
        if self.row is None or limit_s is None or self._last_s is None:
            return
        if time.monotonic() - self._last_s > limit_s:
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
        """Wait for its end, and remove its log unless it failed."""
        self.stop()
        code = self._process.wait()
        if code == 0:
            Path(self.log).unlink(missing_ok=True)

    def lost(self, why: str | None = None) -> Outcome:
        """Return what became of the row of a process that is no more."""
        code = self._process.wait()
        if self.is_hanging:
            why = f"no progress for {self._step_limit_s:g} s"
        if why is None:
            how = f"signal {-code}" if code < 0 else f"code {code}"
            why = f"its process ended with {how}{self._last_words()}; log in {self.log}"
        return Outcome("failed", self._num_frames, time.monotonic() - self._start_s, why)

    def _last_words(self) -> str:
        with suppress(OSError):
            lines = Path(self.log).read_text("utf-8", "replace").strip().splitlines()
            return f" ({excerpt(lines[-1], 160)})" if lines else ""
        return ""

    def _read(self, reports: Reports) -> None:
        assert self._process.stdout is not None
        try:
            with self._process.stdout as lines:
                for line in lines:
                    reports.put((self, read_report(line)))
        finally:
            reports.put((self, None))
