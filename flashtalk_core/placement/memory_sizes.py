"""How much device memory a model takes, counted from its sizes and from what was measured."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from ..acceleration.kernel_options import GraphMode
from ..config.avatar import AvatarConfig
from ..config.chunk import ChunkConfig
from ..models.attention import sdpa
from ..models.encoders.audio import AudioEncoder
from ..models.transformer.block import AvatarBlock
from ..models.transformer.model import AvatarDiT
from ..models.vae.model import VideoVAE
from ..offload.blocks import split_block
from ..quantization.blocks import convert_block
from ..quantization.fp8 import choose_format
from .activation_sizes import decode_bytes, recording_bytes, session_bytes, step_bytes
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
    blocks: dict[bool, tuple[int, int, int]]
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

    def peak_bytes(self, plan: MemoryPlan) -> int:
        """Return the most device memory that a session takes, as an estimate from above."""
        session, audio, step = self.blocks[plan.float8]
        split = 1.0 if plan.row_tiles else _SPLIT
        work = max(self.step, split * self.decode[plan.row_tiles])
        if plan.num_resident is None:
            weights = self.num_blocks * (session + audio + step)
        else:
            num_offloaded = self.num_blocks - plan.num_resident
            rings = audio + (step if num_offloaded else 0)
            weights = plan.num_resident * step + _NUM_BUFFERS * rings
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
    """
    without_blocks = replace(config.dit, num_layers=0)
    networks: tuple[Callable[[], nn.Module], ...] = (
        lambda: AvatarDiT(without_blocks),
        lambda: VideoVAE(config.vae),
        lambda: AudioEncoder(config.audio),
    )
    session = session_bytes(config, size_px, chunk, dtype)
    weights = sum(_num_bytes(_on_meta(build, dtype).parameters()) for build in networks)
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
    )


def _block_bytes(config: AvatarConfig, dtype: torch.dtype, float8: bool) -> tuple[int, int, int]:
    block = _on_meta(lambda: AvatarBlock(config.dit, sdpa), dtype)
    assert isinstance(block, AvatarBlock)
    convert_block(block, choose_format(float8=float8), torch.device("meta"))
    session, audio, step = split_block(block)
    return _num_bytes(session), _num_bytes(audio), _num_bytes(step)


def _on_meta(build: Callable[[], nn.Module], dtype: torch.dtype) -> nn.Module:
    with torch.device("meta"):
        return build().to(dtype)


def _num_bytes(tensors: Iterable[Tensor]) -> int:
    return sum(tensor.nbytes for tensor in tensors)
