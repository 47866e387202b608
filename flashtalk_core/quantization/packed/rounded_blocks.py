"""Blocks rounded to a packed form, as a file of it would give them."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from ...config.avatar import AvatarConfig
from ...models.attention import sdpa
from ...models.transformer.block import AvatarBlock
from ...models.transformer.model import AvatarDiT
from . import blocks, superblocks
from .linear import PackedLinear
from .packing import Packing
from .quantise import quantise_q4_k, quantise_q8_0

ROUNDED: dict[str, tuple[Packing, Callable[[Tensor], Tensor], int]] = {
    "q8_0": (blocks.Q8_0, quantise_q8_0, 32),
    "q4_k": (superblocks.Q4_K, quantise_q4_k, 256),
}
"""By name: packing, what rounds to it, and the columns of a block."""


def packings_of(config: AvatarConfig, name: str) -> dict[str, Packing]:
    """Return how a file of one form has the matrices of the blocks packed, by parameter."""
    packing, _, columns = ROUNDED[name]
    with torch.device("meta"):
        block = AvatarBlock(config.dit, sdpa)
    layers = [path for path, layer in block.named_modules() if _is_fit(layer, columns)]
    numbers = range(config.dit.num_layers)
    return {f"blocks.{number}.{path}.weight": packing for number in numbers for path in layers}


class PackingHook:
    """A hook that rounds the blocks of a transformer one by one while it is made."""

    list_name = "blocks"

    def __init__(self, name: str, *, keeps_packed: bool) -> None:
        """Round to the form ``name``, and keep layers packed or put the rounded numbers back."""
        self._packing, self._round, self._columns = ROUNDED[name]
        self._keeps_packed = keeps_packed
        self._blocks: nn.ModuleList = nn.ModuleList()

    def on_module_built(self, module: AvatarDiT) -> None:
        """Receive the transformer, whose parameters are on the meta device."""
        self._blocks = module.blocks

    def on_layer_loaded(self, number: int) -> None:
        """Round the block ``number``, whose weights are there."""
        block = self._blocks[number]
        for path, layer in list(block.named_modules()):
            if isinstance(layer, nn.Linear) and _is_fit(layer, self._columns):
                packed = self._round(layer.weight.detach())
                if self._keeps_packed:
                    kept = PackedLinear(layer, self._packing)
                    kept.set_parts((packed,))
                    block.set_submodule(path, kept)
                else:
                    layer.weight.data = self._packing.unpacked((packed,), layer.weight.dtype)


def _is_fit(layer: nn.Module, columns: int) -> bool:
    return isinstance(layer, nn.Linear) and layer.in_features % columns == 0
