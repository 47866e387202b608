"""Chooses eager, fused or compiled execution of loaded networks, in place."""

from __future__ import annotations

import importlib.util
import logging
import sys
from collections.abc import Callable
from typing import Any, cast

import torch
from torch import nn

from ..errors import InvalidInputError, require
from ..excerpt import first_line
from ..log import printable_log
from ..models.attention import sdpa
from ..models.encoders.audio import AudioEncoder, run_encoder
from ..models.transformer.model import AvatarDiT
from ..models.transformer.runner import (
    RESIDENT_BLOCKS,
    BlockExecution,
    BlockProvider,
    BlockRunner,
    run_eager,
)
from ..models.transformer.step import run_step
from ..models.vae.layers import SequenceRunner, run_sequence
from ..models.vae.model import VideoVAE
from ..models.vae.row_tiles import RowTileRunner
from ..packages import missing_package
from .block_ops import BlockKernels, EagerKernels, with_fallback
from .encoder_graph import EncoderGraph
from .fused_block import FusedExecution
from .fused_vae import FusedRunner, drop_padding, keep_channels_last, pad_weights
from .kernel_options import GraphMode, KernelOptions, speed_of
from .step_graph import StepGraph
from .vae_ops import RowKernels

logger = printable_log(logging.getLogger(__name__))

_TRITON = "triton-windows" if sys.platform == "win32" else "triton"
_MIN_CAPABILITY = (8, 0)
"""Triton's kernels here use bfloat16, which older GPUs lack."""

_MAX_COMPILED_SIZES = 64
"""Sizes of video and formats that a process compiles blocks for; more run eagerly."""


def choose_kernel_options(speed: str, device: torch.device) -> KernelOptions:
    """Return the execution mode that ``speed`` stands for.

    Args:
        speed: ``plain`` or ``eager``, which are the same; ``fused`` (Triton's kernels, quick to
            build); ``compiled`` (blocks by ``torch.compile``, slow to build); ``auto`` is
            ``fused`` on a GPU that supports it, and ``plain`` elsewhere, with a warning if it is
            a GPU.
        device: Where the networks will run.

    Raises:
        InvalidInputError: If a mode that was named cannot run here.
    """
    speed = speed_of(speed)
    if speed == "auto":
        speed = _choose_automatically(device)
    known = {
        "plain": KernelOptions.eager(),
        "fused": KernelOptions(),
        "compiled": KernelOptions(fused_blocks=False, compiled_blocks=True),
    }
    options = known[speed]
    check_kernel_options(options, device)
    return options


def _choose_automatically(device: torch.device) -> str:
    if device.type != "cuda":
        return "plain"
    try:
        check_kernel_options(KernelOptions(), device)
    except InvalidInputError as error:
        logger.warning("using eager execution, about 1.7 times slower: %s", error)
        return "plain"
    return "fused"


def set_execution(
    network: nn.Module,
    options: KernelOptions,
    device: torch.device,
    *,
    provider: BlockProvider | None = None,
    row_tiles: bool = False,
    graph: GraphMode = "off",
) -> None:
    """Set the execution mode of a network; networks with a single mode stay as they are.

    The one place that chooses execution: it sets the runner of a transformer or an autoencoder,
    whatever it was before. Formats of layers and offload are hooks of loading. Parameters keep
    their names.

    Args:
        network: Changed in place; in its final dtype, with its attention set, and with its
            layers in their format, which they get while weights are loaded.
        options: Which kernels it runs with.
        device: Where it will run; it may be elsewhere now.
        provider: Where a transformer's blocks come from; ``None`` where they stay resident.
        row_tiles: Whether an autoencoder runs its large layers some rows at a time.
        graph: See :func:`set_graph`.

    Raises:
        InvalidInputError: If the device or the installation does not support it.
    """
    check_kernel_options(options, device)
    if isinstance(network, AvatarDiT):
        execution = _block_execution(options, device)
        network.runner = BlockRunner(provider or RESIDENT_BLOCKS, execution)
    elif isinstance(network, VideoVAE):
        runner = _sequence_runner(network, options, device)
        network.runner = RowTileRunner(runner) if row_tiles else runner
    set_graph(network, graph, device)


