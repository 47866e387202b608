"""What a rank does: it opens jobs and generates chunks as asked, and reports what fails."""

from __future__ import annotations

import gc
import logging
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor

from ... import __version__
from ...acceleration.kernel_options import Exchange
from ...engine.avatar import TalkingAvatar
from ...engine.build import Encodings, encode_inputs, prepare_avatar
from ...engine.encoding_cache import EncodingMemo
from ...engine.plan import RenderPlan
from ...engine.state import FrameGroup, SessionState
from ...log import printable_log
from ...parallel.banded_images import spread_images
from ...parallel.collectives import Collectives
from ...parallel.groups import SequenceGroups, sequence_groups
from ...parallel.image_spread import ImageSpread
from ...placement.devices import device_name
from ...placement.residency import CachedNetworks
from ..channel import Channel
from ..faults import fault_of
from ..job import Job, Model, read_job, unpack_plan, unpack_tensor
from ..launcher import RankSettings
from ..messages import (
    Exit,
    Finished,
    Frames,
    GenerateChunk,
    Message,
    OpenJob,
    RankMemory,
    Ready,
    Release,
    Stopped,
)  # fmt: skip
from ..shared.frames import SharedFrames
from ..shared.pages import Pages, Phase
from .events import RankEvents, SentSamples, span_of
from .meeting import meet
from .spread import SpreadNetworks, share
from .tickets import StoppedError, Tickets

logger = printable_log(logging.getLogger(__name__))

_PAUSE_S = 0.0002


def serve(settings: RankSettings, channel: Channel, pages: Pages) -> None:
    """Meet the other ranks, and carry out commands until the last one.

    An idle rank waits at its channel, never in an exchange, whose time limit would end it.

    Raises:
        ChannelClosed: If the process that renders is gone.
    """
    device = torch.device(settings.devices[settings.rank])
    if device.type == "cuda":
        torch.cuda.set_device(device)
    row = pages.row(settings.rank)
    try:
        control, ranks = meet(settings, device, row)
    except Exception as error:  # of the system, of gloo or NCCL: the parent ends all, and says it
        logger.exception("failed %s", row.read())
        fault = fault_of(error, command=0, rank=settings.rank, phase=str(row.read()))
        channel.send(fault)
        channel.receive()
        return
    channel.send(_ready(settings.rank, device))
    rank = Rank(settings, device, channel, pages, control, ranks)
    while True:
        row.enter(Phase.IDLE)
        message, blobs = channel.receive()
        if isinstance(message, Exit):
            break
        channel.send(rank.carry_out(message, blobs))
    rank.release(networks=True)
    dist.destroy_process_group()


def _ready(rank: int, device: torch.device) -> Ready:
    free, total = torch.cuda.mem_get_info(device) if device.type == "cuda" else (None, None)
    return Ready(
        rank=rank,
        pid=os.getpid(),
        device=device_name(device),
        free_bytes=free,
        total_bytes=total,
        versions=(f"flashtalk {__version__}", f"torch {version('torch')}"),
    )


def _memory(device: torch.device) -> RankMemory | None:
    if device.type != "cuda":
        return None
    free, _total = torch.cuda.mem_get_info(device)
    return RankMemory(free_bytes=free, held_bytes=torch.cuda.memory_reserved(device))


@dataclass
class RankSession:
    """A session that is open on a rank."""

    avatar: TalkingAvatar
    frames: SharedFrames
    state: SessionState | None = None
    """After the chunk before."""


