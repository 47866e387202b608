"""Conversion of a transformer's large linear layers to another format, such as FP8."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from torch import nn

from ..models.transformer.block import AvatarBlock
from ..models.transformer.model import AvatarDiT
from .linear_format import LinearFormat


def convert_blocks(dit: AvatarDiT, linear_format: LinearFormat, device: torch.device) -> None:
    """Convert the linear layers that run at every step over every token, block by block.

    What runs once a session or a chunk (keys and values of prompt, image and audio), the
    embeddings, the modulation, the norms and the head keep their dtype: they cost little time
    and the image depends on them most. So do the two layers around the audio cross-attention,
    which reaches the tokens past every gate: with random weights they make a third of the whole
    error, and absorbed they cost little (see ``acceleration/absorbed_audio.py``). Layers of a
    size that the format has no product for stay as they are, on every device.

    Args:
        dit: Changed in place, where its weights are; they must be in their final dtype.
        linear_format: What the layers become.
        device: Where it will run; it must support it.
    """
    for block in dit.blocks:
        assert isinstance(block, AvatarBlock)
        convert_block(block, linear_format, device)


def convert_block(block: AvatarBlock, linear_format: LinearFormat, device: torch.device) -> None:
    """Convert the linear layers of one block; see :func:`convert_blocks`."""
    for owner, name in _large_layers(block):
        linear = getattr(owner, name)
        if isinstance(linear, nn.Linear):
            setattr(owner, name, linear_format.convert(linear, device))


class BlockConverter:
    """A hook that converts the blocks of a transformer one by one while it is loaded.

    At most one block is in its original dtype at a time; see :func:`convert_blocks`.
    """

    list_name = "blocks"

    def __init__(self, linear_format: LinearFormat, device: torch.device) -> None:
        """Convert to ``linear_format``, to run on ``device``."""
        self._format = linear_format
        self._device = device
        self._blocks: Sequence[nn.Module] = ()

    def on_module_built(self, module: AvatarDiT) -> None:
        """Receive the transformer, whose blocks may be on the meta device."""
        self._blocks = cast("Sequence[nn.Module]", module.blocks)

    def on_layer_loaded(self, number: int) -> None:
        """Convert the block ``number``, whose weights have been read."""
        block = self._blocks[number]
        assert isinstance(block, AvatarBlock)
        convert_block(block, self._format, self._device)


def _large_layers(block: AvatarBlock) -> list[tuple[nn.Module, str]]:
    return [
        *((block.self_attn, name) for name in ("q", "k", "v", "o")),
        *((block.cross_attn, name) for name in ("q", "o")),
        *((block.ffn, name) for name in ("0", "2")),
    ]
