"""The processes of a fleet as the process that renders sees them: one life, from start to end."""

from __future__ import annotations

import os
import select
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict
from json import dumps
from pathlib import Path
from tempfile import mkstemp
from typing import NoReturn

from ..errors import WorkerError
from ..excerpt import reason
from .channel import Blob, Channel, ChannelClosed, make_pair
from .environment import ROOT, local_names, worker_environment
from .faults import death_error, fault_error, first_cause, hang_error, is_cause
from .launcher import LaunchSettings
from .limits import Limits
from .messages import (
    Exit,
    Fault,
    Finished,
    Frames,
    Loading,
    Message,
    RankEnded,
    Ready,
    Stage,
    Started,
    Step,
    Stopped,
)  # fmt: skip
from .pages import Pages, create_pages, free_frames, reserve_frames
from .watch import Watch

_POLL_S = 0.2
_DUMP_S = 0.5
_LOOK_S = 0.02
_DEATHS_S = 1.0
"""How long to wait for the report of a death that may have made a rank fail."""
Report = Loading | Step | Stage | Frames
"""What rank 0 reports while it carries out a command."""


class Processes:
    """Launcher and ranks. Any error but those of a render's input ends them all."""

    def __init__(self, devices: Sequence[str], limits: Limits) -> None:
        """Start the processes and wait until they have met.

        Args:
            devices: One for each rank, as this process calls them.
            limits: How long everything may take.

        Raises:
            WorkerError: If one of them ends or does not answer; none is left then.
            NoMemoryError: If there is no memory to share.
        """
        self._devices = tuple(devices)
        self._limits = limits
        self._command = 0
        self._answers: dict[int, Finished | Stopped | Fault] = {}
        self._deaths: list[RankEnded] = []
        self.ready: dict[int, Ready] = {}
        self.is_running = True
        self._selector = selectors.DefaultSelector()
        log, self.log = mkstemp(prefix="flashtalk-", suffix=".log")
        self._file = create_pages()
        self.pages = Pages(self._file)
        try:
            self._launch(log)
        except OSError as error:
            self._forget()
            raise WorkerError(f"{self._names}: no process starts: {reason(error)}") from error
        finally:
            os.close(log)
        try:
            self._wait_until_ready()
        except BaseException:
            self.kill()
            raise

    def __repr__(self) -> str:
        state = "running" if self.is_running else "ended"
        return f"Processes({', '.join(self._devices)}, {state})"

    def reserve(self, num_bytes: int) -> None:
        """Reserve shared memory for frames; see :func:`.pages.reserve_frames`."""
        reserve_frames(self._file, num_bytes)

    def free_frames(self) -> None:
        """Free the shared memory of frames, which no rank and nothing here maps any more."""
        free_frames(self._file)

    def run(
        self,
        make: Callable[[int], Message],
        blobs: Sequence[Blob] = (),
        limit_s: Callable[[], float] | None = None,
    ) -> Iterator[Report]:
        """Let all ranks carry out a command, and yield what rank 0 reports until all have.

        Args:
            make: Makes the message from the number of the command.
            blobs: Of the message.
            limit_s: Returns the longest time without progress, in seconds; ``None`` is that
                of loading.

        Raises:
            FlashTalkError: If all ranks report it; they stay, with their networks.
            WorkerError: If a rank ended, failed alone or does not go on; all are ended.
        """
        self.settle()
        self._command += 1
        self._answers = {}
        message = make(self._command)
        for rank, channel in enumerate(self._channels):
            try:
                channel.send(message, blobs)
            except (ChannelClosed, TimeoutError):
                self._fail_by_death(rank)
        yield from self._reports(limit_s or (lambda: self._limits.load_s))
        self._raise_fault()

    def run_quietly(self, make: Callable[[int], Message]) -> None:
        """Let all ranks carry out a command that reports nothing; see :meth:`run`."""
        for _ in self.run(make, limit_s=lambda: self._limits.stop_s):
            pass

    @property
    def is_settled(self) -> bool:
        """Whether all ranks have answered the last command."""
        return not self._command or len(self._answers) == len(self._devices)

    def settle(self) -> None:
        """Cancel the command that runs, if any, and wait until all ranks are idle.

        Raises:
            WorkerError: If one does not stop, or ended; all are ended then.
        """
        if not self.is_running:
            raise WorkerError(f"{self._names}: their processes have ended; start again")
        if self.is_settled:
            return
        self.pages.cancelled = self._command
        for _ in self._reports(lambda: max(self._limits.stop_s, self._limits.step_s or 60.0)):
            pass

    def close(self) -> None:
        """End all processes, as far as possible by asking them to."""
        if not self.is_running:
            return
        for channel in self._channels:
            with suppress(ChannelClosed, TimeoutError):
                channel.send(Exit())
        self._wait_for_launcher(self._limits.exit_s)
        self.kill()
        with suppress(OSError):
            Path(self.log).unlink()

    def kill(self) -> None:
        """End all processes now, and free what is shared; the log stays."""
        if not self.is_running:
            return
        self.is_running = False
        self._control.close()  # the launcher ends the ranks, and reaps them
        self._wait_for_launcher(self._limits.exit_s)
        with suppress(ProcessLookupError, PermissionError):
            # Before it is reaped, so that its number cannot be that of another group.
            os.killpg(self._launcher.pid, signal.SIGKILL)
        self._launcher.wait()
        self._forget()

    def _forget(self) -> None:
        """Close what the processes shared."""
        self.is_running = False
        self._selector.close()
        for channel in (self._control, *self._channels):
            channel.close()
        os.close(self._file)

    def _wait_for_launcher(self, limit_s: float) -> int | None:
        """Wait until the launcher has ended, without reaping it; return its exit code."""
        end_s = time.monotonic() + limit_s
        while True:
            found = os.waitid(os.P_PID, self._launcher.pid, os.WEXITED | os.WNOWAIT | os.WNOHANG)
            if found is not None:
                is_exit = found.si_code == os.CLD_EXITED
                return found.si_status if is_exit else -found.si_status
            if time.monotonic() > end_s:
                return None
            time.sleep(_LOOK_S)

    @property
    def _names(self) -> str:
        return "devices " + ", ".join(self._devices)

    def _launch(self, log: int) -> None:
        pairs = [make_pair(self._limits.start_s) for _ in range(len(self._devices) + 1)]
        (self._control, control), *ranks = pairs
        self._channels = [channel for channel, _ in ranks]
        settings = LaunchSettings(
            parent=os.getpid(),
            control=control.fileno(),
            channels=tuple(end.fileno() for _, end in ranks),
            pages=self._file,
            devices=tuple(local_names(self._devices)),
            start_s=self._limits.start_s,
            exchange_s=max(self._limits.load_s, self._limits.step_s or 0.0),
            log=self.log,
        )
        ends = [end for _, end in pairs]
        try:
            self._launcher = subprocess.Popen(
                [sys.executable, "-m", f"{_package()}.launcher", dumps(asdict(settings))],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=ROOT,
                env=worker_environment(os.environ, self._devices),
                pass_fds=[self._file, *(end.fileno() for end in ends)],
                start_new_session=True,
            )
        finally:
            for end in ends:
                end.close()
        self._selector.register(self._control, selectors.EVENT_READ, None)
        for rank, channel in enumerate(self._channels):
            self._selector.register(channel, selectors.EVENT_READ, rank)

    def _wait_until_ready(self) -> None:
        end_s = time.monotonic() + self._limits.start_s
        while len(self.ready) < len(self._devices):
            if self._selector.select(_POLL_S):
                self._receive()
            if time.monotonic() > end_s:
                missing = [rank for rank in range(len(self._devices)) if rank not in self.ready]
                raise hang_error(
                    self._devices, missing[0], self._limits.start_s, self.pages, self.log
                )
        versions = {each.versions for each in self.ready.values()}
        if len(versions) > 1:
            raise WorkerError(f"{self._names}: they run different versions: {sorted(versions)}")

    def _reports(self, limit_s: Callable[[], float]) -> Iterator[Report]:
        """Yield what rank 0 reports until all ranks have answered."""
        watch = Watch(self.pages, len(self._devices))
        fault_s: float | None = None
        while not self.is_settled:
            if self._selector.select(_POLL_S):
                report = self._receive()
                if report is not None and getattr(report, "command", 0) == self._command:
                    yield report
                    watch.skip()
            faults = [each for each in self._answers.values() if isinstance(each, Fault)]
            if faults and fault_s is None:
                fault_s = time.monotonic()
            if fault_s is not None and time.monotonic() - fault_s > self._limits.stop_s:
                self.kill()
                raise fault_error(first_cause(faults), self._devices, self.log, has_ended=True)
            stuck = watch.find_stuck(self._answers, limit_s())
            if stuck is not None:
                self._fail_by_hang(stuck, limit_s())

    def _receive(self) -> Report | None:
        """Take the next message; return it if it is a report."""
        for key, _ in self._selector.select(0):
            channel: Channel = self._control if key.data is None else self._channels[key.data]
            try:
                message, _blobs = channel.receive()
            except (ChannelClosed, TimeoutError):
                self._fail_by_death(key.data)
            if isinstance(message, RankEnded):
                self._deaths.append(message)
                self._fail_by_death(message.rank)
            if isinstance(message, Ready):
                self.ready[message.rank] = message
            elif isinstance(message, Finished | Stopped | Fault):
                if message.command == self._command:
                    self._answers[message.rank] = message
            elif isinstance(message, Loading | Step | Stage | Frames):
                return message
            else:
                assert isinstance(message, Started), message
            return None
        return None

    def _raise_fault(self) -> None:
        faults = [each for each in self._answers.values() if isinstance(each, Fault)]
        if not faults:
            return
        fault = first_cause(faults)
        if fault.kind == "internal":
            # It may have failed because another one was killed, which the launcher reports later.
            end_s = time.monotonic() + _DEATHS_S
            while time.monotonic() < end_s:
                if self._selector.select(_POLL_S):
                    self._receive()
        # Exchanges of ranks that failed at different places do not match any more.
        is_alike = len(faults) == len(self._devices) and len({each.error for each in faults}) == 1
        if not is_alike:
            self.kill()
        raise fault_error(fault, self._devices, self.log, has_ended=not is_alike)

    def _fail_by_death(self, rank: int | None) -> NoReturn:
        """Gather which ranks ended, end the others, and raise."""
        end_s = time.monotonic() + _DEATHS_S
        while time.monotonic() < end_s and not any(map(is_cause, self._deaths)):
            if not select.select([self._control], [], [], _POLL_S)[0]:
                continue
            try:
                message, _blobs = self._control.receive()
            except (ChannelClosed, TimeoutError):
                break
            if isinstance(message, RankEnded):
                self._deaths.append(message)
        launcher_code = None if self._deaths else self._wait_for_launcher(_DEATHS_S)
        error = death_error(
            self._deaths, self._devices, launcher_code, self.pages, self.log, seen=rank
        )
        self.kill()
        raise error

    def _fail_by_hang(self, rank: int, limit_s: float) -> NoReturn:
        error = hang_error(self._devices, rank, limit_s, self.pages, self.log)
        for each in self.ready.values():
            with suppress(ProcessLookupError):
                os.kill(each.pid, signal.SIGUSR1)  # writes where all its threads are to the log
        time.sleep(_DUMP_S)
        self.kill()
        raise error


def _package() -> str:
    """Return the name of this folder for a process that has the package's folder in its path."""
    return ".".join(Path(__file__).parent.relative_to(ROOT).parts)
