"""Finds engines for jobs, and goes on with a job elsewhere when its engine is lost."""

from __future__ import annotations

import logging
import select
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from ...errors import FlashTalkError, WorkerError
from ...log import printable_log
from ..channel import Blob, Channel, ChannelClosed
from ..faults import fault_of
from ..limits import Limits
from ..messages import (
    Array,
    Cancel,
    Exit,
    Fault,
    Finished,
    Frames,
    GenerateChunk,
    Message,
    OpenJob,
    Release,
    Stopped,
    Waiting,
)  # fmt: skip
from ..worker.tickets import StoppedError

logger = printable_log(logging.getLogger(__name__))

MOST_TRIES = 3
"""Engines that a job may lose before it fails."""
_POLL_S = 0.1
_WAITING_S = 1.0
"""How often it is said that no engine is free."""


@dataclass(frozen=True, kw_only=True)
class BrokerSettings:
    """What the process that speaks with Ray is started with."""

    parent: int
    """Process id of the process that renders."""
    channel: int
    """Socket to it, a file that is inherited."""
    devices: tuple[str, ...]
    """Of an engine, as the process that renders calls them."""
    num_threads: int
    """Of an engine on the CPU: as many as here, since they round differently otherwise."""
    limits: Limits
    """Of an engine that is a fleet."""


class EngineLostError(Exception):
    """An engine ended or cannot be reached; the message says how."""


class RemoteEngine(Protocol):
    """An engine on some host; every method but the last may raise :class:`EngineLostError`."""

    @property
    def node(self) -> str:
        """Identity of its host; empty until it is up."""
        ...

    def is_up(self, wait_s: float) -> bool:
        """Wait at most so long until it runs, and return whether it does."""
        ...

    def carry_out(self, message: Message, blobs: Sequence[Blob]) -> None:
        """Begin a command."""
        ...

    def poll(self, wait_s: float) -> tuple[Message, list[bytes]] | None:
        """Return the next message of the command; ``None`` if none comes so soon."""
        ...

    def cancel(self, command: int) -> None:
        """Let a command stop."""
        ...

    def close(self) -> None:
        """End it."""
        ...


class Engines(Protocol):
    """The engines of a cluster."""

    def start(self, avoided: Collection[str]) -> RemoteEngine:
        """Return a new engine, which runs when its devices are free.

        Args:
            avoided: Hosts that are used only if there are no others.

        Raises:
            InvalidInputError: If no host has such devices.
            WorkerError: If the cluster cannot be asked.
        """
        ...


def serve(channel: Channel, engines: Engines, address: str) -> None:
    """Carry out what the process that renders asks for, until it wants an end.

    Raises:
        ChannelClosed: If that process is gone.
    """
    broker = Broker(channel, engines, address)
    try:
        while True:
            message, blobs = channel.receive()
            if isinstance(message, Exit):
                return
            if not isinstance(message, Cancel):  # of a command that has ended meanwhile
                channel.send(broker.carry_out(message, blobs))
    finally:
        broker.drop_engine()


