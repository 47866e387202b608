"""Processes of a group, each with its own device."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from ...errors import WorkerError
from ...runtime.environment import MULTICAST_OFF


def run_ranks(
    work: Callable[..., Any],
    world: int,
    backend: str,
    *arguments: Any,
    limit_s: float | None = None,
) -> list[Any]:
    """Run ``work(device, *arguments)`` in ``world`` processes of a group.

    Args:
        work: A function of a module; what it returns must be JSON.
        world: Processes; with ``nccl`` rank r has GPU r, or that less the number of GPUs.
        backend: ``nccl``, or ``gloo`` on the CPU.
        arguments: More arguments, which are pickled.
        limit_s: How long an exchange may wait, seconds; ``None`` is PyTorch's own.

    Returns:
        What each rank returned, in order.

    Raises:
        WorkerError: If a rank raised an error; with its last line.
    """
    with TemporaryDirectory() as folder:
        try:
            mp.spawn(_rank, (world, backend, folder, work, arguments, limit_s), nprocs=world)
        except mp.ProcessRaisedException as error:
            last = str(error).strip().splitlines()[-1]
            raise WorkerError(f"rank {error.error_index} of {world}: {last}") from error
        return [json.loads(Path(folder, f"{rank}.json").read_text()) for rank in range(world)]


def _rank(
    rank: int,
    world: int,
    backend: str,
    folder: str,
    work: Callable[..., Any],
    arguments: Any,
    limit_s: float | None,
) -> None:
    os.environ.update(MULTICAST_OFF)
    device = torch.device("cpu")
    if backend == "nccl":
        device = torch.device("cuda", rank % torch.cuda.device_count())
        torch.cuda.set_device(device)
    dist.init_process_group(
        backend,
        init_method=f"file://{folder}/meeting",
        rank=rank,
        world_size=world,
        timeout=None if limit_s is None else timedelta(seconds=limit_s),
    )
    try:
        Path(folder, f"{rank}.json").write_text(json.dumps(work(device, *arguments)))
        dist.barrier()
    finally:
        dist.destroy_process_group()
