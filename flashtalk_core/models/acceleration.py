"""The faster ways through the networks, switched on in place."""

from __future__ import annotations

import importlib.util

import torch

from ..config import FastPaths
from ..errors import InvalidInputError
from .dit import AvatarDiT
from .dit_block import AvatarBlock
from .float8 import check_float8, quantise_blocks
from .vae.fused import fuse_layers, keep_channels_last
from .vae.model import VideoVAE


def accelerate_dit(dit: AvatarDiT, paths: FastPaths) -> None:
    """Switch on the chosen ways through the transformer.

    The first call at each size compiles, which takes tens of seconds; the compiler keeps its
    work on disk. Parameters keep their names, except that ``float8`` adds scales.

    Args:
        dit: Changed in place; on its device, in its final dtype, with its attention chosen.
        paths: What to switch on.

    Raises:
        InvalidInputError: If the device or the installation cannot do what is asked for.
    """
    check_fast_paths(paths, dit.patch_embedding.weight.device)
    if paths.float8:
        quantise_blocks(dit)
    if paths.compiled_blocks:
        compile_blocks(dit)


def accelerate_vae(vae: VideoVAE, paths: FastPaths) -> None:
    """Switch on the chosen ways through the autoencoder; see :func:`accelerate_dit`."""
    check_fast_paths(paths, next(vae.parameters()).device)
    if paths.channels_last:
        keep_channels_last(vae)
    if paths.fused_layers:
        fuse_layers(vae)


def compile_blocks(dit: AvatarDiT, backend: str = "inductor") -> None:
    """Compile every block; all blocks share one piece of code for each size of video.

    Args:
        dit: Changed in place.
        backend: Compiler, by the name that ``torch.compile`` knows.
    """
    for block in dit.blocks:
        assert isinstance(block, AvatarBlock)
        # Sizes are constants: a video keeps its size, and loops of known length are faster.
        block.compile(backend=backend, dynamic=False)


def check_fast_paths(paths: FastPaths, device: torch.device) -> None:
    """Raise :class:`InvalidInputError` if the device or the installation cannot take ``paths``."""
    if paths.float8:
        check_float8(device)
    needs_compiler = paths.compiled_blocks or paths.fused_layers
    if needs_compiler and device.type == "cuda" and importlib.util.find_spec("triton") is None:
        raise InvalidInputError(
            "compiled blocks and fused layers: package triton is not installed; "
            "install it (triton-windows on Windows) or turn both off"
        )