class Broker:
    """One engine at a time, and what it takes to repeat its work on another one."""

    def __init__(self, channel: Channel, engines: Engines, address: str) -> None:
        """Have no engine yet."""
        self._channel = channel
        self._engines = engines
        self._address = address
        self._engine: RemoteEngine | None = None
        self._job: tuple[OpenJob, list[bytearray]] | None = None
        self._is_open = False
        self._motion: tuple[Array, bytes] | None = None
        """Last state of the session."""
        self._num_sent = 0
        """Frames of the chunk that the process that renders has."""
        self._is_whole = False
        """Whether it has all of them, and the state."""
        self._lost: list[str] = []
        """How each engine of the job was lost."""
        self._avoided: set[str] = set()
        self._is_cancelled = False

    def carry_out(self, message: Message, blobs: list[bytearray]) -> Message:
        """Carry out a command on an engine, a new one if that is lost; return the answer."""
        assert isinstance(message, OpenJob | GenerateChunk | Release), message
        self._num_sent, self._is_whole, self._is_cancelled = 0, False, False
        if isinstance(message, OpenJob):
            self._job, self._motion, self._lost = (message, blobs), None, []
        if isinstance(message, Release):
            return self._release(message)
        while True:
            try:
                return self._try(message, blobs)
            except StoppedError:
                return Stopped(command=message.command, rank=0)
            except FlashTalkError as error:
                return fault_of(error, command=message.command, rank=0, phase="")
            except EngineLostError as error:
                self._note_loss(error)
                if self._is_cancelled:
                    return Stopped(command=message.command, rank=0)
                if self._is_whole:
                    return Finished(command=message.command, rank=0)
                if len(self._lost) >= MOST_TRIES:
                    return self._give_up(message.command)

    def drop_engine(self) -> None:
        """End the engine, so that others may use its devices."""
        engine, self._engine, self._is_open = self._engine, None, False
        if engine is not None:
            engine.close()

    def _release(self, message: Release) -> Message:
        self._job = self._motion = None
        if message.networks:
            self.drop_engine()
        if self._engine is not None:
            try:
                return self._run(self._engine, message, [])
            except (EngineLostError, StoppedError) as error:
                logger.warning("an idle engine was lost: %s", error)
                self.drop_engine()
        return Finished(command=message.command, rank=0)

    def _try(self, message: OpenJob | GenerateChunk, blobs: Sequence[Blob]) -> Message:
        engine = self._running_engine(message.command)
        if isinstance(message, OpenJob):
            self._is_open = False
        elif not self._is_open:
            assert self._job is not None, "a job was opened"
            job, parts = self._job
            # The job is opened again, and the first chunk reads weights.
            self._channel.send(Waiting(command=message.command))
            answer = self._run(engine, replace(job, command=message.command), parts)
            if not isinstance(answer, Finished):
                return answer
            self._channel.send(Waiting(command=message.command))
            message, blobs = self._with_state(message, blobs)
        answer = self._run(engine, message, blobs)
        self._is_open = self._is_open or isinstance(answer, Finished)
        if isinstance(answer, Fault) and answer.kind == "internal":
            self.drop_engine()  # its process may be of no more use
        return answer

    def _with_state(
        self, message: GenerateChunk, blobs: Sequence[Blob]
    ) -> tuple[GenerateChunk, Sequence[Blob]]:
        """Return a chunk for an engine that knows no state of the session."""
        if not message.keep_state:
            return message, blobs
        assert self._motion is not None, "a chunk was generated before"
        array, motion = self._motion
        return replace(message, keep_state=False, motion=array), [*blobs, motion]

    def _running_engine(self, command: int) -> RemoteEngine:
        """Return the engine; wait for a free one if there is none."""
        if self._engine is None:
            self._engine = self._engines.start(self._avoided)
        said_s = time.monotonic()
        while not self._engine.is_up(_POLL_S):
            if self._look(command):
                self.drop_engine()
                raise StoppedError
            if time.monotonic() - said_s >= _WAITING_S:
                said_s = time.monotonic()
                self._channel.send(Waiting(command=command))
        return self._engine

    def _run(self, engine: RemoteEngine, message: Message, blobs: Sequence[Blob]) -> Message:
        """Carry out a command on an engine, and pass on what it reports; return its answer."""
        assert isinstance(message, OpenJob | GenerateChunk | Release), message
        engine.carry_out(message, blobs)
        while True:
            if self._look(message.command):
                engine.cancel(message.command)
            found = engine.poll(_POLL_S)
            if found is None:
                continue
            report, parts = found
            if isinstance(report, Fault) and _is_of_engine(report):
                raise EngineLostError(f"{report.error} {report.phase}: {report.message}")
            if isinstance(report, Finished | Stopped | Fault):
                return report
            if isinstance(report, Frames) and not self._is_new(report, parts):
                continue
            self._channel.send(report, parts)

    def _note_loss(self, error: EngineLostError) -> None:
        assert self._engine is not None, "it was lost"
        self._lost.append(str(error))
        if self._engine.node:  # else it was lost before it ran anywhere
            self._avoided.add(self._engine.node)
        logger.warning("%s", error)
        self.drop_engine()

    def _give_up(self, command: int) -> Message:
        return Fault(
            command=command,
            rank=0,
            kind="input",
            error=WorkerError.__name__,
            message=f"cluster {self._address}: the render lost {len(self._lost)} engines, the last "
            f"so: {self._lost[-1]}",
            subject="cluster",
            phase="",
        )

    def _is_new(self, report: Frames, parts: Sequence[bytes]) -> bool:
        """Note frames, and the state if they are the last; return whether they were not sent."""
        if report.first < self._num_sent:
            return False
        self._num_sent = report.first + report.count
        if report.motion is not None:
            self._motion, self._is_whole = (report.motion, parts[1]), True
        return True

    def _look(self, command: int) -> bool:
        """Take what the process that renders says meanwhile; return whether it cancels now."""
        if self._is_cancelled or not select.select([self._channel], [], [], 0)[0]:
            return False
        message, _ = self._channel.receive()
        if isinstance(message, Exit):
            raise ChannelClosed("asked to end")
        self._is_cancelled = isinstance(message, Cancel) and message.command == command
        return self._is_cancelled


def _is_of_engine(fault: Fault) -> bool:
    """Whether a fault is of the devices of an engine: another one may carry the command out."""
    return fault.error == WorkerError.__name__ or (
        fault.kind == "internal" and "CUDA error" in fault.message
    )
