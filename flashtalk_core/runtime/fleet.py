"""Several devices as one engine, from the side of the process that renders.

Nothing here imports ``torch.distributed``: only the ranks do.
"""

from __future__ import annotations

import logging
import time
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from threading import Lock
from typing import Any

import numpy as np

from ..config.chunk import ChunkConfig
from ..engine.events import RenderEvents
from ..engine.plan import RenderPlan
from ..engine.request import check_request, warn_about_request
from ..engine.state import ChunkSource, FrameGroup, SessionState
from ..errors import FlashTalkError, NoMemoryError, WorkerError
from ..geometry import ChunkSpan
from ..log import printable_log
from ..media.audio.source import SampleReader
from ..placement.memory_choice import PROCESS_BYTES
from .channel import Blob
from .faults import check_memory, rank_name
from .idle import IdleTimers
from .job import pack_plan, pack_tensor
from .limits import RELEASE_S, Limits, StepClock
from .messages import (
    Frames,
    GenerateChunk,
    GeneratedFrames,
    OpenJob,
    Release,
    Workers,
)
from .processes import Processes
from .reports import pass_on

logger = printable_log(logging.getLogger(__name__))

_POLL_S = 0.1


class Fleet:
    """A process for each of several devices; :class:`Engine`. They start with the first render.

    After an error that ended them, the next render starts them again. They end with this object,
    or this process.
    """

    def __init__(
        self,
        devices: Sequence[str],
        limits: Limits | None = None,
        reserve: Callable[[Fleet], AbstractContextManager[None]] = lambda _fleet: nullcontext(),
        start: Callable[[Sequence[str], Limits], Workers] = Processes,
    ) -> None:
        """Start nothing yet.

        Args:
            devices: One for each rank, as this process calls them: ``cuda:1``, or ``cpu``.
            limits: How long everything may take; ``None`` is the usual.
            reserve: Holds their devices while processes start; raises if another fleet has them.
            start: Starts what renders: processes of this host, or elsewhere.
        """
        self.devices = tuple(devices)
        self._limits = limits or Limits()
        self._reserve = reserve
        self._start = start
        self._lock = Lock()
        self._is_rendering = False
        self._processes: Workers | None = None
        self._finalizer: Any = None
        self._peak_bytes: int | None = None  # of the sessions since weights are held
        self._idle = IdleTimers(self, self._limits)

    def __repr__(self) -> str:
        return f"Fleet({', '.join(self.devices)}, {'running' if self.is_running else 'ended'})"

    @property
    def is_running(self) -> bool:
        """Whether it has processes."""
        return self._processes is not None and self._processes.is_running

    @property
    def holds_weights(self) -> bool:
        """Whether its processes may have weights on their devices."""
        return self.is_running and self._peak_bytes is not None

    @property
    def peak_bytes(self) -> int:
        """The most memory that its processes take of each device now, as planned."""
        return PROCESS_BYTES + (self._peak_bytes or 0) if self.is_running else 0

    def held_bytes(self, device: str) -> int:
        """Return the memory of a GPU that tensors of its processes take between two renders."""
        if self._processes is None or not self.is_running:
            return 0
        found = self._processes.memory.items()
        return sum(each.held_bytes for rank, each in found if self.devices[rank] == device)

    @contextmanager
    def open(
        self, plan: RenderPlan, audio: SampleReader, events: RenderEvents
    ) -> Iterator[ChunkSource]:
        """Prepare a session; see :class:`.engine.Engine`.

        Raises:
            WorkerError: If a process ends or does not go on, or the fleet renders already.
        """
        with self.share() as sessions, sessions.open(plan, audio, events) as source:
            yield source

    @contextmanager
    def share(self) -> Iterator[FleetSessions]:
        """Take the devices for sessions that are open at once, as live ones are.

        Raises:
            WorkerError: If the fleet renders already.
        """
        with self._busy():
            yield FleetSessions(self)

    def set_limits(self, limits: Limits) -> None:
        """Set how long everything may take from the next render on, which starts processes anew.

        Those that run have been told for how long they may wait for each other. Without effect
        while a render runs.
        """
        if limits == self._limits or not self._lock.acquire(blocking=False):
            return
        try:
            self.close()
            self._limits = limits
            self._idle = IdleTimers(self, limits)
        finally:
            self._lock.release()

    def release(self) -> None:
        """Free all weights; the processes stay. Without effect while a render runs."""
        if not self._lock.acquire(blocking=False):
            return
        try:
            if self._processes is not None and self._processes.is_running:
                self._end_job(self._processes, networks=True)
        finally:
            self._lock.release()

    def end_idle(self) -> None:
        """End the processes. Without effect while a render runs, or weights are freed."""
        if not self._lock.acquire(blocking=False):
            return
        try:
            self.close()
        finally:
            self._lock.release()

    def close(self) -> None:
        """End the processes; a render that runs fails."""
        self._idle.stop()
        if self._finalizer is not None:
            self._finalizer()
        self._processes = self._finalizer = self._peak_bytes = None

    @contextmanager
    def _busy(self) -> Iterator[None]:
        self._lock_for_render()
        try:
            self._is_rendering = True
            self._idle.stop()
            yield
        finally:
            self._is_rendering = False
            try:
                if self.is_running:
                    self._idle.start()
            finally:
                self._lock.release()

    def _lock_for_render(self) -> None:
        """Take the lock; wait while weights are freed or idle processes end."""
        names = f"devices {', '.join(self.devices)}"
        end_s = time.monotonic() + RELEASE_S
        is_locked = self._lock.acquire(blocking=False)
        while not is_locked:
            if self._is_rendering:
                raise WorkerError(
                    f"{names}: another render runs on them; wait for it, or use other devices"
                )
            if time.monotonic() > end_s:
                raise WorkerError(
                    f"{names}: their weights were not freed within {RELEASE_S:g} s; try it again"
                )
            is_locked = self._lock.acquire(timeout=_POLL_S)

    def _started(self, plan: RenderPlan) -> Workers:
        """Return the processes, started if there are none, or none that run."""
        needed = plan.placement.memory.peak_bytes
        if self._processes is not None and self._processes.is_running:
            try:
                self._processes.run_quietly(_release)  # all of them answer
            except WorkerError as error:
                logger.warning("%s; they are started again", error)
        if self._processes is not None and self._processes.is_running:
            check_memory(self.devices, self._processes.memory, needed, PROCESS_BYTES)
            return self._processes
        self.close()
        with self._reserve(self):
            self._processes = processes = self._start(self.devices, self._limits)
        self._finalizer = weakref.finalize(self, processes.close)
        for rank, ready in sorted(processes.ready.items()):
            logger.info("%s: %s", rank_name(self.devices, rank), ready.device)
        try:
            check_memory(self.devices, processes.memory, needed)
        except NoMemoryError:
            self.close()  # processes that hold nothing would only take memory themselves
            raise
        return processes

    def _open_job(self, processes: Workers, plan: RenderPlan, events: RenderEvents) -> OpenedJob:
        """Let processes prepare a session; what they load goes to ``events``."""
        # Processes keep what they allocated once, for a smaller render too.
        self._peak_bytes = max(self._peak_bytes or 0, plan.placement.memory.peak_bytes)
        frames = processes.share_frames(plan.chunk, plan.request.size_px)
        text, blobs = pack_plan(plan)
        session = 0

        def message(number: int) -> OpenJob:
            nonlocal session
            session = number
            return OpenJob(command=number, job=text)

        for report in processes.run(message, blobs):
            pass_on(report, events)
        return OpenedJob(processes, frames, session)

    def _end_job(self, processes: Workers, *, networks: bool, session: int | None = None) -> None:
        """Stop what runs, and free a session; after a failure the next render starts again."""
        if not processes.is_running:
            return
        try:
            processes.settle()
            processes.run_quietly(partial(_release, networks=networks, session=session))
            if networks:
                self._peak_bytes = None
                processes.free_frames()
        except FlashTalkError as error:
            logger.warning("after a render: %s", error)
            processes.kill()


