"""Loading of a network: its memory plan, dtype and execution mode applied."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Generic, TypeVar, cast

import torch
from torch import nn

from ..acceleration.apply import set_execution
from ..models.encoders.text import TextEncoder
from ..models.transformer.model import AvatarDiT
from ..offload.blocks import BlockOffload
from ..offload.layers import LayerOffload
from ..offload.tensors import Offload
from ..quantization.blocks import BlockConverter
from ..quantization.linear_format import DENSE
from ..weights.load import AvatarCheckpoint
from ..weights.plan import LayerHook
from .place import Placement
from .provider import LoadEvents

N = TypeVar("N", bound=nn.Module)


@dataclass(frozen=True)
class LoadedNetwork(Generic[N]):
    """A network, ready to run."""

    network: N
    offload: Offload | None
    """What moves its weights; ``None`` if it is moved as a whole."""


def load_network(
    checkpoint: AvatarCheckpoint,
    placement: Placement,
    kind: type[N],
    *,
    events: LoadEvents | None = None,
) -> LoadedNetwork[N]:
    """Read a network, and apply the memory plan and its execution mode to it.

    Args:
        checkpoint: Its files.
        placement: Where it runs, and how much of it stays there.
        kind: Its class.
        events: Receives the loading of each tensor; ``None`` reports nothing.
    """
    device, dtype = placement.device_of(kind), placement.dtype
    offload = _offload(placement, kind, checkpoint.config.dit.num_layers)
    hooks: list[BlockConverter | BlockOffload | LayerOffload] = []
    if kind is AvatarDiT and placement.linear_format is not DENSE:
        hooks.append(BlockConverter(placement.linear_format, device))
    if offload is not None:
        hooks.append(offload)
    # A host may run everything in inference mode, but weights are moved outside of it too.
    with torch.inference_mode(False):
        network = checkpoint.load(
            kind,
            device,
            dtype,
            before_tensor=None if events is None else partial(events.loading, kind),
            hooks=cast("Sequence[LayerHook[N]]", hooks),
            packed=placement.memory.packed,
        )
        set_execution(
            network,
            placement.kernel_options_of(kind),
            device,
            provider=offload if isinstance(offload, BlockOffload) else None,
            row_tiles=placement.memory.row_tiles,
            graph=placement.memory.graph,
        )
    return LoadedNetwork(network, offload)


def _offload(
    placement: Placement, kind: type[nn.Module], num_blocks: int
) -> BlockOffload | LayerOffload | None:
    """Return what offloads parts of a network to the host, ``None`` if all of it is resident."""
    memory = placement.memory
    if memory.num_resident is None:
        return None
    if kind is AvatarDiT:
        return BlockOffload(placement.device, memory.num_resident)
    if kind is TextEncoder and memory.num_resident < num_blocks:
        # It runs once, and is as large as the transformer's blocks in FP8.
        return LayerOffload("encoder.block", placement.device)
    return None
