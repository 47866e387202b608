"""An engine of a cluster, on the host that has its devices: it carries out commands.

It speaks the messages of a fleet's ranks, and knows nothing of what carries them.
"""

from __future__ import annotations

import gc
import logging
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from queue import SimpleQueue

import numpy as np
import torch
from torch import Tensor, nn

from ...engine.build import LocalEngine
from ...engine.encoding_cache import EncodingMemo
from ...engine.plan import Engine, RenderPlan
from ...engine.state import ChunkSource, FrameGroup, SessionState
from ...errors import InvalidInputError
from ...log import printable_log
from ...placement.residency import CachedNetworks
from ..faults import fault_of
from ..fleet import Fleet
from ..job import Model, pack_tensor, plan_signature, read_job, unpack_plan, unpack_tensor
from ..limits import Limits
from ..messages import (
    Fault,
    Finished,
    Frames,
    GenerateChunk,
    Loading,
    Message,
    OpenJob,
    Release,
    Stage,
    Step,
    Stopped,
    decode,
    encode,
)  # fmt: skip
from ..worker.events import SentSamples, span_of
from ..worker.tickets import StoppedError

logger = printable_log(logging.getLogger(__name__))

Packet = tuple[bytes, list[bytes]]
"""A message as JSON, and its blobs."""


