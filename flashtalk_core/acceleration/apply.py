"""Chooses eager, fused or compiled execution of loaded networks, in place."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, cast

import torch
from torch import nn

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
from ..models.vae.light_vae import LightVAE
from ..models.vae.model import VideoVAE
from ..models.vae.row_tiles import RowTileRunner
from .block_ops import BlockKernels, EagerKernels, with_fallback
from .encoder_graph import EncoderGraph
from .fused_block import FusedExecution
from .fused_vae import FusedRunner, drop_padding, keep_channels_last, pad_weights
from .kernel_options import GraphMode, KernelOptions
from .step_graph import StepGraph
from .support import check_kernel_options, graphs_work
from .vae_ops import RowKernels

logger = printable_log(logging.getLogger(__name__))

_MAX_COMPILED_SIZES = 64
"""Sizes of video and formats that a process compiles blocks for; more run eagerly."""


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
    if isinstance(network, LightVAE):
        network = network.coder
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
    places. Nor where they do not work, see :func:`graphs_work`: there ``on`` was refused before.

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
    elif vae.has_light_decoder:
        keep_channels_last(vae.decoder)  # its images have them so in every mode
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
