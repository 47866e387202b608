"""One chunk of the engine's own loop, from audio to frames in host memory, with its stages timed.

Axis legend: F pixel frames, H W pixels.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..engine.avatar import TalkingAvatar
from ..engine.chunk import ChunkModel
from ..engine.events import NO_EVENTS, EventHandlers, RenderEvents
from ..engine.reference import Reference
from ..engine.state import SessionState
from ..geometry import ChunkSpan, chunk_span
from ..parallel.image_spread import WHOLE, ImageSpread
from ..placement.provider import FixedNetworks
from .random_networks import ChunkInputs, Networks
from .stage_clock import StageClock

CHUNK = "chunk"
"""Moment at which the whole chunk is there."""
FIRST_FRAME = "first frame"
"""Moment at which the first new frames are in host memory."""
_CHUNK_INDEX = 1


def run_chunk(
    networks: Networks,
    inputs: ChunkInputs,
    num_decode_latents: int,
    clock: StageClock,
    spread: ImageSpread = WHOLE,
) -> Tensor:
    """Run a chunk in the middle of a session.

    Args:
        networks: What runs.
        inputs: What it starts from.
        num_decode_latents: Latent frames that are decoded at once.
        clock: Gets the engine's stages, and the moments :data:`FIRST_FRAME` and :data:`CHUNK`.
        spread: Which ranks have which part of a frame.

    Returns:
        New frames, ``(F, H, W, 3)`` uint8; this rank's part of them.
    """
    events = EventHandlers(stage=clock.mark)
    avatar = make_avatar(networks, inputs, num_decode_latents, events, spread)
    shown: list[Tensor] = []
    state = SessionState(_CHUNK_INDEX, inputs.motion_frames)
    for group in avatar.generate(measured_span(networks), state):
        if not shown:
            clock.note(FIRST_FRAME)
        shown.append(group.frames)
    frames = torch.cat(shown)
    clock.note(CHUNK)
    return frames


def make_avatar(
    networks: Networks,
    inputs: ChunkInputs,
    num_decode_latents: int = 1,
    events: RenderEvents = NO_EVENTS,
    spread: ImageSpread = WHOLE,
) -> TalkingAvatar:
    """Return the avatar that generates the chunk."""
    config = networks.config
    resident = FixedNetworks(networks.dit, networks.vae, networks.audio_encoder)
    return TalkingAvatar(
        model=ChunkModel(resident, config.chunk, num_decode_latents, spread),
        references=_OneReference(inputs.reference),
        audio=_OneWindow(inputs.samples),
        sampling=replace(config.sampling, steps=inputs.steps),
        audio_window=config.dit.audio_window,
        fingerprint="",
        events=events,
    )


def measured_span(networks: Networks) -> ChunkSpan:
    """Return the span of the chunk that is generated."""
    return chunk_span(_CHUNK_INDEX, networks.config.chunk)


@dataclass(frozen=True)
class _OneReference:
    """The same portrait and prompt for every chunk."""

    reference: Reference

    def at(self, span: ChunkSpan) -> Reference:
        assert span.index == _CHUNK_INDEX, span
        return self.reference


@dataclass(frozen=True)
class _OneWindow:
    """The audio of one chunk's window."""

    samples: NDArray[np.float32]

    def read(self, start_sample: int, stop_sample: int) -> NDArray[np.float32]:
        assert stop_sample - start_sample == len(self.samples), (start_sample, stop_sample)
        return self.samples