def set_graph(network: nn.Module, graph: GraphMode, device: torch.device) -> None:
    """Set whether the steps of a transformer, or an audio encoder, become CUDA graphs.

    A graph launches the same kernels, so that results are equal to the bit. Never on a device
    other than CUDA, and never for a transformer whose blocks are streamed: their weights change
    places. With ``auto`` not where it was never tried: on AMD GPUs, and with CUDA's own allocator,
    which ComfyUI uses by default.

    Args:
        network: Changed in place, with its runner set; others stay as they are. Recordings of
            before are dropped.
        graph: What was requested.
        device: Where it will run.
    """
    is_graph = graph != "off" and device.type == "cuda" and graphs_work()
    if isinstance(network, AvatarDiT):
        is_resident = network.runner.provider is RESIDENT_BLOCKS
        network.step_execution = StepGraph(graph) if is_graph and is_resident else run_step
    elif isinstance(network, AudioEncoder):
        network.execution = EncoderGraph() if is_graph else run_encoder


def graphs_work() -> bool:
    """Whether CUDA graphs work on this kind of GPU and with this allocator of its memory.

    With CUDA's own allocator, which ComfyUI takes by default, recording ends the process (PyTorch
    2.11). AMD's GPUs were not tried.
    """
    if torch.version.hip is not None:
        return False
    return not torch.cuda.is_available() or torch.cuda.get_allocator_backend() == "native"


def release_graphs(network: nn.Module) -> None:
    """Free what recordings of ``network`` take on the device; the next calls record again."""
    for name in ("step_execution", "execution"):
        execution = getattr(network, name, None)
        if isinstance(execution, StepGraph | EncoderGraph):
            execution.release()


def _block_execution(options: KernelOptions, device: torch.device) -> BlockExecution:
    if options.compiled_blocks:
        return compiled_execution()
    return FusedExecution(_block_kernels(device)) if options.fused_blocks else run_eager


def _sequence_runner(vae: VideoVAE, options: KernelOptions, device: torch.device) -> SequenceRunner:
    if options.channels_last:
        keep_channels_last(vae)
    if not options.fused_layers:
        drop_padding(vae)
        return run_sequence
    pad_weights(vae)
    return FusedRunner(RowKernels.triton() if device.type == "cuda" else RowKernels())


def _block_kernels(device: torch.device) -> BlockKernels:
    eager = EagerKernels(sdpa)
    if device.type != "cuda":
        return eager
    from .triton.block import TritonKernels

    return with_fallback(TritonKernels(eager), eager)


def compiled_execution(backend: str | Callable[..., Any] = "inductor") -> BlockExecution:
    """Return the eager execution, compiled; all blocks share the code for a size.

    Args:
        backend: Compiler, or the name under which ``torch.compile`` knows it.
    """
    _allow_sizes(_MAX_COMPILED_SIZES)
    # Sizes are constants: a video keeps its size, and loops of known length are faster.
    return cast("BlockExecution", torch.compile(run_eager, backend=backend, dynamic=False))


def _allow_sizes(count: int) -> None:
    """Let one function be compiled ``count`` times; PyTorch's limit of 8 is against accidents."""
    from torch._dynamo import config

    name = "recompile_limit" if hasattr(config, "recompile_limit") else "cache_size_limit"
    setattr(config, name, max(count, getattr(config, name)))


def default_decode_latents(options: KernelOptions) -> int:
    """Return how many latent frames are decoded at once by default.

    On a GPU two at a time are nearly as fast as eight, and the first image comes sooner.
    """
    return 2 if options.fused_layers else 1


def is_supported(options: KernelOptions, device: torch.device) -> bool:
    """Whether ``device`` supports ``options``."""
    try:
        check_kernel_options(options, device)
    except InvalidInputError:
        return False
    return True


def check_kernel_options(options: KernelOptions, device: torch.device) -> None:
    """Raise :class:`InvalidInputError` if the device or installation does not support them."""
    if not options.needs_triton or device.type == "cpu":
        return
    require(
        device.type == "cuda",
        f"fused and compiled execution on {device}: it runs on NVIDIA and AMD GPUs; "
        "use speed 'plain' or 'auto'",
        subject="speed",
    )
    require(
        importlib.util.find_spec("triton") is not None,
        f"fused and compiled execution: {missing_package(_TRITON)}, or use speed 'plain'",
        subject="speed",
    )
    capability = torch.cuda.get_device_capability(device)
    require(
        capability >= _MIN_CAPABILITY,
        f"fused and compiled execution on {torch.cuda.get_device_name(device)}: it needs compute "
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
            f"fused and compiled execution: Triton is installed but its kernels cannot be built "
            f"({reason}); install a C compiler, or use speed 'plain'",
            subject="speed",
        ) from error