class EngineHost:
    """Renders one job after the other, on one device or with a fleet."""

    def __init__(self, devices: Sequence[str], node: str, limits: Limits | None = None) -> None:
        """Hold nothing yet.

        Args:
            devices: One, or one for each rank of a fleet, as this process calls them.
            node: What this host is called.
            limits: How long everything may take in a fleet; ``None`` is the usual.
        """
        self._limits = limits or Limits()
        self._devices = tuple(devices)
        self._node = node
        self._thread = ThreadPoolExecutor(1, "engine")
        self._reports = SimpleQueue[tuple[Message, list[bytes]]]()
        self._events = HostEvents(self._reports)
        self._samples = SentSamples()
        self._num_voices = 1
        self._memo = EncodingMemo()
        self._session = ExitStack()
        self._engine: Engine | None = None
        self._model: Model | None = None
        self._source: ChunkSource | None = None
        self._state: SessionState | None = None

    def carry_out(self, text: bytes, blobs: Sequence[bytes]) -> Iterator[Packet]:
        """Carry out a command; yield what is reported meanwhile, and the answer at the end."""
        self._thread.submit(self._carry_out, decode(text), [bytearray(blob) for blob in blobs])
        message: Message | None = None
        while not isinstance(message, Finished | Stopped | Fault):
            message, parts = self._reports.get()
            yield encode(message), parts

    def cancel(self, command: int) -> None:
        """Let a command stop at its next step, from another thread."""
        self._events.cancelled = command

    def _carry_out(self, message: Message, blobs: list[bytearray]) -> None:
        assert isinstance(message, OpenJob | GenerateChunk | Release), message
        self._events.command = message.command
        answer: Message = Finished(command=message.command, rank=0)
        try:
            if isinstance(message, OpenJob):
                self._open(message, blobs)
            elif isinstance(message, GenerateChunk):
                self._generate(message, blobs)
            else:
                self._release(networks=message.networks)
        except StoppedError:
            answer = Stopped(command=message.command, rank=0)
        except Exception as error:  # the border of the process: the process that renders decides
            logger.exception("failed")
            answer = fault_of(error, command=message.command, rank=0, phase=f"on {self._node}")
        self._reports.put((answer, []))

    def _open(self, message: OpenJob, blobs: list[bytearray]) -> None:
        self._release(networks=False)
        job = read_job(message.job)
        plan = unpack_plan(job, blobs, torch.device(self._devices[0]))
        if len(self._devices) > 1:
            plan = replace(plan, placement=replace(plan.placement, devices=self._devices))
        self._check_alike(job.signature, plan_signature(plan))
        if self._model != job.model:
            self._release(networks=True)
            self._engine, self._model = self._engine_of(plan), job.model
        assert self._engine is not None
        self._num_voices = len(plan.voices)
        opened = self._engine.open(plan, self._samples, self._events)
        self._source = self._session.enter_context(opened)

    def _engine_of(self, plan: RenderPlan) -> Engine:
        if len(self._devices) > 1:
            return Fleet(self._devices, self._limits)
        networks = CachedNetworks(plan.checkpoint, plan.placement, self._events)
        return LocalEngine(networks, self._memo)

    def _check_alike(self, wanted: Sequence[str], found: Sequence[str]) -> None:
        """Raise unless this host renders what the one that planned the job would."""
        if list(wanted) == list(found):
            return
        here = [each for each in found if each not in wanted]
        there = [each for each in wanted if each not in found]
        raise InvalidInputError(
            f"cluster engine on {self._node}: it has {', '.join(here) or 'less'}, and the host "
            f"that asks {', '.join(there) or 'less'}: videos would differ; use the same packages, "
            "devices and model files on all hosts",
            subject="cluster",
        )

    def _generate(self, message: GenerateChunk, blobs: list[bytearray]) -> None:
        source = self._source
        assert source is not None, "a job was opened"
        samples, *motion = blobs
        voices = np.frombuffer(samples, np.float32).reshape(self._num_voices, -1)
        self._samples.put(message.first_sample, voices)
        state, self._state = self._state, None
        if message.keep_state:
            assert state is not None, "a chunk of this session was generated before"
        else:
            given = unpack_tensor(message.motion, motion[0]) if message.motion else None
            state = SessionState(message.index, given, source.fingerprint)
        assert state.chunk_index == message.index, (state.chunk_index, message.index)
        first = 0
        for group in source.generate(span_of(message, source.chunk), state):
            self._report_frames(first, group)
            first += len(group.frames)
            self._state = group.state

    def _report_frames(self, first: int, group: FrameGroup) -> None:
        tensors, motion = [group.frames], None
        if group.state is not None:
            assert group.state.motion_frames is not None, "a chunk leaves motion frames"
            tensors.append(group.state.motion_frames.float())
        packed = [pack_tensor(each) for each in tensors]
        if group.state is not None:
            motion = packed[1][0]
        frames = Frames(
            command=self._events.command,
            first=first,
            count=len(group.frames),
            is_last=motion is not None,
            motion=motion,
        )
        self._reports.put((frames, [bytes(blob) for _, blob in packed]))

    def _release(self, *, networks: bool) -> None:
        self._source = self._state = None
        self._session.close()
        if networks and isinstance(self._engine, Fleet):
            self._engine.close()
        if networks:
            self._engine = self._model = None
            gc.collect()
            if self._devices[0].startswith("cuda"):
                torch.cuda.empty_cache()


class HostEvents:
    """Turns the events of a render into messages, and stops it when that is asked for."""

    def __init__(self, reports: SimpleQueue[tuple[Message, list[bytes]]]) -> None:
        """Put messages into a queue."""
        self._reports = reports
        self.command = 0
        self.cancelled = 0
        """Command that is to stop."""

    def loading(self, kind: type[nn.Module]) -> None:
        """Report a tensor that is read."""
        self._say(Loading(command=self.command, network=kind.__name__))

    def step(self, step: int) -> None:
        """Report a step."""
        self._say(Step(command=self.command, step=step))

    def stage(self, name: str) -> None:
        """Report a stage."""
        self._say(Stage(command=self.command, name=name))

    def ready(self) -> None:
        """Nothing: the process that renders knows."""

    def frames(self, frames: Tensor) -> None:
        """Nothing, as above."""

    def state(self, state: SessionState) -> None:
        """Nothing, as above."""

    def _say(self, message: Message) -> None:
        if self.cancelled == self.command:
            raise StoppedError
        self._reports.put((message, []))
