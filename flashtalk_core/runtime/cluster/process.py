"""A cluster as the process that renders sees it: one process here, which speaks with Ray.

Nothing here imports Ray: only that process and those of the engines do.
"""

from __future__ import annotations

import logging
import os
import select
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import asdict, replace
from functools import partial
from json import dumps
from pathlib import Path
from tempfile import mkstemp
from typing import NoReturn

import torch
from torch import Tensor

from ...config.chunk import ChunkConfig
from ...errors import WorkerError
from ...excerpt import reason
from ...log import printable_log
from ...models.transformer.model import AvatarDiT
from ...placement.place import Placement
from ..channel import Blob, ChannelClosed, make_pair
from ..environment import ROOT, worker_environment
from ..faults import fault_error
from ..fleet import Fleet
from ..job import unpack_tensor
from ..limits import Limits
from ..messages import (
    Array,
    Cancel,
    Exit,
    Fault,
    Finished,
    Frames,
    GeneratedFrames,
    Loading,
    Message,
    RankMemory,
    Ready,
    Report,
    Stage,
    Step,
    Stopped,
    Waiting,
)
from .broker import BrokerSettings
from .head import reach_head

logger = printable_log(logging.getLogger(__name__))

LIMITS = Limits(exit_s=5.0, idle_release_s=None, idle_exit_s=300.0)
"""An idle engine keeps devices that others may wait for; so it ends after five minutes."""
_POLL_S = 0.2
_STOP_S = 60.0
"""Least time for an engine to stop, or to free what it has."""
_FLEET_S = 30.0
"""How much longer than its engine this process waits for a fleet: that names the rank that does not
go on, ends them all and says so, and the render goes on with another engine."""


def cluster_engine(address: str, devices: Sequence[str], limits: Limits = LIMITS) -> Fleet:
    """Return an engine that renders somewhere in a Ray cluster; nothing is started yet.

    Args:
        address: ``host:port`` of its head, or ``auto`` for the cluster that this host is in.
        devices: What an engine is made of, one or several of one host: ``cuda:0``, ``cpu``.
        limits: How long everything may take.
    """
    return Fleet(devices, limits, start=partial(ClusterProcess, address))


def engine_at(place: Placement, limits: Mapping[str, float] | None = None) -> Fleet:
    """Return the engine of a placement in a cluster; see :func:`cluster_engine`.

    Args:
        place: Where its networks run.
        limits: Fields of :class:`.limits.Limits` that differ from those of a cluster.
    """
    own = replace(LIMITS, **(limits or {}))
    return cluster_engine(place.cluster, place.devices or (str(place.device),), own)


class ReceivedFrames:
    """Frames as they came; :class:`.messages.GeneratedFrames`."""

    def __init__(self, size_px: tuple[int, int]) -> None:
        """Hold none yet."""
        self._size_px = size_px
        self._frames = torch.empty(0)
        self._motion = torch.empty(0)

    def take(self, report: Frames, blobs: Sequence[bytearray]) -> None:
        """Take frames, and the motion frames if they came."""
        shape = report.count, *self._size_px, 3
        self._frames = unpack_tensor(Array(dtype="uint8", shape=shape), blobs[0])
        if report.motion is not None:
            self._motion = unpack_tensor(report.motion, blobs[1])

    def read(self, first: int, count: int) -> Tensor:
        """Return the frames that came last, ``(count, H, W, 3)``."""
        assert len(self._frames) == count, (first, count, len(self._frames))
        return self._frames

    def read_motion(self) -> Tensor:
        """Return the motion frames."""
        return self._motion


