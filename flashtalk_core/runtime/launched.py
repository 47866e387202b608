"""A launcher that was started, as the process that renders holds it."""

from __future__ import annotations

import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict
from json import dumps
from pathlib import Path
from tempfile import mkstemp

from .channel import Channel, ChannelClosed, make_pair
from .environment import ROOT, local_names, worker_environment
from .launcher import LaunchSettings
from .limits import MAX_LIMIT_S, Limits
from .messages import RankEnded

_LOOK_S = 0.02
_LATER_S = 15.0
"""How much longer ranks wait for each other at the start than this process waits for them: it sees
which of them does not go on, where they see only that one is missing."""
_EXCHANGE_FACTOR = 10
"""How much longer than without progress an exchange may wait: for one that goes on, such as rank 0
that encodes for all. Where nobody does, the process that renders ends them long before."""


class Launched:
    """The launcher of a fleet, the channels to it and to its ranks, and their log."""

    def __init__(self, devices: Sequence[str], limits: Limits, pages: int) -> None:
        """Start the launcher, which starts the ranks.

        Args:
            devices: One for each rank, as this process calls them.
            limits: How long everything may take.
            pages: File of the shared pages.

        Raises:
            OSError: If it cannot be started, or there is no place for the log.
        """
        self._channels: list[Channel] = []
        log, self.log = mkstemp(prefix="flashtalk-", suffix=".log")
        try:
            self._process = self._start(devices, limits, pages, log)
        except BaseException:
            self._close()
            self.remove_log()
            raise
        finally:
            os.close(log)

    def _start(
        self, devices: Sequence[str], limits: Limits, pages: int, log: int
    ) -> subprocess.Popen[bytes]:
        ends: list[socket.socket] = []
        try:
            for _ in range(len(devices) + 1):
                channel, end = make_pair(limits.start_s)
                self._channels.append(channel)
                ends.append(end)
            settings = self._settings(devices, limits, pages, [end.fileno() for end in ends])
            return subprocess.Popen(
                [sys.executable, "-m", f"{_package()}.launcher", dumps(asdict(settings))],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=ROOT,
                env=worker_environment(os.environ, devices),
                pass_fds=[pages, *(end.fileno() for end in ends)],
                start_new_session=True,
            )
        finally:
            for end in ends:
                end.close()

    def _settings(
        self, devices: Sequence[str], limits: Limits, pages: int, ends: Sequence[int]
    ) -> LaunchSettings:
        control, *channels = ends
        return LaunchSettings(
            parent=os.getpid(),
            control=control,
            channels=tuple(channels),
            pages=pages,
            devices=tuple(local_names(devices)),
            start_s=limits.start_s + _LATER_S,
            exchange_s=min(
                _EXCHANGE_FACTOR * max(limits.load_s, limits.step_s or 0.0), MAX_LIMIT_S
            ),
            log=self.log,
        )

    @property
    def control(self) -> Channel:
        """Channel to the launcher."""
        return self._channels[0]

    @property
    def ranks(self) -> Sequence[Channel]:
        """Channels to the ranks."""
        return self._channels[1:]

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

    def remove_log(self) -> None:
        """Remove the log, of which nobody needs to read."""
        with suppress(OSError):
            Path(self.log).unlink()

    def _close(self) -> None:
        for channel in self._channels:
            channel.close()


def _package() -> str:
    """Return the name of this folder for a process that has the package's folder in its path."""
    return ".".join(Path(__file__).parent.relative_to(ROOT).parts)
