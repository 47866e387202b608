"""How much device memory a model takes, counted from its sizes and from what was measured."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import nn

from ..acceleration.kernel_options import GraphMode
from ..config.avatar import AvatarConfig
from ..config.chunk import ChunkConfig
from ..config.light_vae import LightVAEConfig
from ..models.attention import sdpa
from ..models.encoders.audio import AudioEncoder
from ..models.transformer.block import AvatarBlock
from ..models.transformer.model import AvatarDiT
from ..models.vae.light_vae import LightVAE
from ..models.vae.model import VideoVAE
from ..offload.blocks import spread
from ..quantization.blocks import convert_block
from ..quantization.fp8 import choose_format
from ..quantization.packed.packing import Packing, unpacking_bytes
from .activation_sizes import decode_bytes, recording_bytes, session_bytes, step_bytes
from .block_sizes import BlockBytes, PackedBlocks, block_bytes, num_bytes, on_meta, packed_blocks
from .division import ONE_DEVICE, Division
from .memory_plan import MemoryPlan

_NUM_BUFFERS = 2
_SPARE = 1.04
"""What the allocator loses between blocks of memory, over what is counted."""
_SPLIT = 1.12
"""What whole images in flight cost beyond their own size: their memory is split for smaller
tensors and cannot be given back whole. Without it a card of 16 GB ran out with 2.2 GB split."""


@dataclass(frozen=True)
class ModelSizes:
    """Sizes in bytes of a running model, on each device."""

    dtype: torch.dtype
    num_blocks: int
    blocks: dict[bool, BlockBytes]
    """Weights of a block that run once a session, once a chunk and at every step, by whether
    large layers are FP8."""
    others: int
    """Weights outside the blocks, of the autoencoder and the audio encoder too, and keys and
    values of the session and the chunk."""
    step: int
    """What a step needs in addition to weights."""
    decode: dict[bool, int]
    """What decoding needs in addition to weights, by whether it runs tile by tile."""
    graph: GraphMode = "off"
    """What was requested of CUDA graphs."""
    recordings: int = 0
    """What CUDA graphs keep on the device, with plans that have them."""
    packed: PackedBlocks | None = None
    """What blocks take that stay packed; ``None`` if the files have none packed."""
    fp8_unpacking: int = 0
    """What unpacking the largest weight in FP8 takes, on a device that does not multiply it."""
    stores_fp8: bool = False
    """Whether the device is such a one."""

    def with_stage(self, weights: int, work: int) -> ModelSizes:
        """Return the sizes with a stage that takes frames while they are decoded, in bytes."""
        decode = {tiled: needed + work for tiled, needed in self.decode.items()}
        return replace(self, others=self.others + weights, decode=decode)

    def with_light_vae(self, config: LightVAEConfig) -> ModelSizes:
        """Return the sizes with a light autoencoder beside the model's own.

        That encodes all the same, which takes more memory than the light one decodes with.
        """
        weights = on_meta(lambda: LightVAE(config), self.dtype).parameters()
        return replace(self, others=self.others + num_bytes(weights))

    def peak_bytes(self, plan: MemoryPlan) -> int:
        """Return the most device memory that a session takes, as an estimate from above."""
        blocks: Sequence[BlockBytes] = (self.blocks[plan.float8],) * self.num_blocks
        split = 1.0 if plan.row_tiles else _SPLIT
        work = max(self.step, split * self.decode[plan.row_tiles])
        if plan.packed:
            assert self.packed is not None
            blocks = self.packed.blocks
            work = max(work, self.step + self.packed.unpacking)
        if plan.float8 and self.stores_fp8:
            work = max(work, self.step + self.fp8_unpacking)
        if plan.num_resident is None:
            weights = sum(map(sum, blocks))
        else:
            num_offloaded = self.num_blocks - plan.num_resident
            offloaded = spread(self.num_blocks, num_offloaded)
            session, audio, step = (max(sizes) for sizes in zip(*blocks, strict=True))
            rings = audio + (step if num_offloaded else 0)
            weights = sum(each[2] for n, each in enumerate(blocks) if n not in offloaded)
            weights += _NUM_BUFFERS * rings
            # While the session is projected nothing else runs.
            work = max(work, _NUM_BUFFERS * session)
        recordings = 0 if plan.graph == "off" else self.recordings
        return round(_SPARE * (weights + self.others + work + recordings))


def model_sizes(
    config: AvatarConfig,
    size_px: tuple[int, int],
    chunk: ChunkConfig,
    dtype: torch.dtype,
    num_decode_latents: int = 1,
    *,
    graph: GraphMode = "off",
    division: Division = ONE_DEVICE,
    num_speakers: int = 1,
    packings: Mapping[str, Packing] | None = None,
) -> ModelSizes:
    """Count what a model takes; nothing is allocated.

    Args:
        config: Its sizes.
        size_px: Height and width of the video.
        chunk: Arithmetic of a chunk.
        dtype: Of the weights.
        num_decode_latents: Latent frames that are decoded at once.
        graph: Which steps become CUDA graphs.
        division: Among several devices, of which each has all weights.
        packings: How the files have matrices of the transformer packed, by parameter.
        num_speakers: In the image.
    """
    without_blocks = replace(config.dit, num_layers=0)
    networks: tuple[Callable[[], nn.Module], ...] = (
        lambda: AvatarDiT(without_blocks),
        lambda: VideoVAE(config.vae),
        lambda: AudioEncoder(config.audio),
    )
    session = session_bytes(config, size_px, chunk, dtype, num_speakers)
    weights = sum(num_bytes(on_meta(build, dtype).parameters()) for build in networks)
    return ModelSizes(
        dtype=dtype,
        num_blocks=config.dit.num_layers,
        blocks={float8: _block_bytes(config, dtype, float8) for float8 in (False, True)},
        others=session + weights,
        step=step_bytes(config, size_px, chunk, dtype, division),
        decode={
            row_tiles: decode_bytes(
                config,
                size_px,
                dtype,
                num_decode_latents,
                row_tiles=row_tiles,
                division=division,
            )
            for row_tiles in (False, True)
        },
        graph=graph,
        recordings=recording_bytes(config, size_px, chunk, dtype, graph, division),
        packed=packed_blocks(config.dit, dtype, packings or {}),
        fp8_unpacking=unpacking_bytes((config.dit.ffn_dim, config.dit.dim), dtype),
    )


def _block_bytes(config: AvatarConfig, dtype: torch.dtype, float8: bool) -> BlockBytes:
    block = on_meta(lambda: AvatarBlock(config.dit, sdpa), dtype)
    convert_block(block, choose_format(float8=float8), torch.device("meta"))
    return block_bytes(block)