class ClusterProcess:
    """The process that speaks with Ray, and its engine; :class:`.messages.Workers`."""

    def __init__(self, address: str, devices: Sequence[str], limits: Limits) -> None:
        """Start it and wait until it has joined the cluster.

        Raises:
            WorkerError: If it cannot be started, or cannot join it.
        """
        self._address = address
        self._limits = limits
        self._is_fleet = len(devices) > 1
        self._command = 0
        self._answer: Finished | Stopped | Fault | None = None
        self._frames: ReceivedFrames | None = None
        self._limit_s: Callable[[], float] = lambda: limits.load_s
        """Of the phase that the command is in."""
        self._is_waiting = False
        self._is_loading = False
        """Whether the command waits for another engine, or that reads weights."""
        self.is_running = True
        self.memory: Mapping[int, RankMemory] = {}
        """Of no device: their host looks at them."""
        try:
            self._start_logged(devices)
        except OSError as error:
            raise WorkerError(
                f"cluster {address}: no process starts: {reason(error)}", subject="cluster"
            ) from error
        try:
            self._join()
        except BaseException:
            self.kill()
            raise

    def __repr__(self) -> str:
        return f"ClusterProcess({self._address}, {'running' if self.is_running else 'ended'})"

    @property
    def ready(self) -> Mapping[int, Ready]:
        """Nothing: which devices render is known only when an engine is free."""
        return {}

    def share_frames(self, chunk: ChunkConfig, size_px: tuple[int, int]) -> GeneratedFrames:  # noqa: ARG002
        """Return where frames arrive, a group at a time."""
        self._frames = ReceivedFrames(size_px)
        return self._frames

    def free_frames(self) -> None:
        """Forget the frames that came last."""
        self._frames = None

    def run(
        self,
        make: Callable[[int], Message],
        blobs: Sequence[Blob] = (),
        limit_s: Callable[[], float] | None = None,
    ) -> Iterator[Report]:
        """Carry out a command on the engine; see :meth:`.messages.Workers.run`."""
        self.settle()
        self._command += 1
        self._answer = None
        self._is_loading = False
        load_s = self._limits.load_s + (self._limits.start_s if self._is_fleet else 0.0)
        usual_s = limit_s or (lambda: load_s)
        self._limit_s = lambda: max(load_s, usual_s()) if self._is_loading else usual_s()
        try:
            self._channel.send(make(self._command), blobs)
        except (ChannelClosed, TimeoutError):
            self._fail()
        yield from self._reports(self._limit_s)
        answer: Message | None = self._answer
        if isinstance(answer, Fault):
            raise fault_error(answer, [f"engine of cluster {self._address}"], self._log)

    def run_quietly(self, make: Callable[[int], Message]) -> None:
        """Carry out a command that reports nothing."""
        for _ in self.run(make, limit_s=lambda: max(self._limits.stop_s, _STOP_S)):
            pass

    def settle(self) -> None:
        """Cancel the command that runs, if any, and wait until the engine is idle."""
        if not self.is_running:
            raise WorkerError(f"cluster {self._address}: its process has ended; start again")
        if not self._command or self._answer is not None:
            return
        with suppress(ChannelClosed, TimeoutError):
            self._channel.send(Cancel(command=self._command))
        for _ in self._reports(lambda: max(_STOP_S, self._limits.stop_s, self._limit_s())):
            pass

    def close(self) -> None:
        """End the process, and with it the engine."""
        if not self.is_running:
            return
        with suppress(ChannelClosed, TimeoutError):
            self._channel.send(Exit())
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(self._limits.exit_s)
        self.kill()
        with suppress(OSError):
            Path(self._log).unlink()

    def kill(self) -> None:
        """End the process now: Ray ends its engine; the log stays."""
        if not self.is_running:
            return
        self.is_running = False
        self._process.kill()
        self._process.wait()
        self._channel.close()

    def _start_logged(self, devices: Sequence[str]) -> None:
        log, self._log = mkstemp(prefix="flashtalk-", suffix=".log")
        try:
            self._start(devices, log)
        except BaseException:
            with suppress(OSError):
                Path(self._log).unlink()
            raise
        finally:
            os.close(log)

    def _start(self, devices: Sequence[str], log: int) -> None:
        self._channel, theirs = make_pair(self._limits.start_s)
        settings = BrokerSettings(
            parent=os.getpid(),
            channel=theirs.fileno(),
            devices=tuple(devices),
            num_threads=torch.get_num_threads(),
            limits=self._limits,
        )
        package = ".".join(Path(__file__).parent.relative_to(ROOT).parts)
        with theirs, ExitStack() as undo:
            undo.callback(self._channel.close)
            self._process = subprocess.Popen(
                [sys.executable, "-m", package, self._address, dumps(asdict(settings))],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=ROOT,
                env=worker_environment(os.environ, ()),
                pass_fds=[theirs.fileno()],
                start_new_session=True,
            )
            undo.pop_all()

    def _join(self) -> None:
        message = self._receive(self._limits.start_s)
        if isinstance(message, Fault):
            raise fault_error(message, [self._address], self._log)
        assert isinstance(message, Ready), message

    def _reports(self, limit_s: Callable[[], float]) -> Iterator[Report]:
        """Yield what the engine reports until it has answered."""
        while self._answer is None:
            message = self._receive(limit_s() + (_FLEET_S if self._is_fleet else 0.0))
            if isinstance(message, Waiting):
                self._is_loading = message.command == self._command
                yield self._waiting(message)
                continue
            assert isinstance(message, Loading | Step | Stage | Frames | Finished | Stopped | Fault)
            if message.command != self._command:
                continue
            if isinstance(message, Frames):
                self._is_loading = False
            if isinstance(message, Finished | Stopped | Fault):
                self._answer = message
            else:
                yield message

    def _waiting(self, message: Waiting) -> Report:
        """Log once that no engine is free; return a report at which a render can be stopped."""
        if not self._is_waiting:
            logger.warning(
                "cluster %s: waiting until an engine is free and has started", self._address
            )
        self._is_waiting = True
        return Loading(command=message.command, network=AvatarDiT.__name__)

    def _receive(self, limit_s: float) -> Message:
        """Return the next message."""
        end_s = time.monotonic() + limit_s
        while not select.select([self._channel], [], [], _POLL_S)[0]:
            if time.monotonic() > end_s:
                self.kill()
                raise WorkerError(
                    f"cluster {self._address}: no progress for {limit_s:g} s; its engine was "
                    f"ended; log: {self._log}",
                    subject="cluster",
                )
        try:
            message, blobs = self._channel.receive()
        except (ChannelClosed, TimeoutError):
            self._fail()
        if isinstance(message, Frames) and message.command == self._command:
            assert self._frames is not None, "a session was opened"
            self._frames.take(message, blobs)
        return message

    def _fail(self) -> NoReturn:
        self.kill()
        what = "the process that speaks with it ended"
        try:
            reach_head(self._address)
        except OSError as error:  # Ray ends its processes about a minute after the head is gone
            what = f"its head does not answer any more ({reason(error)})"
        raise WorkerError(f"cluster {self._address}: {what}; log: {self._log}", subject="cluster")