@dataclass(frozen=True)
class OpenedJob:
    """A session as the processes that render have it."""

    processes: Workers
    frames: GeneratedFrames | None = None
    """Where its frames arrive; ``None`` of a session that could not be opened."""
    session: int = 0
    """Its number there; no session has 0."""


class FleetSessions:
    """Sessions of one model that are open at once; :class:`Engine`.

    One thread opens them, generates chunk after chunk, of whichever session, and closes them.
    """

    def __init__(self, fleet: Fleet) -> None:
        """Open nothing yet, on a fleet that renders nothing else meanwhile."""
        self._fleet = fleet
        self._num_open = 0

    @contextmanager
    def open(
        self, plan: RenderPlan, audio: SampleReader, events: RenderEvents
    ) -> Iterator[ChunkSource]:
        """Prepare a session; see :class:`.engine.Engine`.

        Raises:
            WorkerError: If a process ends or does not go on.
        """
        fleet = self._fleet
        check_request(plan.request, plan.checkpoint.config)
        warn_about_request(
            plan.request,
            plan.checkpoint.config,
            plan.audio.duration_s,
            is_training_known=plan.checkpoint.sources.is_training_known,
        )
        processes = self._running(plan)
        self._num_open += 1
        source, is_out_of_memory = None, False
        try:
            job = fleet._open_job(processes, plan, events)
            again = partial(self._open_again, plan, events)
            source = FleetSource(job, again, plan, audio, events, fleet._limits)
            yield source
        except NoMemoryError:
            is_out_of_memory = True
            raise
        finally:
            self._num_open -= 1
            job = source.job if source is not None else OpenedJob(processes)
            is_last = not self._num_open
            fleet._end_job(
                job.processes,
                networks=is_out_of_memory and is_last,
                session=None if is_last else job.session,
            )

    def _running(self, plan: RenderPlan) -> Workers:
        """Return the processes; those that other sessions are open on, if they run."""
        held = self._fleet._processes
        if self._num_open and held is not None and held.is_running:
            return held
        return self._fleet._started(plan)

    def _open_again(self, plan: RenderPlan, events: RenderEvents, job: OpenedJob) -> OpenedJob:
        """Return a job; opened again if its processes ended in a chunk, maybe of another one."""
        is_closed = self._fleet._processes is None
        if job.processes.is_running or is_closed:
            return job
        return self._fleet._open_job(self._running(plan), plan, events)


