"""Execution of a transformer's blocks: where weights come from, and by which kernels they run.

Axis legend: B batch, L tokens, C width, N heads, D head dim, T latent frames, A audio tokens a
frame.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from torch import Tensor

from .block import AvatarBlock, BlockContext, KeyValue
from .speakers import Speakers

BlockPhase = Literal["session", "audio", "step"]
"""Why blocks are requested: to project prompt and image, to project the audio, or for a step."""


class BlockProvider(Protocol):
    """Yields transformer blocks in order; each is resident until the next is requested."""

    def blocks_for(self, blocks: Sequence[AvatarBlock], phase: BlockPhase) -> Iterator[AvatarBlock]:
        """Yield every block when the weights that ``phase`` needs are on the device."""
        ...


class BlockExecution(Protocol):
    """Runs one block at a step; every one computes what :meth:`AvatarBlock.forward` computes."""

    def __call__(
        self,
        block: AvatarBlock,
        x: Tensor,
        modulation: Tensor,
        rotation: Tensor,
        context: BlockContext,
        audio: KeyValue,
        speakers: Speakers | None,
    ) -> Tensor:
        """Run ``block``; for the tensors see :meth:`AvatarBlock.forward`."""
        ...


class ResidentBlocks:
    """Provides blocks whose weights stay on the device."""

    def blocks_for(
        self,
        blocks: Sequence[AvatarBlock],
        phase: BlockPhase,  # noqa: ARG002
    ) -> Iterator[AvatarBlock]:
        """Yield every block at once; see :class:`BlockProvider`."""
        return iter(blocks)


def run_eager(
    block: AvatarBlock,
    x: Tensor,
    modulation: Tensor,
    rotation: Tensor,
    context: BlockContext,
    audio: KeyValue,
    speakers: Speakers | None,
) -> Tensor:
    """Run a block's eager forward; a :class:`BlockExecution`."""
    out: Tensor = block(x, modulation, rotation, context, audio, speakers)
    return out


RESIDENT_BLOCKS: BlockProvider = ResidentBlocks()


@dataclass(frozen=True)
class BlockRunner:
    """Runs all blocks of a transformer. Immutable: another mode is another runner."""

    provider: BlockProvider = RESIDENT_BLOCKS
    """Where the weights are: all on the device, or streamed from the host."""
    execution: BlockExecution = run_eager
    """How one block computes: eager, fused or compiled."""

    def __call__(
        self,
        blocks: Sequence[AvatarBlock],
        x: Tensor,
        modulation: Tensor,
        rotation: Tensor,
        contexts: Sequence[BlockContext],
        audio: Sequence[KeyValue],
        speakers: Speakers | None,
    ) -> Tensor:
        """Run one step through all blocks.

        Args:
            blocks: In order.
            x: Tokens, ``(B, L, C)``.
            modulation: Projected timestep, ``(B, 6, C)`` float32.
            rotation: Rotary table, ``(L, D / 2, 2)`` float32.
            contexts: Keys and values of prompt and image for each block.
            audio: Keys and values of the audio for each block, ``(B * T, A, N, D)``.
            speakers: Where two speakers are; ``None`` with one.

        Returns:
            Tokens, same shape and dtype.
        """
        resident = self.provider.blocks_for(blocks, "step")
        for block, context, keys in zip(resident, contexts, audio, strict=True):
            x = self.execution(block, x, modulation, rotation, context, keys, speakers)
        return x
