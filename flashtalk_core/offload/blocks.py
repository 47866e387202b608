"""A transformer of which only some blocks are resident on the device."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain
from typing import cast

import torch
from torch import Tensor

from ..models.transformer.block import AvatarBlock
from ..models.transformer.model import AvatarDiT
from ..models.transformer.runner import BlockPhase
from .host_weights import HostWeights
from .tensors import move_tensors, tensors_of
from .weight_stream import WeightStream

_SESSION_LAYERS = ("k", "v", "norm_k", "k_img", "v_img", "norm_k_img")
"""Layers of the attention to prompt and image that run once a session."""


class BlockOffload:
    """Offloads the weights of blocks to host memory and provides the blocks of a transformer.

    What projects prompt and image (a quarter of each block) stays on the host for all blocks, as
    does what projects the audio: these run once a session and once a chunk. The rest of a block,
    which runs at every step, is resident for as many blocks as requested.

    Offloaded blocks are spread evenly, so that each is copied while several resident ones
    compute.
    """

    list_name = "blocks"

    def __init__(self, device: torch.device, num_resident: int) -> None:
        """Prepare for a transformer.

        Args:
            device: Where it runs.
            num_resident: Resident blocks; all of them if the transformer has fewer.
        """
        self._device = device
        self._num_resident = num_resident
        self._offloaded: frozenset[int] = frozenset()
        self._dit: AvatarDiT | None = None
        self._weights: dict[BlockPhase, dict[int, HostWeights]] = {
            "session": {},
            "audio": {},
            "step": {},
        }
        self._streams: dict[BlockPhase, WeightStream] = {}

    def on_module_built(self, module: AvatarDiT) -> None:
        """Receive the transformer; the weights of its blocks come with :meth:`on_layer_loaded`.

        Args:
            module: Its blocks may be on the meta device. Afterwards it must not be moved with
                ``to``: use :meth:`move_to`; and it runs only with this as its runner's provider.
        """
        num_blocks = len(module.blocks)
        self._offloaded = spread(num_blocks, max(0, num_blocks - self._num_resident))
        self._dit = module

    @property
    def moved_bytes(self) -> dict[BlockPhase, int]:
        """Bytes copied to the device so far, by phase."""
        return {phase: stream.moved_bytes for phase, stream in self._streams.items()}

    @property
    def device_bytes(self) -> int:
        """Device memory of what stays there between two steps, buffers included."""
        resident = sum(tensor.nbytes for tensor in self._resident())
        return resident + (self._streams["step"].buffer_bytes if self._streams else 0)

    def on_layer_loaded(self, number: int) -> None:
        """Offload the block ``number``, whose weights have all been read, on any device."""
        blocks = self._blocks()
        session, audio, step = split_block(blocks[number])
        self._weights["session"][number] = HostWeights(session, self._device)
        self._weights["audio"][number] = HostWeights(audio, self._device)
        if number in self._offloaded:
            self._weights["step"][number] = HostWeights(step, self._device)
        else:
            for tensor in step:
                tensor.data = tensor.data.to(self._device)
        if len(self._weights["session"]) == len(blocks):
            self._streams = {
                "session": WeightStream(self._weights["session"], self._device, is_cyclic=False),
                "audio": WeightStream(self._weights["audio"], self._device),
                "step": WeightStream(self._weights["step"], self._device),
            }

    def blocks_for(self, blocks: Sequence[AvatarBlock], phase: BlockPhase) -> Iterator[AvatarBlock]:
        """Yield blocks in order; see :class:`BlockProvider`."""
        stream = self._streams[phase]
        for number, block in enumerate(blocks):
            stream.begin(number)
            yield block
            stream.end(number)

    def move_to(self, device: torch.device) -> None:
        """Move what stays on the device to ``device``, or off it to the host."""
        for stream in self._streams.values():
            stream.close()
        move_tensors(self._resident(), device)

    def _resident(self) -> Iterator[Tensor]:
        """Yield what is not streamed."""
        assert self._dit is not None
        blocks = self._blocks()
        for number, block in enumerate(blocks):
            if number not in self._offloaded:
                yield from split_block(block)[2]
        inside = {id(tensor) for block in blocks for tensor in tensors_of(block)}
        yield from (tensor for tensor in tensors_of(self._dit) if id(tensor) not in inside)

    def _blocks(self) -> Sequence[AvatarBlock]:
        assert self._dit is not None
        return cast("Sequence[AvatarBlock]", self._dit.blocks)


def spread(num_places: int, count: int) -> frozenset[int]:
    """Return ``count`` of ``num_places`` numbers, as evenly spaced as possible."""
    return frozenset((index * num_places) // count for index in range(count))


def split_block(block: AvatarBlock) -> tuple[list[Tensor], list[Tensor], list[Tensor]]:
    """Return the weights of a block that run once a session, once a chunk, and at every step."""
    layers = [getattr(block.cross_attn, name) for name in _SESSION_LAYERS]
    session = [tensor for layer in layers for tensor in tensors_of(layer)]
    audio = list(tensors_of(block.audio_cross_attn.kv_linear))
    others = {id(tensor) for tensor in chain(session, audio)}
    return session, audio, [each for each in tensors_of(block) if id(each) not in others]
