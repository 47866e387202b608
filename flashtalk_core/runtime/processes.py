"""The processes of a fleet as the process that renders sees them: one life, from start to end."""

from __future__ import annotations

import os
import selectors
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, suppress
from typing import NoReturn, cast

from ..config.chunk import ChunkConfig
from ..errors import FlashTalkError, WorkerError
from ..excerpt import reason
from .channel import Blob, Channel, ChannelClosed
from .faults import death_error, fault_error, first_cause, hang_error, is_cause, version_error
from .launched import Launched
from .limits import RELEASE_S, Limits
from .messages import (
    Exit,
    Fault,
    Finished,
    Frames,
    Loading,
    Message,
    RankEnded,
    RankMemory,
    Ready,
    Report,
    Stage,
    Started,
    Step,
    Stopped,
)
from .shared.frames import SharedFrames, frame_bytes
from .shared.pages import Pages, create_pages, free_frames, reserve_frames
from .watch import Watch

_POLL_S = 0.2
_DUMP_S = 0.5
_ALL_DUMPS_S = 2.0
_DEATHS_S = 1.0
"""How long to wait for the report of a death that may have made a rank fail."""


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
        self._limit_s: Callable[[], float] = lambda: limits.load_s
        """Of the phase that the command is in."""
        self._answers: dict[int, Finished | Stopped | Fault] = {}
        self._deaths: list[RankEnded] = []
        self._pids: tuple[int, ...] = ()
        self.ready: dict[int, Ready] = {}
        self.memory: dict[int, RankMemory] = {}
        self.is_running = True
        try:
            with ExitStack() as undo:
                self._file = create_pages()
                undo.callback(os.close, self._file)
                self.pages = Pages(self._file)
                self._selector = selectors.DefaultSelector()
                undo.callback(self._selector.close)
                self._launched = Launched(self._devices, limits, self._file)
                undo.pop_all()
        except OSError as error:
            raise WorkerError(f"{self._names}: no process starts: {reason(error)}") from error
        self._selector.register(self._launched.control, selectors.EVENT_READ, None)
        for rank, channel in enumerate(self._launched.ranks):
            self._selector.register(channel, selectors.EVENT_READ, rank)
        try:
            self._wait_until_ready()
        except BaseException:
            self.kill()
            raise

    def __repr__(self) -> str:
        state = "running" if self.is_running else "ended"
        return f"Processes({', '.join(self._devices)}, {state})"

    @property
    def log(self) -> str:
        """Path of the file that all processes write to."""
        return self._launched.log

    def share_frames(self, chunk: ChunkConfig, size_px: tuple[int, int]) -> SharedFrames:
        """Reserve shared memory for frames; see :func:`.shared.pages.reserve_frames`."""
        reserve_frames(self._file, frame_bytes(chunk, size_px))
        return SharedFrames(self.pages, chunk, size_px)

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
        self._limit_s = limit_s or (lambda: self._limits.load_s)
        message = make(self._command)
        for rank, channel in enumerate(self._launched.ranks):
            try:
                channel.send(message, blobs)
            except TimeoutError:  # it runs, or is stopped, and does not read
                self._fail_by_hang(rank, self._limits.start_s)
            except ChannelClosed:
                self._fail_by_death(rank)
        yield from self._reports(self._limit_s)
        self._raise_fault()

    def run_quietly(self, make: Callable[[int], Message]) -> None:
        """Let all ranks carry out a command that reports nothing; see :meth:`run`."""
        for _ in self.run(make, limit_s=lambda: RELEASE_S):
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
        for _ in self._reports(self._limit_s):
            pass
        if self._faults and not self._have_failed_alike:
            self.kill()
            raise WorkerError(str(self._error_of_faults(has_ended=True)))

    def close(self) -> None:
        """End all processes, as far as possible by asking them to."""
        if not self.is_running:
            return
        for channel in self._launched.ranks:
            with suppress(ChannelClosed, TimeoutError):
                channel.send(Exit())
        self._launched.wait(self._limits.exit_s)
        self.kill()
        self._launched.remove_log()

    def kill(self) -> None:
        """End all processes now, and free what is shared; the log stays."""
        if not self.is_running:
            return
        self.is_running = False
        self._selector.close()
        self._launched.end(self._limits.exit_s)
        os.close(self._file)

    @property
    def _names(self) -> str:
        return "devices " + ", ".join(self._devices)

    def _wait_until_ready(self) -> None:
        watch, limit_s = Watch(self.pages, len(self._devices)), self._limits.start_s
        while len(self.ready) < len(self._devices):
            if self._selector.select(_POLL_S):
                self._receive()
            self._raise_fault()
            stuck = watch.find_stuck(self.ready, limit_s)
            if stuck is not None:
                self._fail_by_hang(stuck, limit_s)
        if len({each.versions for each in self.ready.values()}) > 1:
            raise version_error(self._devices, self.ready)

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
            if self._faults and fault_s is None:
                fault_s = time.monotonic()
            if fault_s is not None and time.monotonic() - fault_s > self._limits.stop_s:
                self.kill()
                raise self._error_of_faults(has_ended=True)
            stuck = watch.find_stuck(self._answers, limit_s())
            if stuck is not None:
                self._fail_by_hang(stuck, limit_s())

    def _receive(self) -> Report | None:
        """Take the next message; return it if it is a report."""
        for key, _ in self._selector.select(0):
            channel = cast("Channel", key.fileobj)
            try:
                message, _blobs = channel.receive()
            except (ChannelClosed, TimeoutError):
                self._fail_by_death(key.data)
            if isinstance(message, RankEnded):
                self._deaths.append(message)
                self._fail_by_death(message.rank)
            if isinstance(message, Ready):
                self.ready[message.rank] = message
                if message.free_bytes is not None:
                    self.memory[message.rank] = RankMemory(
                        free_bytes=message.free_bytes, held_bytes=0
                    )
            elif isinstance(message, Finished | Stopped | Fault):
                if message.command == self._command:
                    self._answers[message.rank] = message
                if isinstance(message, Finished) and message.memory is not None:
                    self.memory[message.rank] = message.memory
            elif isinstance(message, Loading | Step | Stage | Frames):
                return message
            else:
                assert isinstance(message, Started), message
                self._pids = message.pids
            return None
        return None

    @property
    def _faults(self) -> list[Fault]:
        return [each for each in self._answers.values() if isinstance(each, Fault)]

    @property
    def _have_failed_alike(self) -> bool:
        """Whether the exchanges that ranks had begun when they failed still match.

        Where memory of a GPU ran out they may not: each rank fails when it queues work, and may
        have queued another number of exchanges before.
        """
        on_gpus = any(device.startswith("cuda") for device in self._devices)
        if on_gpus and any(each.kind == "memory" for each in self._faults):
            return False
        errors = {each.error for each in self._faults}
        return len(self._faults) == len(self._devices) and len(errors) == 1

    def _error_of_faults(self, *, has_ended: bool) -> FlashTalkError:
        return fault_error(first_cause(self._faults), self._devices, self.log, has_ended=has_ended)

    def _raise_fault(self) -> None:
        if not self._faults:
            return
        if first_cause(self._faults).kind == "internal":
            # It may have failed because another one was killed, which the launcher reports later.
            end_s = time.monotonic() + _DEATHS_S
            while time.monotonic() < end_s:
                if self._selector.select(_POLL_S):
                    self._receive()
        if not self._have_failed_alike or not self._command:
            self.kill()
        raise self._error_of_faults(has_ended=not self.is_running)

    def _fail_by_death(self, rank: int | None) -> NoReturn:
        """Gather which ranks ended, end the others, and raise."""
        end_s = time.monotonic() + _DEATHS_S
        with suppress(ChannelClosed):
            while time.monotonic() < end_s and not any(map(is_cause, self._deaths)):
                death = self._launched.next_death(_POLL_S)
                self._deaths += [death] if death is not None else []
        launcher_code = None if self._deaths else self._launched.wait(_DEATHS_S)
        error = death_error(
            self._deaths, self._devices, launcher_code, self.pages, self.log, seen=rank
        )
        self.kill()
        raise error

    def _fail_by_hang(self, rank: int, limit_s: float) -> NoReturn:
        error = hang_error(self._devices, rank, limit_s, self.pages, self.log)
        for pid in self._pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGUSR1)  # writes where all its threads are to the log
            # One after the other, or their lines would mix.
            time.sleep(min(_DUMP_S, _ALL_DUMPS_S / len(self._pids)))
        self.kill()
        raise error