class Rank:
    """Networks and sessions of one rank."""

    def __init__(
        self,
        settings: RankSettings,
        device: torch.device,
        channel: Channel,
        pages: Pages,
        control: Collectives,
        ranks: Collectives,
    ) -> None:
        """Hold nothing yet."""
        self._rank = settings.rank
        self._device = device
        self._channel = channel
        self._pages = pages
        self._row = pages.row(settings.rank)
        self._tickets = Tickets(pages, settings.rank)
        self._events = RankEvents(settings, channel, self._row, self._tickets)
        self._control = control
        self._ranks = ranks
        self._samples = SentSamples()
        self._spreads: dict[tuple[tuple[int, int], str, tuple[int, ...]], ImageSpread] = {}
        self._memo = EncodingMemo()
        self._model: Model | None = None
        self._networks: CachedNetworks | None = None
        self._groups: dict[int, SequenceGroups] = {}
        self._spread: SpreadNetworks | None = None
        self._division: tuple[Exchange, int] | None = None
        self._sessions: dict[int, RankSession] = {}

    def carry_out(self, message: Message, blobs: list[bytearray]) -> Message:
        """Carry out a command, and return the answer; whatever fails in it is one."""
        assert isinstance(message, OpenJob | GenerateChunk | Release), message
        self._events.command = message.command
        self._row.begin(message.command)
        self._tickets.begin(message.command)
        try:
            if isinstance(message, OpenJob):
                self._open(message, blobs)
            elif isinstance(message, GenerateChunk):
                self._generate(message, blobs)
            else:
                self.release(networks=message.networks, session=message.session)
        except StoppedError:
            return Stopped(command=message.command, rank=self._rank)
        except Exception as error:  # the border of the process: the parent decides
            phase = str(self._row.read())
            self._tickets.fail()
            logger.exception("failed %s", phase)
            return fault_of(error, command=message.command, rank=self._rank, phase=phase)
        memory = _memory(self._device) if isinstance(message, Release) else None
        return Finished(command=message.command, rank=self._rank, memory=memory)

    def release(self, *, networks: bool, session: int | None = None) -> None:
        """Free a session, ``None`` all of them, and all weights if ``networks`` is set."""
        if session is None:
            self._sessions.clear()
        else:
            self._sessions.pop(session, None)
        if networks:
            self._networks = self._model = self._spread = None
        gc.collect()
        if self._device.type == "cuda":
            torch.cuda.empty_cache()

    def _open(self, message: OpenJob, blobs: list[bytearray]) -> None:
        self._row.enter(Phase.LOADING)
        job = read_job(message.job)
        plan = unpack_plan(job, blobs, self._device)
        frames = SharedFrames(self._pages, plan.chunk, plan.request.size_px)
        inner, networks = self._networks_for(job, plan)
        self._row.enter(Phase.ENCODING)

        def encode() -> list[Tensor]:
            made = encode_inputs(plan, inner, self._memo)
            self._row.mark()
            return [*made.contexts, made.clip_tokens]

        if self._rank != 0:
            self._row.mark()  # it waits for rank 0, which is behind until all is encoded
        *contexts, tokens = share(encode, self._control)
        avatar = prepare_avatar(
            plan,
            Encodings(contexts, tokens),
            self._samples,
            networks,
            job.fingerprint,
            self._events,
            self._images(plan),
        )
        self._sessions[message.command] = RankSession(avatar, frames)

    def _networks_for(self, job: Job, plan: RenderPlan) -> tuple[CachedNetworks, SpreadNetworks]:
        """Return the networks as they were read, and divided; what was read serves any division."""
        if self._networks is None or self._model != job.model:
            assert not self._sessions, "sessions that are open at once have one model"
            self.release(networks=True)
            self._networks = CachedNetworks(plan.checkpoint, plan.placement, self._events)
            self._model = job.model
        division = job.exchange, job.ring
        if self._spread is None or self._division != division:
            if job.ring not in self._groups:
                self._groups[job.ring] = sequence_groups(self._ranks, ring=job.ring)
            groups = self._groups[job.ring]
            self._spread = SpreadNetworks(self._networks, groups, self._control, job.exchange)
            self._division = division
        return self._networks, self._spread

    def _images(self, plan: RenderPlan) -> ImageSpread:
        """Return how frames are divided; groups of ranks for that are made once."""
        place = plan.placement
        key = plan.request.size_px, place.vae_grid, place.vae_devices
        if key not in self._spreads:
            self._spreads[key] = spread_images(self._ranks, *key)
        return self._spreads[key]

    def _generate(self, message: GenerateChunk, blobs: list[bytearray]) -> None:
        session = self._sessions[message.session]
        avatar, frames = session.avatar, session.frames
        samples, *motion = blobs
        voices = np.frombuffer(samples, np.float32).reshape(avatar.num_voices, -1)
        self._samples.put(message.first_sample, voices)
        self._events.chunk = message.index + 1
        self._row.enter(Phase.AUDIO, chunk=message.index + 1)
        state = session.state
        if message.keep_state:
            assert state is not None, "a chunk of this session was generated before"
        else:
            given = unpack_tensor(message.motion, motion[0]) if message.motion else None
            state = SessionState(message.index, given, avatar.fingerprint)
        assert state.chunk_index == message.index, (state.chunk_index, message.index)
        groups = avatar.generate(span_of(message, avatar.chunk), state)
        first = 0
        for group in iter(partial(self._next_group, groups), None):
            session.state = group.state
            count = len(group.frames)
            frames.write(first, group, with_state=self._rank == 0)
            self._row.written = message.command, first + count
            self._row.mark()  # rank 0 waits for those that have not written
            if self._rank == 0:
                self._wait_for_others(message.command, first + count)
                is_last = group.state is not None
                self._channel.send(
                    Frames(command=message.command, first=first, count=count, is_last=is_last)
                )
            first += count

    def _next_group(self, groups: Iterator[FrameGroup]) -> FrameGroup | None:
        self._tickets.next_unit()
        return next(groups, None)

    def _wait_for_others(self, command: int, count: int) -> None:
        """Wait until all ranks have written their parts of a chunk's first ``count`` frames."""
        for rank in range(self._ranks.size):
            row = self._pages.row(rank)
            while row.written < (command, count):
                if self._pages.failed == command:
                    raise StoppedError
                time.sleep(_PAUSE_S)