class FleetSource:
    """The chunks of one session; :class:`ChunkSource`."""

    def __init__(
        self,
        job: OpenedJob,
        again: Callable[[OpenedJob], OpenedJob],
        plan: RenderPlan,
        audio: SampleReader,
        events: RenderEvents,
        limits: Limits,
    ) -> None:
        """Generate with processes that have opened the job of ``plan``.

        Args:
            job: What they have opened.
            again: Returns the same job, or another one if it can be opened again after they ended.
            plan: Of the video.
            audio: Analysed audio.
            events: Receives the steps and stages of each chunk.
            limits: How long everything may take.
        """
        self.job = job
        self._again = again
        self._audio = audio
        self._events = events
        self._chunk = plan.chunk
        self._fingerprint = plan.fingerprint()
        self._clock = StepClock(limits)
        self._limits = limits
        self._load_s: float | None = limits.load_s
        self._last: SessionState | None = None

    @property
    def chunk(self) -> ChunkConfig:
        """Arithmetic of a chunk."""
        return self._chunk

    @property
    def fingerprint(self) -> str:
        """Hash of everything that determines the image."""
        return self._fingerprint

    def generate(self, span: ChunkSpan, state: SessionState) -> Iterator[FrameGroup]:
        """Yield ``(f, H, W, 3)`` uint8 frames of the chunk; see :class:`ChunkSource`."""
        self._open_again()
        per_frame = self._chunk.samples_per_frame
        first_sample = span.window.start * per_frame
        samples = self._audio.read(first_sample, span.window.stop * per_frame)
        blobs = list[Blob]([np.ascontiguousarray(samples).reshape(-1).data])
        is_known = state is self._last
        motion = None
        if state.motion_frames is not None and not is_known:
            motion, blob = pack_tensor(state.motion_frames.float())
            blobs.append(blob)

        def message(number: int) -> GenerateChunk:
            return GenerateChunk(
                command=number,
                session=self.job.session,
                index=span.index,
                first_frame=span.shown.start,
                first_sample=first_sample,
                motion=motion,
                keep_state=is_known,
            )

        self._last = None
        for report in self.job.processes.run(message, blobs, self._limit_s):
            pass_on(report, self._events, self._clock)
            if isinstance(report, Frames):
                yield self._group(report, state)
        self._load_s = None

    def _open_again(self) -> None:
        """Continue elsewhere if the processes have ended, which hold no state of it there."""
        job = self._again(self.job)
        if job is not self.job:
            self.job, self._last, self._load_s = job, None, self._limits.load_s

    def _limit_s(self) -> float:
        """Return the limit of a step; the first chunk may read weights and build kernels."""
        return self._load_s or self._clock.limit_s

    def _group(self, report: Frames, state: SessionState) -> FrameGroup:
        assert self.job.frames is not None, "a job was opened"
        frames = self.job.frames.read(report.first, report.count)
        if report.is_last:
            motion = self.job.frames.read_motion()
            self._last = SessionState(state.chunk_index + 1, motion, state.fingerprint)
        return FrameGroup(frames, self._last)


def _release(command: int, *, networks: bool = False, session: int | None = None) -> Release:
    return Release(command=command, networks=networks, session=session)
