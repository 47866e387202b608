"""A launcher that was started, as the process that renders holds it."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict
from json import dumps
from pathlib import Path

from .channel import ChannelClosed, make_pair
from .environment import ROOT, local_names, worker_environment
from .launcher import LaunchSettings
from .limits import Limits
from .messages import RankEnded

_LOOK_S = 0.02


class Launched:
    """The launcher of a fleet, and the channels to it and to its ranks."""

    def __init__(
        self, devices: Sequence[str], limits: Limits, pages: int, log: int, name: str
    ) -> None:
        """Start the launcher, which starts the ranks.

        Args:
            devices: One for each rank, as this process calls them.
            limits: How long everything may take.
            pages: File of the shared pages.
            log: File that all processes write to.
            name: Path of the log.

        Raises:
            OSError: If it cannot be started.
        """
        pairs = [make_pair(limits.start_s) for _ in range(len(devices) + 1)]
        self.control, *self.ranks = (channel for channel, _ in pairs)
        ends = [end for _, end in pairs]
        control, *channels = (end.fileno() for end in ends)
        settings = LaunchSettings(
            parent=os.getpid(),
            control=control,
            channels=tuple(channels),
            pages=pages,
            devices=tuple(local_names(devices)),
            start_s=limits.start_s,
            exchange_s=max(limits.load_s, limits.step_s or 0.0),
            log=name,
        )
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-m", f"{_package()}.launcher", dumps(asdict(settings))],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=ROOT,
                env=worker_environment(os.environ, devices),
                pass_fds=[pages, *(end.fileno() for end in ends)],
                start_new_session=True,
            )
        except BaseException:
            self._close()
            raise
        finally:
            for end in ends:
                end.close()

    @property
    def pid(self) -> int:
        """Number of the launcher's process."""
        return self._process.pid

    def next_death(self, limit_s: float) -> RankEnded | None:
        """Return the next rank that the launcher saw end; ``None`` if it reports none in time.

        Raises:
            ChannelClosed: If the launcher itself has ended.
        """
        poll = select.poll()
        poll.register(self.control, select.POLLIN)
        if not poll.poll(limit_s * 1000):
            return None
        try:
            message, _blobs = self.control.receive()
        except TimeoutError as error:
            raise ChannelClosed("the launcher stopped within a message") from error
        return message if isinstance(message, RankEnded) else None

    def wait(self, limit_s: float) -> int | None:
        """Wait until the launcher has ended, without reaping it.

        Returns:
            Its exit code, a signal's number below 0, or ``None`` if it still runs.
        """
        end_s = time.monotonic() + limit_s
        while True:
            found = os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOWAIT | os.WNOHANG)
            if found is not None:
                is_exit = found.si_code == os.CLD_EXITED
                return found.si_status if is_exit else -found.si_status
            if time.monotonic() > end_s:
                return None
            time.sleep(_LOOK_S)

    def end(self, limit_s: float) -> None:
        """End the launcher and all that it started, within about ``limit_s`` seconds."""
        self.control.close()  # it ends the ranks, and reaps them
        self.wait(limit_s)
        with suppress(ProcessLookupError, PermissionError):
            # Before it is reaped, so that its number cannot be that of another group.
            os.killpg(self.pid, signal.SIGKILL)
        self._process.wait()
        self._close()

    def _close(self) -> None:
        for channel in (self.control, *self.ranks):
            channel.close()


def _package() -> str:
    """Return the name of this folder for a process that has the package's folder in its path."""
    return ".".join(Path(__file__).parent.relative_to(ROOT).parts)
