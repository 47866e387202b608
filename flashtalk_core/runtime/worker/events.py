"""What goes into a chunk on a rank, and what is reported while it runs."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ...config.chunk import ChunkConfig
from ...engine.state import SessionState
from ...geometry import ChunkSpan, span_at
from ..channel import Channel
from ..launcher import RankSettings
from ..messages import GenerateChunk, Loading, Message, Stage, Step
from ..shared.pages import Phase, RankRow
from .tickets import StoppedError, Tickets


def span_of(message: GenerateChunk, chunk: ChunkConfig) -> ChunkSpan:
    """Return the spans of a chunk as the process that renders has them."""
    span = span_at(message.first_frame, message.index, chunk)
    # The window of a short live chunk may reach further than others do.
    start = message.first_sample // chunk.samples_per_frame
    return replace(span, window=range(start, start + chunk.audio_context_frames))


class SentSamples:
    """The audio window of the chunk that is generated; see :class:`SampleReader`."""

    def __init__(self) -> None:
        """Hold no samples yet."""
        self._first = 0
        self._samples = np.zeros((1, 0), np.float32)

    def put(self, first: int, samples: NDArray[np.float32]) -> None:
        """Take the samples from ``first`` on, ``(K, n)`` of K speakers."""
        self._first, self._samples = first, samples

    def read(self, start_sample: int, stop_sample: int) -> NDArray[np.float32]:
        """Return samples of the window."""
        start, stop = start_sample - self._first, stop_sample - self._first
        assert 0 <= start <= stop <= self._samples.shape[1], (
            start_sample,
            stop_sample,
            self._first,
        )
        return self._samples[:, start:stop]


class RankEvents:
    """Turns the events of a render into progress, tickets and, on rank 0, messages."""

    def __init__(
        self, settings: RankSettings, channel: Channel, row: RankRow, tickets: Tickets
    ) -> None:
        """Report for the rank of ``settings``."""
        self._is_first = settings.rank == 0
        self._channel = channel
        self._row = row
        self._tickets = tickets
        self._has_cuda = settings.devices[settings.rank].startswith("cuda")
        self._mark: torch.cuda.Event | None = None
        self.command = self.chunk = 0

    def loading(self, kind: type[nn.Module]) -> None:
        """Stop between two tensors: other ranks notice when they all compare what they read."""
        if self._tickets.is_stopping:
            raise StoppedError
        self._row.load()
        self._say(Loading(command=self.command, network=kind.__name__))

    def step(self, step: int) -> None:
        """Begin a step when rank 0 allows it, at most one step ahead of the GPU."""
        self._tickets.next_unit()
        self._row.enter(Phase.STEP, chunk=self.chunk, step=step + 1)
        self._say(Step(command=self.command, step=step))
        if self._has_cuda:
            if self._mark is not None:
                self._mark.synchronize()
            self._mark = torch.cuda.Event()
            self._mark.record()

    def stage(self, name: str) -> None:
        """Note a stage; after a step comes another one, or decoding."""
        if name.startswith("step "):
            self._row.enter(Phase.DECODE, chunk=self.chunk)
        self._row.advance()
        self._say(Stage(command=self.command, name=name))

    def ready(self) -> None:
        """Nothing: the process that renders knows."""

    def frames(self, frames: Tensor) -> None:
        """Nothing, as above."""

    def state(self, state: SessionState) -> None:
        """Nothing, as above."""

    def _say(self, message: Message) -> None:
        if self._is_first:
            self._channel.send(message)
