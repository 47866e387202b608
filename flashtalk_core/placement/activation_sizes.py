"""How much memory a network needs in addition to its weights, for a host that has to free it."""

from __future__ import annotations

from dataclasses import replace

import torch

from ..acceleration.kernel_options import GraphMode
from ..acceleration.step_graph import is_worth_recording
from ..config.avatar import AvatarConfig
from ..config.chunk import ChunkConfig
from ..config.light_vae import LightVAEConfig
from ..geometry import TEMPORAL_STRIDE, num_latent_frames, token_grid
from .division import ONE_DEVICE, Division

# Tensors alive at a time, in units of the largest kind each network has. Measured at the full
# size, 768x448, bfloat16, on an H200: a step adds 1.3 GiB, decoding one latent frame at a time
# 3.4 GiB and eight 9.5 GiB; rounded up from 11.3, 10.3 and 3.5.
_STEP_TENSORS = 12
_EXCHANGED_TENSORS = 6
"""What a step needs in addition where tokens are divided; Ring more than Ulysses, which 2 devices
measured as 5 and 3."""
_DECODE_TENSORS = 12
_DECODE_TENSORS_PER_LATENT = 4
_TILE_TENSORS = 9
_IMAGE_TENSORS = 4
"""Of a TAE's last level, for each latent frame; counted, not measured."""
_HALO = 1.2
"""What copies of bands together with their halo add; 2 devices measured 1.17."""
_ENCODER_TENSORS = 4
"""Of the audio encoder's first convolution, the largest; counted, not measured."""
_GRAPH_BYTES = 64 * 2**20
"""What a graph of 2,000 kernels and the workspace of the matrix products take; not measured."""


def step_bytes(
    config: AvatarConfig,
    size_px: tuple[int, int],
    chunk: ChunkConfig,
    dtype: torch.dtype,
    division: Division = ONE_DEVICE,
) -> int:
    """Estimate what a step of the transformer needs in addition to its weights on a device."""
    frames, positions = chunk_tokens(config, size_px, chunk)
    count = _STEP_TENSORS + (_EXCHANGED_TENSORS if division.num_devices > 1 else 0)
    tokens = division.most_tokens(frames, positions)
    return count * tokens * config.dit.dim * dtype.itemsize


def chunk_tokens(
    config: AvatarConfig, size_px: tuple[int, int], chunk: ChunkConfig
) -> tuple[int, int]:
    """Return the frames of tokens of a chunk, and the positions of each."""
    height, width = (side // config.vae.spatial_stride for side in size_px)
    latents = num_latent_frames(chunk.num_frames)
    frames, rows, columns = token_grid((latents, height, width), config.dit)
    return frames, rows * columns


def recording_bytes(
    config: AvatarConfig,
    size_px: tuple[int, int],
    chunk: ChunkConfig,
    dtype: torch.dtype,
    graph: GraphMode,
    division: Division = ONE_DEVICE,
) -> int:
    """Estimate what CUDA graphs keep on the device between calls, in addition to all else.

    Each has memory of its own for what is computed on the way, that of the step also a copy of
    the audio's keys and values.
    """
    if graph == "off":
        return 0
    found = encoder_recording_bytes(config, chunk, dtype)
    tokens = division.most_tokens(*chunk_tokens(config, size_px, chunk))
    if is_worth_recording(graph, tokens, config.dit.dim):
        num_latents = num_latent_frames(chunk.num_frames)
        keys = 2 * config.dit.num_layers * num_latents * config.dit.audio_context_tokens
        found += keys * config.dit.dim * dtype.itemsize
        found += step_bytes(config, size_px, chunk, dtype, division) + _GRAPH_BYTES
    return found


def encoder_recording_bytes(config: AvatarConfig, chunk: ChunkConfig, dtype: torch.dtype) -> int:
    """Estimate what the CUDA graph of the audio encoder keeps on the device."""
    num_samples = chunk.audio_context_frames * chunk.samples_per_frame
    audio = config.audio
    largest = num_samples // audio.conv_stride[0] * audio.conv_dim[0] * dtype.itemsize
    return _ENCODER_TENSORS * largest + _GRAPH_BYTES


def session_bytes(
    config: AvatarConfig,
    size_px: tuple[int, int],
    chunk: ChunkConfig,
    dtype: torch.dtype,
    num_speakers: int = 1,
) -> int:
    """Count what stays between steps: keys and values of prompt, image and audio.

    Two speakers have theirs, by regions also those of silence; rotary positions take as much for
    the tokens' attention to the masks.
    """
    dit = config.dit
    num_latents = num_latent_frames(chunk.num_frames)
    heard = num_latents * dit.audio_context_tokens * (1 if num_speakers == 1 else 3)
    tokens = dit.text_len + dit.clip_tokens + heard
    frames, positions = chunk_tokens(config, size_px, chunk)
    rotary_and_condition = 4 * frames * positions * dit.head_dim
    return (2 * dit.num_layers * tokens * dit.dim + rotary_and_condition) * dtype.itemsize


def decode_bytes(
    config: AvatarConfig,
    size_px: tuple[int, int],
    dtype: torch.dtype,
    num_latents: int,
    *,
    row_tiles: bool = False,
    division: Division = ONE_DEVICE,
) -> int:
    """Estimate what decoding needs in addition to its weights.

    Args:
        config: Sizes.
        size_px: Height and width of the video.
        dtype: Of the weights.
        num_latents: Latent frames at once; with row tiles one.
        row_tiles: Whether it runs tile by tile.
        division: Bands of the frames; a small decoder does without.
    """
    height, width = size_px
    frame = 4 * config.vae.dim * height * width * dtype.itemsize
    count = _DECODE_TENSORS + _DECODE_TENSORS_PER_LATENT * num_latents
    if row_tiles:
        count = _TILE_TENSORS + _DECODE_TENSORS_PER_LATENT
    # A small decoder decodes whole frames on every device. It needs less: a third of this at
    # TAEHV's widths, on a CPU.
    band = 1.0 if config.vae.light_widths else division.largest_band
    return count * frame if band == 1 else round(_HALO * band * count * frame)


def light_decode_bytes(
    config: AvatarConfig,
    light: LightVAEConfig,
    size_px: tuple[int, int],
    dtype: torch.dtype,
    num_latents: int,
    *,
    row_tiles: bool = False,
) -> int:
    """Estimate what decoding with a light autoencoder needs; see :func:`decode_bytes`."""
    if not light.is_tae:
        narrow = replace(config, vae=light.vae)
        return decode_bytes(narrow, size_px, dtype, num_latents, row_tiles=row_tiles)
    height, width = (side // light.vae.light_patch for side in size_px)
    frames = TEMPORAL_STRIDE * max(light.vae.light_widths[2:]) * height * width
    return _IMAGE_TENSORS * (1 + num_latents) * frames * dtype.itemsize
