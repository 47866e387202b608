"""The faster ways through the networks, switched on in place."""

from __future__ import annotations

import importlib.util
import logging
import sys
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from ..config import SPEEDS, FastPaths
from ..errors import InvalidInputError, require
from ..excerpt import first_line
from ..log import printable_log
from ..models.attention import sdpa
from ..models.transformer.block import AvatarBlock
from ..models.transformer.model import AvatarDiT
from ..models.vae.model import VideoVAE
from ..packages import missing_package
from .block_ops import BlockKernels, PlainKernels, with_fallback
from .fused_block import FusedBlock
from .fused_vae import fuse_layers, keep_channels_last
from .vae_ops import RowKernels

logger = printable_log(logging.getLogger(__name__))

_TRITON = "triton-windows" if sys.platform == "win32" else "triton"
_MIN_CAPABILITY = (8, 0)
"""Triton's kernels here use bfloat16, which older GPUs have not."""

_MAX_COMPILED_SIZES = 64
"""Sizes of video, formats and ways that a process compiles blocks for; more run uncompiled."""


def choose_fast_paths(speed: str, device: torch.device) -> FastPaths:
    """Return the ways that ``speed`` stands for.

    Args:
        speed: ``plain``; ``fused`` (Triton's kernels, quick to build); ``compiled`` (blocks by
            ``torch.compile``, slow to build); ``auto`` is ``fused`` on a GPU that can, and
            ``plain`` elsewhere, which is said if the GPU is worth more.
        device: Where the networks will run.

    Raises:
        InvalidInputError: If a way was asked for by name that cannot run here.
    """
    require(speed in SPEEDS, f"speed {speed!r}: use one of {', '.join(SPEEDS)}", subject="speed")
    if speed == "auto":
        speed = _choose_automatically(device)
    known = {
        "plain": FastPaths.none(),
        "fused": FastPaths(),
        "compiled": FastPaths(fused_blocks=False, compiled_blocks=True),
    }
    paths = known[speed]
    check_fast_paths(paths, device)
    return paths


def _choose_automatically(device: torch.device) -> str:
    if device.type != "cuda":
        return "plain"
    try:
        check_fast_paths(FastPaths(), device)
    except InvalidInputError as error:
        logger.warning("the plain way is taken, about 1.7 times slower: %s", error)
        return "plain"
    return "fused"


def accelerate(network: nn.Module, paths: FastPaths, device: torch.device) -> None:
    """Switch on the chosen ways through a network; networks without any stay as they are.

    Parameters keep their names.

    Args:
        network: Changed in place; in its final dtype, with its attention chosen, and with its
            layers in their number format: ``float8`` is applied while weights are loaded.
        paths: What to switch on.
        device: Where it will run; it may wait elsewhere.

    Raises:
        InvalidInputError: If the device or the installation cannot do what is asked for.
    """
    check_fast_paths(paths, device)
    if isinstance(network, AvatarDiT):
        _accelerate_dit(network, paths, device)
    elif isinstance(network, VideoVAE):
        _accelerate_vae(network, paths, device)


def _accelerate_dit(dit: AvatarDiT, paths: FastPaths, device: torch.device) -> None:
    if paths.compiled_blocks:
        compile_blocks(dit)
    if paths.fused_blocks:
        kernels = _block_kernels(device)
        for block in dit.blocks:
            assert isinstance(block, AvatarBlock)
            block.fused = FusedBlock(kernels)


def _accelerate_vae(vae: VideoVAE, paths: FastPaths, device: torch.device) -> None:
    if paths.channels_last:
        keep_channels_last(vae)
    if paths.fused_layers:
        fuse_layers(vae, RowKernels.triton() if device.type == "cuda" else RowKernels())


def _block_kernels(device: torch.device) -> BlockKernels:
    plain = PlainKernels(sdpa)
    if device.type != "cuda":
        return plain
    from .triton.block import TritonKernels

    return with_fallback(TritonKernels(plain), plain)


def compile_blocks(dit: AvatarDiT, backend: str | Callable[..., Any] = "inductor") -> None:
    """Compile every block; all blocks share one piece of code for each size of video.

    Args:
        dit: Changed in place.
        backend: Compiler, or the name under which ``torch.compile`` knows it.
    """
    _allow_sizes(_MAX_COMPILED_SIZES)
    for block in dit.blocks:
        assert isinstance(block, AvatarBlock)
        # Sizes are constants: a video keeps its size, and loops of known length are faster.
        block.compile(backend=backend, dynamic=False)


def _allow_sizes(count: int) -> None:
    """Let one function be compiled ``count`` times; PyTorch's own 8 are for sizes by accident."""
    from torch._dynamo import config

    name = "recompile_limit" if hasattr(config, "recompile_limit") else "cache_size_limit"
    setattr(config, name, max(count, getattr(config, name)))


def suited_decode_latents(paths: FastPaths) -> int:
    """Return how many latent frames are decoded at once where nobody says a number.

    On a GPU two at a time are nearly as fast as eight, and the first picture waits less.
    """
    return 2 if paths.fused_layers else 1


def can_go(paths: FastPaths, device: torch.device) -> bool:
    """Whether ``device`` can take ``paths``."""
    try:
        check_fast_paths(paths, device)
    except InvalidInputError:
        return False
    return True


def check_fast_paths(paths: FastPaths, device: torch.device) -> None:
    """Raise :class:`InvalidInputError` if the device or the installation cannot take ``paths``."""
    if not paths.needs_triton or device.type == "cpu":
        return
    require(
        device.type == "cuda",
        f"fused and compiled ways on {device}: they run on NVIDIA and AMD GPUs; "
        "use speed 'plain' or 'auto'",
        subject="speed",
    )
    require(
        importlib.util.find_spec("triton") is not None,
        f"fused and compiled ways: {missing_package(_TRITON)}, or use speed 'plain'",
        subject="speed",
    )
    capability = torch.cuda.get_device_capability(device)
    require(
        capability >= _MIN_CAPABILITY,
        f"fused and compiled ways on {torch.cuda.get_device_name(device)}: they need compute "
        f"capability 8.0, this GPU has {'.'.join(map(str, capability))}; use speed 'plain'",
        subject="speed",
    )
    _try_triton(device)


def _try_triton(device: torch.device) -> None:
    """Run a small kernel: Triton needs a compiler, headers and libraries that may be missing."""
    try:
        from .triton.pixels import shift_rows

        shift_rows(torch.zeros(1, 4, device=device), torch.zeros(4, device=device))
    except torch.OutOfMemoryError:
        raise
    except Exception as error:  # whatever Triton, its compiler or the driver raise
        reason = first_line(error)
        raise InvalidInputError(
            f"fused and compiled ways: Triton is installed but its kernels cannot be built "
            f"({reason}); install a C compiler, or use speed 'plain'",
            subject="speed",
        ) from error
