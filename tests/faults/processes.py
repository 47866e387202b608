"""Processes that render, started in a fraction of a second: forked from one that has rendered."""

import contextlib
import multiprocessing
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path

from tests.faults.child import run_forked

ROOT = Path(__file__).parents[2]
LIMIT_S = 180
POLL_S = 0.002
_PROCESS_CLOCK = 2
"""Of Linux: kind of clock in the number that clock_getcpuclockid(3) makes of a process."""
_NO_ERROR = re.compile(r"chunk \d+/|without --|warning: size 32x32|memory ")


@dataclass(frozen=True)
class Outcome:
    """What became of a run."""

    code: int
    """Negative if a signal has ended it."""
    lines: tuple[str, ...]
    """What the user saw, progress and notes on the settings left out."""
    took_s: float

    @property
    def last(self):
        return self.lines[-1] if self.lines else ""


class Run:
    """A render that was started."""

    def __init__(self, settings, folder):
        self.start_s = time.monotonic()
        self._stderr = folder / f"stderr-{time.monotonic_ns()}.txt"
        if not settings.stderr:
            settings = replace(settings, stderr=str(self._stderr))
        self._is_cold = settings.is_cold
        if settings.is_cold:
            command = [sys.executable, "-m", "tests.faults.child", settings.to_json()]
            redirection = settings.shell or f'2>>"{settings.stderr}" >&2'
            self._process = subprocess.Popen(
                ["/bin/sh", "-c", f'exec "$@" {redirection}', "sh", *command],
                cwd=ROOT,
                start_new_session=True,
                env=os.environ
                | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "LOG": settings.stderr},
            )
        else:
            context = multiprocessing.get_context("forkserver")
            context.set_forkserver_preload(["tests.faults.preloaded"])
            self._process = context.Process(target=run_forked, args=(settings,))
            self._process.start()
        self.pid = self._process.pid
        self._processor_s = 0.0

    @property
    def is_over(self):
        return self._code() is not None

    @property
    def processor_s(self):
        """Processor time that it has taken so far: other programs slow it down and count little."""
        with contextlib.suppress(OSError):  # it is over
            self._processor_s = time.clock_gettime(~self.pid << 3 | _PROCESS_CLOCK)
        return self._processor_s

    def signal(self, *names):
        """Send signals, one after the other; to a process that is over none."""
        for name in names:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, getattr(signal, name))
            time.sleep(0.01)

    def wait(self):
        """Return what became of it."""
        deadline_s = self.start_s + LIMIT_S
        while (code := self._code()) is None:
            if time.monotonic() > deadline_s:
                self.signal("SIGKILL")
                raise TimeoutError(f"a render did not end within {LIMIT_S} s")
            time.sleep(0.01)
        said = self._stderr.read_text(errors="replace") if self._stderr.exists() else ""
        lines = tuple(line for line in said.splitlines() if line and not _NO_ERROR.match(line))
        return Outcome(code, lines, time.monotonic() - self.start_s)

    def _code(self):
        return self._process.poll() if self._is_cold else self._process.exitcode
