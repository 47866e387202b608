"""How much memory the weights of a transformer's blocks take, counted on the meta device."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor, nn

from ..config.networks import DiTConfig
from ..models.attention import sdpa
from ..models.transformer.block import AvatarBlock
from ..offload.blocks import split_block
from ..quantization.packed.linear import PackedLinear, pack_layers
from ..quantization.packed.packing import Packing, unpacking_bytes

BlockBytes = tuple[int, int, int]
"""Weights of a block that run once a session, once a chunk and at every step."""
ModuleT = TypeVar("ModuleT", bound=nn.Module)

_NAME = re.compile(r"blocks\.(\d+)\.(.*)")


_MIN_NUMBERS = 10**9


@dataclass(frozen=True)
class PackedBlocks:
    """Blocks whose linear layers stay packed as far as the files have them so."""

    blocks: tuple[BlockBytes, ...]
    """Of each: files have some blocks in more bits than others."""
    unpacking: int
    """What unpacking the largest weight takes."""
    is_fp8: bool
    """Whether all that is packed is FP8."""


def packed_blocks(
    config: DiTConfig, dtype: torch.dtype, packings: Mapping[str, Packing]
) -> PackedBlocks | None:
    """Count what blocks take that stay packed; nothing is allocated.

    Args:
        config: Sizes of the transformer.
        dtype: Of what is not packed.
        packings: How matrices are packed, by parameter of the transformer.

    Returns:
        ``None`` if no layer of a block is packed.
    """
    by_block: dict[int, list[tuple[str, Packing]]] = {}
    for name, packing in packings.items():
        if match := _NAME.fullmatch(name):
            by_block.setdefault(int(match[1]), []).append((match[2], packing))
    counted: dict[tuple[tuple[str, Packing], ...], tuple[BlockBytes, int]] = {}
    blocks, largest = [], 0
    for number in range(config.num_layers):
        found = tuple(by_block.get(number, ()))
        if found not in counted:
            counted[found] = _count(config, dtype, dict(found))
        sizes, unpacking = counted[found]
        blocks.append(sizes)
        largest = max(largest, unpacking)
    if largest == 0:
        return None
    return PackedBlocks(tuple(blocks), largest, all(p.is_fp8 for p in packings.values()))


def stay_packed_on_cpu(config: DiTConfig, packings: Mapping[str, Packing]) -> bool:
    """Whether a CPU, whose memory is not known, keeps layers packed.

    Large models do: unpacked in float32 they take four times their numbers. Unpacking for each
    product would only make small ones slower.
    """
    numbers = config.num_layers * 2 * config.dim * (6 * config.dim + config.ffn_dim)
    return bool(packings) and numbers >= _MIN_NUMBERS


def _count(
    config: DiTConfig, dtype: torch.dtype, packings: Mapping[str, Packing]
) -> tuple[BlockBytes, int]:
    """Return what a block takes, and what unpacking its largest weight does."""
    block = on_meta(lambda: AvatarBlock(config, sdpa), dtype)
    pack_layers(block, packings)
    layers = [layer for layer in block.modules() if isinstance(layer, PackedLinear)]
    shapes = [(layer.out_features, layer.in_features) for layer in layers]
    return block_bytes(block), max((unpacking_bytes(shape, dtype) for shape in shapes), default=0)


def block_bytes(block: AvatarBlock) -> BlockBytes:
    """Return the bytes of a block's weights, in the form that they have."""
    session, audio, step = split_block(block)
    return num_bytes(session), num_bytes(audio), num_bytes(step)


def on_meta(build: Callable[[], ModuleT], dtype: torch.dtype) -> ModuleT:
    """Return what ``build`` makes, without memory for its parameters."""
    with torch.device("meta"):
        return build().to(dtype)


def num_bytes(tensors: Iterable[Tensor]) -> int:
    """Return the bytes of ``tensors``."""
    return sum(tensor.nbytes for tensor in tensors)
